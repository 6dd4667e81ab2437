//! Drops against memory: a ring without back-pressure, sized by each predictor.

use serde::Serialize;

use super::judged::Judged;

/// Multiples of the prediction that rings are given.
const SCALES: [f64; 6] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0];

/// A ring sized by a multiple of a prediction.
#[derive(Debug, Clone, Serialize)]
pub struct ParetoPoint {
    /// Who predicted.
    pub predictor: &'static str,
    /// The multiple.
    pub scale: f64,
    /// Mean size of the ring, ticks of service, over traces.
    pub mean_capacity: f64,
    /// Share of the offered bytes that found it full, over traces.
    pub dropped_share: f64,
}

pub(super) fn pareto(judged: &[&Judged<'_>], predictor: &'static str) -> Vec<ParetoPoint> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let point = |scale: f64| {
        let runs: Vec<(f64, f64)> = judged.iter().map(|one| run(one, predictor, scale)).collect();
        let (capacities, drops): (Vec<f64>, Vec<f64>) = runs.into_iter().unzip();
        ParetoPoint { predictor, scale, mean_capacity: mean(&capacities), dropped_share: mean(&drops) }
    };
    SCALES.map(point).to_vec()
}

/// Mean capacity and dropped share. What is there stays when the ring shrinks.
fn run(judged: &Judged<'_>, predictor: &str, scale: f64) -> (f64, f64) {
    let predictions = &judged.predictions[predictor];
    let stride = judged.series.stride;
    let first = judged.first_row * stride;
    let (mut backlog, mut dropped, mut offered, mut capacities) = (0.0f64, 0.0, 0.0, 0.0);
    let arrivals = judged.series.arrivals.get(first + 1..).unwrap_or_default();
    let ticks = arrivals.len().min(predictions.len() * stride);
    for (tick, arrived) in arrivals[..ticks].iter().enumerate() {
        let capacity = (predictions[tick / stride] * scale).max(1.0);
        let wanted = (backlog + arrived - 1.0).max(0.0);
        let kept = wanted.min(capacity.max(backlog));
        dropped += wanted - kept;
        backlog = kept;
        offered += arrived;
        capacities += capacity;
    }
    (capacities / ticks.max(1) as f64, dropped / offered.max(f64::MIN_POSITIVE))
}
