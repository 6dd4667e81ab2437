//! The evaluation as a table.

use comfy_table::{CellAlignment, Table, presets};

use super::{Estimate, Evaluation, FamilyResult, Overall, Verdict};

impl Evaluation {
    /// A row a held-out family: loss with coverage of the model, and the loss of each baseline.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let heads = Self::predictors().map(|predictor| predictor.to_owned());
        let first = ["held out", "rows", "dispersion", "coverage"].map(str::to_owned);
        table.set_header(first.into_iter().chain(heads));
        for (family, result) in &self.families {
            table.add_row(row(family, result));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// What it comes to, in sentences.
    pub fn summary(&self) -> String {
        let overall = &self.overall;
        let situ = &self.in_situ;
        let of_probability = &self.overflow_probability;
        format!(
            "Over families: {}.\n  Adapted: {}.\nIn situ at load {}: {}.\n  Adapted: {}.\nOverflow probability: calibration error {:.4}, Brier score \
             {:.4} against {:.4} of the base rate.\n",
            sentence(&overall.model, overall, &overall.ratio),
            sentence(&overall.adapted, overall, &overall.adapted_ratio),
            situ.load,
            sentence(&situ.verdict.model, &situ.verdict, &situ.verdict.ratio),
            sentence(&situ.verdict.adapted, &situ.verdict, &situ.verdict.adapted_ratio),
            of_probability.expected_calibration_error,
            of_probability.brier,
            of_probability.brier_of_base_rate
        )
    }
}

fn sentence(model: &Overall, verdict: &Verdict, ratio: &Estimate) -> String {
    let best = &verdict.best_baseline;
    format!(
        "loss {:.3} ({:.3} to {:.3}), {} {:.3}: ratio {:.3} ({:.3} to {:.3}), coverage {:.3} ({:.3} to {:.3})",
        model.pinball,
        model.pinball_interval[0],
        model.pinball_interval[1],
        best.name,
        best.pinball,
        ratio.value,
        ratio.interval[0],
        ratio.interval[1],
        model.coverage,
        model.coverage_interval[0],
        model.coverage_interval[1]
    )
}

fn row(family: &str, result: &FamilyResult) -> Vec<String> {
    let comparison = &result.comparison;
    let control = if result.dispersion < 1.0 { " (control)" } else { "" };
    let mut cells = vec![
        format!("{family}{control}"),
        comparison.rows.to_string(),
        format!("{:.1}", result.dispersion),
        format!("{:.3}", comparison.model.coverage),
    ];
    let scores = [&comparison.model, &comparison.adapted]
        .into_iter()
        .chain(Evaluation::predictors().filter_map(|predictor| comparison.baselines.get(predictor)));
    cells.extend(scores.map(|score| format!("{:.3}", score.pinball)));
    cells
}
