//! Judging the recipe on families of traces that it was not fitted to.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::baselines::{Baseline, Fitted, pinball};
use crate::dataset::ArrivalTrace;
use crate::params::ValidParams;
use crate::series::Series;
use crate::{TrainError, fit, series};

/// The regression's name in reports.
pub const RIDGE: &str = "ridge";

/// How one predictor did on one held-out family.
#[derive(Debug, Clone, Serialize)]
pub struct HeldOutScore {
    /// The family that was not trained on.
    pub family: String,
    /// `ridge` or a baseline.
    pub predictor: &'static str,
    /// Mean pinball loss at tau, ticks of service.
    pub pinball: f64,
    /// Share of rows whose peak was at most the prediction.
    pub coverage: f64,
    /// Mean prediction, ticks of service: what the rings would cost.
    pub mean_prediction: f64,
    /// Rows judged.
    pub rows: usize,
}

/// An evaluation, as measured.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// Quantile that was predicted.
    pub tau: f64,
    /// Ticks ahead.
    pub horizon_ticks: u32,
    /// Every predictor on every family, families in alphabetical order.
    pub scores: Vec<HeldOutScore>,
}

/// Holds out each family in turn, fits the regression and each baseline to the others, and scores them on it.
///
/// # Errors
/// Fewer than two families, or the regression fails.
pub fn evaluate(traces: &[ArrivalTrace], params: &ValidParams) -> Result<Evaluation, TrainError> {
    let series = series::all(traces, params);
    let families: BTreeSet<&str> = traces.iter().map(|t| t.family.as_str()).collect();
    if families.len() < 2 {
        return Err(TrainError::TooLittle { needs: "2 families of traces", found: families.len() });
    }
    let mut scores = Vec::new();
    for family in families {
        let (held_out, rest): (Vec<&Series>, Vec<&Series>) = series.iter().partition(|s| s.family == family);
        let file = fit::fit(&rest, params)?;
        let ridge = |s: &Series, row: usize| fit::predict_peak(&file, &s.rows[row]);
        scores.push(score(family, RIDGE, &held_out, params.tau, ridge));
        for baseline in Baseline::ALL {
            let fitted: Fitted = baseline.fit(&rest, params.tau);
            let predict = |s: &Series, row: usize| fitted.predict(&s.glances[row]);
            scores.push(score(family, baseline.name(), &held_out, params.tau, predict));
        }
    }
    Ok(Evaluation { tau: params.tau, horizon_ticks: params.horizon_ticks, scores })
}

fn score(
    family: &str,
    predictor: &'static str,
    held_out: &[&Series],
    tau: f64,
    predict: impl Fn(&Series, usize) -> f64,
) -> HeldOutScore {
    let (mut loss, mut covered, mut sum, mut rows) = (0.0, 0usize, 0.0, 0usize);
    for series in held_out {
        for (row, &actual) in series.peaks.iter().enumerate() {
            let predicted = predict(series, row);
            loss += pinball(actual, predicted, tau);
            covered += usize::from(actual <= predicted + 1e-9);
            sum += predicted;
            rows += 1;
        }
    }
    let mean = |total: f64| total / rows.max(1) as f64;
    HeldOutScore {
        family: family.into(),
        predictor,
        pinball: mean(loss),
        coverage: mean(covered as f64),
        mean_prediction: mean(sum),
        rows,
    }
}

impl Evaluation {
    /// Predictors in the order of the report.
    pub fn predictors() -> impl Iterator<Item = &'static str> {
        std::iter::once(RIDGE).chain(Baseline::ALL.map(Baseline::name))
    }

    fn of<'a>(&'a self, predictor: &'a str) -> impl Iterator<Item = &'a HeldOutScore> + 'a {
        self.scores.iter().filter(move |s| s.predictor == predictor)
    }

    /// Mean over families of a predictor's pinball loss.
    pub fn mean_pinball(&self, predictor: &str) -> f64 {
        let losses: Vec<f64> = self.of(predictor).map(|s| s.pinball).collect();
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }

    /// The table: a row a held-out family, pinball loss and coverage of each predictor, and the mean.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let heads = Self::predictors().map(|p| format!("{p} (coverage)"));
        table.set_header(["held out".to_owned(), "rows".to_owned()].into_iter().chain(heads));
        for ridge in self.of(RIDGE) {
            let cells = Self::predictors().map(|predictor| {
                let found = self.of(predictor).find(|s| s.family == ridge.family);
                found.map_or_else(String::new, |s| format!("{:.3} ({:.3})", s.pinball, s.coverage))
            });
            table.add_row([ridge.family.clone(), ridge.rows.to_string()].into_iter().chain(cells));
        }
        let means = Self::predictors().map(|p| format!("{:.3}", self.mean_pinball(p)));
        table.add_row(["mean".to_owned(), String::new()].into_iter().chain(means));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}
