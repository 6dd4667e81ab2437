//! Judging the recipe on traces that it was not fitted to: whole families held out, and the end of each trace.

mod bootstrap;
mod candidates;
mod judged;
mod learning;
mod pareto;
mod probability;
mod score;
mod table;
mod warnings;
mod worst;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub(crate) use bootstrap::interval as bootstrap_interval;
pub use candidates::Candidate;
pub use judged::{ADAPTED, Contenders, Judged, MODEL};
pub use learning::{LearningPoint, learning_curve};
pub use pareto::ParetoPoint;
pub use probability::Calibration;
pub use score::{Estimate, Score};
pub use warnings::Warnings;
pub use worst::WorstCase;

use crate::TrainError;
use crate::baselines::Baseline;
use crate::dataset::ArrivalTrace;
use crate::params::ValidParams;
use crate::progress::Progress;
use crate::series::{self, Series};
use score::{resampling_units, score};

/// Load at which predictors are judged on the end of a trace whose beginning they were fitted to.
pub const IN_SITU_LOAD: f64 = 0.85;
/// Families below which nothing is proven: a bootstrap of fewer has hardly a spread.
const FAMILIES_MIN: usize = 6;
/// Share of a trace, its beginning, that in-situ predictors are fitted to.
const IN_SITU_TRAIN: f64 = 0.6;

/// Model and baselines on the same rows.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Rows judged.
    pub rows: usize,
    /// The model.
    pub model: Score,
    /// The model, learning on while it is judged: its offset and its residuals follow what came.
    pub adapted: Score,
    /// Each baseline.
    pub baselines: BTreeMap<&'static str, Score>,
}

/// One held-out family.
#[derive(Debug, Clone, Serialize)]
pub struct FamilyResult {
    /// Variance over mean of arrivals in windows of 100 mean gaps, least over its traces; below 1 is more regular than
    /// chance: a negative control.
    pub dispersion: f64,
    /// What was measured.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// The least loss of a baseline.
#[derive(Debug, Clone, Serialize)]
pub struct BestBaseline {
    /// Its name.
    pub name: &'static str,
    /// Its loss.
    pub pinball: f64,
    /// The 95 % interval.
    pub pinball_interval: [f64; 2],
}

/// The model against the best baseline.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Mean of the model's figures, every family (or trace) alike.
    pub model: Overall,
    /// The same, learning on while it is judged.
    pub adapted: Overall,
    /// The baseline that does best on these rows.
    pub best_baseline: BestBaseline,
    /// The model's loss over the best baseline's.
    pub ratio: Estimate,
    /// The adapted model's loss over the best baseline's.
    pub adapted_ratio: Estimate,
    /// The model's loss over each baseline's.
    pub ratios: BTreeMap<&'static str, Estimate>,
}

/// Figures of one predictor over families or traces, each with equal weight.
#[derive(Debug, Clone, Serialize)]
pub struct Overall {
    /// Pinball loss, ticks of service.
    pub pinball: f64,
    /// Its 95 % interval.
    pub pinball_interval: [f64; 2],
    /// Share of rows covered.
    pub coverage: f64,
    /// Its 95 % interval.
    pub coverage_interval: [f64; 2],
}

/// Predictors fitted to the beginning of each trace and judged on its end.
#[derive(Debug, Clone, Serialize)]
pub struct InSitu {
    /// Mean arrivals a tick, in multiples of the service.
    pub load: f64,
    /// The model against the best baseline, every trace alike.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Every trace.
    pub traces: BTreeMap<String, Comparison>,
    /// Traces whose beginning has too little in it to fit anything to: no backlog ever, say.
    pub left_out: Vec<String>,
}

/// An evaluation, as measured.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// How the model was fitted.
    pub method: &'static str,
    /// Quantile that was predicted.
    pub tau: f64,
    /// Ticks ahead.
    pub horizon_ticks: u32,
    /// Ticks before an overflow by which a warning must come to count.
    pub lead_ticks: u32,
    /// Each family, held out in turn.
    pub families: BTreeMap<String, FamilyResult>,
    /// Predictors fitted to the beginning of each trace.
    pub in_situ: InSitu,
    /// The model against the best baseline over held-out families.
    pub overall: Verdict,
    /// Each other method, judged in the same way as the model.
    pub candidates: BTreeMap<&'static str, Candidate>,
    /// Calibration of the overflow probability on held-out families.
    pub overflow_probability: Calibration,
    /// Drops against mean ring size on held-out families.
    pub pareto: Vec<ParetoPoint>,
    /// Where the model was most wrong on held-out families.
    pub worst: Vec<WorstCase>,
}

/// Holds out each family in turn, fits the model and each baseline to the others, and scores them on it.
///
/// # Errors
/// Fewer than two families, or a fit fails.
pub fn evaluate(
    traces: &[ArrivalTrace],
    params: &ValidParams,
    progress: &dyn Progress,
) -> Result<Evaluation, TrainError> {
    let series = series::all(traces, params);
    let families: BTreeSet<&str> = traces.iter().map(|t| t.family.as_str()).collect();
    if families.len() < 2 {
        return Err(TrainError::TooLittle { needs: "2 families of traces", found: families.len() });
    }
    progress.begin("families held out", families.len());
    let (mut results, mut judged) = (BTreeMap::new(), Vec::new());
    for &family in &families {
        let (held_out, rest): (Vec<&Series>, Vec<&Series>) = series.iter().partition(|s| s.family == family);
        let contenders = Contenders::fit(&rest, params.method, params)?;
        let judged_here: Vec<Judged<'_>> = held_out.into_iter().map(|s| contenders.judge(s, 0)).collect();
        let dispersion = traces.iter().filter(|t| t.family == family).map(series::dispersion).fold(f64::MAX, f64::min);
        let comparison = compare(&judged_here.iter().collect::<Vec<_>>(), params);
        results.insert(family.to_owned(), FamilyResult { dispersion, comparison });
        judged.push(judged_here);
        progress.step();
    }
    let groups: Vec<Vec<&Judged<'_>>> = judged.iter().map(|group| group.iter().collect()).collect();
    let all: Vec<&Judged<'_>> = judged.iter().flatten().collect();
    Ok(Evaluation {
        tau: params.tau,
        horizon_ticks: params.horizon_ticks,
        lead_ticks: lead_ticks(params),
        method: params.method.name(),
        in_situ: in_situ(&series, params, progress)?,
        candidates: candidates::judge(&series, &groups, params, progress)?,
        overall: verdict(&groups, params.tau),
        overflow_probability: probability::calibration(&all),
        pareto: Evaluation::predictors().flat_map(|predictor| pareto::pareto(&all, predictor)).collect(),
        worst: worst::worst(&all, params.tau),
        families: results,
    })
}

/// A horizon is chosen as four times the time that a resize takes.
fn lead_ticks(params: &ValidParams) -> u32 {
    params.horizon_ticks.div_ceil(4)
}

fn in_situ(series: &[Series], params: &ValidParams, progress: &dyn Progress) -> Result<InSitu, TrainError> {
    let at_load: Vec<&Series> = series.iter().filter(|s| s.load == IN_SITU_LOAD).collect();
    progress.begin("traces in situ", at_load.len());
    let (mut traces, mut judged, mut left_out) = (BTreeMap::new(), Vec::new(), Vec::new());
    for series in at_load {
        progress.step();
        let cut = (series.rows.len() as f64 * IN_SITU_TRAIN) as usize;
        let gap = (params.horizon_ticks as usize).div_ceil(series.stride);
        let beginning = series.first_rows(cut.saturating_sub(gap));
        let contenders = match Contenders::fit(&[&beginning], params.method, params) {
            Ok(contenders) => contenders,
            Err(TrainError::Degenerate { .. } | TrainError::TooLittle { .. }) => {
                left_out.push(series.trace.clone());
                continue;
            }
            Err(error) => return Err(error),
        };
        let one = contenders.judge(series, cut);
        traces.insert(series.trace.clone(), compare(&[&one], params));
        judged.push(one);
    }
    let groups: Vec<Vec<&Judged<'_>>> = judged.iter().map(|one| vec![one]).collect();
    Ok(InSitu { load: IN_SITU_LOAD, verdict: verdict(&groups, params.tau), traces, left_out })
}

fn compare(judged: &[&Judged<'_>], params: &ValidParams) -> Comparison {
    let of = |predictor| score(judged, predictor, params.tau, lead_ticks(params));
    Comparison {
        rows: judged.iter().map(|one| one.peaks().len()).sum(),
        model: of(MODEL),
        adapted: of(ADAPTED),
        baselines: Baseline::ALL.map(|baseline| (baseline.name(), of(baseline.name()))).into_iter().collect(),
    }
}

/// Every group counts alike, and a bootstrap resamples groups.
fn verdict(groups: &[Vec<&Judged<'_>>], tau: f64) -> Verdict {
    let sums = |predictor: &str| -> Vec<score::Sums> {
        groups.iter().map(|group| resampling_units(group, predictor, tau).into_iter().sum()).collect()
    };
    let everything: Vec<usize> = (0..groups.len()).collect();
    let mean = |sums: &[score::Sums], picked: &[usize], of: fn(&score::Sums) -> f64| {
        picked.iter().map(|&i| sums[i].mean(of)).sum::<f64>() / picked.len().max(1) as f64
    };
    let loss: fn(&score::Sums) -> f64 = |s| s.loss;
    let overall = |sums: &[score::Sums]| {
        let figure = |of| (mean(sums, &everything, of), bootstrap::interval(groups.len(), |p| mean(sums, p, of)));
        let ((pinball, pinball_interval), (coverage, coverage_interval)) = (figure(loss), figure(|s| s.covered));
        Overall { pinball, pinball_interval, coverage, coverage_interval }
    };
    let ranked = Baseline::ALL.map(|baseline| (baseline.name(), sums(baseline.name())));
    let least =
        |a: &[score::Sums], b: &[score::Sums]| mean(a, &everything, loss).total_cmp(&mean(b, &everything, loss));
    let (model, adapted) = (sums(MODEL), sums(ADAPTED));
    let best = ranked.iter().min_by(|a, b| least(&a.1, &b.1));
    let (name, baseline) = best.map_or(("none", &model), |(name, sums)| (*name, sums));
    let ratio = |model: &[score::Sums], baseline: &[score::Sums]| {
        let of = |picked: &[usize]| mean(model, picked, loss) / mean(baseline, picked, loss).max(f64::MIN_POSITIVE);
        Estimate { value: of(&everything), interval: bootstrap::interval(groups.len(), of) }
    };
    let of_baseline = overall(baseline);
    let ratios: BTreeMap<_, _> = ranked.iter().map(|(name, baseline)| (*name, ratio(&model, baseline))).collect();
    Verdict {
        model: overall(&model),
        adapted: overall(&adapted),
        best_baseline: BestBaseline {
            name,
            pinball: of_baseline.pinball,
            pinball_interval: of_baseline.pinball_interval,
        },
        ratio: ratios.get(name).copied().unwrap_or_else(|| ratio(&model, baseline)),
        adapted_ratio: ratio(&adapted, baseline),
        ratios,
    }
}

impl Evaluation {
    /// Predictors in the order of the report.
    pub fn predictors() -> impl Iterator<Item = &'static str> {
        [MODEL, ADAPTED].into_iter().chain(Baseline::ALL.map(Baseline::name))
    }

    /// Whether the model's advantage over each baseline exceeds what chance explains, on average over enough families.
    pub fn is_proven(&self) -> bool {
        self.families.len() >= FAMILIES_MIN && self.overall.ratios.values().all(|ratio| ratio.interval[1] < 1.0)
    }
}
