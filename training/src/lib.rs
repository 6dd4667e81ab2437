//! Fits tidegate's overflow model to recorded arrivals, and judges it on families of traces it has not seen.
//!
//! ```text
//! NAME.csv.gz --> dataset --> series (arrivals a tick, at several loads) --> labels (Lindley) --> fit --> model file
//!                                                                      \--> baselines --> evaluate --> report
//! ```

pub mod baselines;
pub mod dataset;
pub mod evaluate;
pub mod fit;
pub mod params;
pub mod series;

pub use dataset::{ArrivalTrace, DatasetError, read_directory, read_events, read_trace};
pub use evaluate::{Evaluation, evaluate};
pub use params::{TrainParams, ValidParams};

use tidegate::model::{ModelFile, Score, TrainingTrace};

/// Training or evaluation was not possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The traces could not be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A parameter is out of its range.
    #[error("{name} is {value}, it must be {range}")]
    BadParam {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// Too little data to fit or to hold anything out.
    #[error("{needs} are needed and there are {found}: add traces")]
    TooLittle {
        /// What is needed.
        needs: &'static str,
        /// How many there are.
        found: usize,
    },
    /// linfa could not fit.
    #[error("the regression failed: {0}")]
    Fit(#[from] linfa_linear::LinearError<f64>),
}

/// Fits a model to all of `traces`, with the scores that the same recipe has on held-out families.
///
/// # Errors
/// Too few traces or families, or the regression fails.
pub fn train(traces: &[ArrivalTrace], params: &ValidParams) -> Result<(ModelFile, Evaluation), TrainError> {
    let evaluation = evaluate(traces, params)?;
    let series = series::all(traces, params);
    let mut file = fit::fit(&series.iter().collect::<Vec<_>>(), params)?;
    file.traces = traces
        .iter()
        .map(|t| TrainingTrace { name: t.name.clone(), family: t.family.clone(), sha256: t.sha256.clone() })
        .collect();
    file.held_out = evaluation
        .scores
        .iter()
        .map(|s| Score {
            family: s.family.clone(),
            predictor: s.predictor.into(),
            pinball: s.pinball,
            coverage: s.coverage,
        })
        .collect();
    Ok((file.sealed(), evaluation))
}
