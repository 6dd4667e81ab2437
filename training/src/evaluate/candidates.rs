//! The methods that are not shipped, behind the same gate; and logistic regression for the overflow probability alone.

use std::collections::BTreeSet;

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use serde::Serialize;

use super::judged::{Contenders, Judged};
use super::probability::{self, Calibration};
use super::{Verdict, verdict};
use crate::TrainError;
use crate::fit::Method;
use crate::params::ValidParams;
use crate::progress::Progress;
use crate::series::Series;
use tidegate::model::FEATURES;

/// Rows that the logistic regression is fitted to.
const LOGISTIC_ROWS: usize = 20_000;
/// Rounds of its solver at most: a watchdog.
const LOGISTIC_ROUNDS: u64 = 200;

/// A method that is not the model's.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Candidate {
    /// It predicts the peak.
    Peak(Box<Verdict>),
    /// It predicts only whether the ring overflows.
    Overflow(Calibration),
    /// It could not be fitted.
    Failed {
        /// Why.
        failed: String,
    },
}

pub(super) fn judge(
    series: &[Series],
    held_out: &[Vec<&Judged<'_>>],
    params: &ValidParams,
    progress: &dyn Progress,
) -> Result<std::collections::BTreeMap<&'static str, Candidate>, TrainError> {
    let others: Vec<Method> = Method::ALL.into_iter().filter(|method| *method != params.method).collect();
    progress.begin("other methods", others.len() + 1);
    let mut candidates = std::collections::BTreeMap::new();
    for method in others {
        let candidate = match peak(series, method, params) {
            Ok(verdict) => Candidate::Peak(Box::new(verdict)),
            Err(error) => Candidate::Failed { failed: error.to_string() },
        };
        candidates.insert(method.name(), candidate);
        progress.step();
    }
    let logistic = match logistic(series, held_out) {
        Ok(calibration) => Candidate::Overflow(calibration),
        Err(failed) => Candidate::Failed { failed },
    };
    candidates.insert("logistic", logistic);
    progress.step();
    Ok(candidates)
}

fn peak(series: &[Series], method: Method, params: &ValidParams) -> Result<Verdict, TrainError> {
    let families: BTreeSet<&str> = series.iter().map(|s| s.family.as_str()).collect();
    let mut judged: Vec<Vec<Judged<'_>>> = Vec::new();
    for family in families {
        let (held_out, rest): (Vec<&Series>, Vec<&Series>) = series.iter().partition(|s| s.family == family);
        let contenders = Contenders::fit(&rest, method, params)?;
        judged.push(held_out.into_iter().map(|s| contenders.judge(s, 0)).collect());
    }
    let groups: Vec<Vec<&Judged<'_>>> = judged.iter().map(|group| group.iter().collect()).collect();
    Ok(verdict(&groups, params.tau))
}

/// Logistic regression of whether the ring overflows, on the log1p features, each family held out in turn.
fn logistic(series: &[Series], held_out: &[Vec<&Judged<'_>>]) -> Result<Calibration, String> {
    let mut rows = Vec::new();
    for group in held_out {
        let Some(first) = group.first() else { continue };
        let (family, capacity) = (first.series.family.as_str(), first.capacity);
        let asked: Vec<([f64; FEATURES], bool)> = series
            .iter()
            .filter(|s| s.family != family)
            .flat_map(|s| s.rows.iter().zip(&s.peaks).zip(&s.signals))
            .filter(|(_, signals)| signals.backlog <= capacity)
            .map(|((row, peak), _)| (row.map(f64::ln_1p), *peak > capacity))
            .collect();
        let stride = asked.len().div_ceil(LOGISTIC_ROWS).max(1);
        let thinned: Vec<_> = asked.into_iter().step_by(stride).collect();
        let columns = Array2::from_shape_fn((thinned.len(), FEATURES), |(row, i)| thinned[row].0[i]);
        let labels = Array1::from_iter(thinned.iter().map(|(_, overflows)| *overflows));
        let solver = LogisticRegression::default().alpha(1.0).max_iterations(LOGISTIC_ROUNDS);
        let fitted = solver.fit(&Dataset::new(columns, labels)).map_err(|e| e.to_string())?;
        // The library's positive class is the larger label it met, or the first: ask which.
        let says_overflow = fitted.labels().pos.class;
        for one in group {
            let columns =
                Array2::from_shape_fn((one.series.rows.len(), FEATURES), |(row, i)| one.series.rows[row][i].ln_1p());
            let probabilities = fitted.predict_probabilities(&columns);
            for ((backlog, peak), probability) in one.backlogs().zip(one.peaks()).zip(probabilities) {
                if backlog <= capacity {
                    let overflow = if says_overflow { probability } else { 1.0 - probability };
                    rows.push((overflow, *peak > capacity));
                }
            }
        }
    }
    Ok(probability::of_rows(&rows))
}
