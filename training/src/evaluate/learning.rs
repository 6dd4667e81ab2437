//! Whether more of each recording would help: losses of models fitted to its beginning alone.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::ArrivalTrace;
use crate::TrainError;
use crate::baselines::pinball;
use crate::fit;
use crate::params::ValidParams;
use crate::progress::Progress;
use crate::series::{self, Series};

/// Shares of each recording, its beginning, that models are fitted to.
const SHARES: [f64; 5] = [0.0625, 0.125, 0.25, 0.5, 1.0];

/// A model fitted to a part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LearningPoint {
    /// Share of each recording that it was fitted to.
    pub share: f64,
    /// Rows fitted to, mean over held-out families.
    pub rows: f64,
    /// Pinball loss on these, ticks of service, every family held out in turn.
    pub training: f64,
    /// Pinball loss on the family held out, every family alike.
    pub held_out: f64,
}

/// The losses by how much of each recording the model was fitted to.
///
/// # Errors
/// Too little data for the smallest share is no error: that point is left out. A fit fails.
pub fn learning_curve(
    traces: &[ArrivalTrace],
    params: &ValidParams,
    progress: &dyn Progress,
) -> Result<Vec<LearningPoint>, TrainError> {
    let series = series::all(traces, params);
    let families: BTreeSet<&str> = traces.iter().map(|trace| trace.family.as_str()).collect();
    progress.begin("learning curve", SHARES.len() * families.len());
    let mut curve = Vec::new();
    for share in SHARES {
        let mut sums = [0.0; 3];
        let mut is_whole = true;
        for &family in &families {
            let (held_out, rest): (Vec<&Series>, Vec<&Series>) = series.iter().partition(|s| s.family == family);
            let beginnings: Vec<Series> =
                rest.iter().map(|s| s.first_rows((s.rows.len() as f64 * share) as usize)).collect();
            let beginnings: Vec<&Series> = beginnings.iter().collect();
            match fit::fit(&beginnings, params.method, params) {
                Ok(model) => {
                    let rows = beginnings.iter().map(|s| s.rows.len()).sum::<usize>() as f64;
                    let losses = [rows, loss(&model, &beginnings, params.tau), loss(&model, &held_out, params.tau)];
                    sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss / families.len() as f64);
                }
                Err(TrainError::TooLittle { .. } | TrainError::Degenerate { .. }) => is_whole = false,
                Err(error) => return Err(error),
            }
            progress.step();
        }
        if is_whole {
            let [rows, training, held_out] = sums;
            curve.push(LearningPoint { share, rows, training, held_out });
        }
    }
    Ok(curve)
}

fn loss(model: &tidegate::model::OverflowModel, series: &[&Series], tau: f64) -> f64 {
    let rows = series.iter().flat_map(|s| s.rows.iter().zip(&s.peaks));
    let losses = rows.map(|(row, peak)| pinball(*peak, model.forecast(row).peak_backlog, tau));
    let (sum, count) = losses.fold((0.0, 0.0), |(sum, count), loss| (sum + loss, count + 1.0));
    sum / f64::max(count, 1.0)
}
