//! Where the model was most wrong.

use serde::Serialize;

use super::judged::{Judged, MODEL};
use crate::baselines::pinball;

/// Cases kept.
const CASES: usize = 8;

/// The tick of a trace at which the model's loss was largest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstCase {
    /// The trace.
    pub trace: String,
    /// Mean arrivals a tick, in multiples of the service.
    pub load: f64,
    /// Ticks since the beginning of what was judged.
    pub tick: usize,
    /// Backlog then, ticks of service.
    pub backlog: f64,
    /// Peak that was predicted.
    pub predicted: f64,
    /// Peak that came.
    pub peak: f64,
    /// The loss.
    pub pinball: f64,
}

/// The worst tick of each judged series, of these the worst.
pub(super) fn worst(judged: &[&Judged<'_>], tau: f64) -> Vec<WorstCase> {
    let mut cases: Vec<WorstCase> = judged.iter().filter_map(|one| worst_of(one, tau)).collect();
    cases.sort_by(|a, b| b.pinball.total_cmp(&a.pinball));
    cases.truncate(CASES);
    cases
}

fn worst_of(judged: &Judged<'_>, tau: f64) -> Option<WorstCase> {
    let rows = judged.peaks().iter().zip(&judged.predictions[MODEL]).zip(judged.backlogs()).enumerate();
    let losses = rows
        .map(|(row, ((&peak, &predicted), backlog))| (pinball(peak, predicted, tau), row, peak, predicted, backlog));
    let (pinball, row, peak, predicted, backlog) = losses.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(WorstCase {
        trace: judged.series.trace.clone(),
        load: judged.series.load,
        tick: row * judged.series.stride,
        backlog,
        predicted,
        peak,
        pinball,
    })
}
