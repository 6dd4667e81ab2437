//! Fits tidegate's overflow model to recorded arrivals, and judges it on families of traces it has not seen.
//!
//! ```text
//! NAME.csv.gz --> dataset --> series (arrivals a tick, at several loads) --> labels (Lindley) --> fit --> model file
//!                                                                      \--> baselines --> evaluate --> report
//! ```

pub mod baselines;
pub mod contention;
pub mod dataset;
pub mod evaluate;
pub mod fit;
pub mod numbers;
pub mod params;
pub mod progress;
pub mod series;
pub mod simulate;
pub mod workload;

pub use dataset::{ArrivalTrace, DatasetError, open_unpacked, read_directory, read_events, read_trace};
pub use evaluate::{Evaluation, evaluate};
pub use fit::Method;
pub use params::{TrainParams, ValidParams};
pub use progress::{Progress, Silent};

use tidegate::model::{ModelFile, Score, Standing, TrainingTrace};

use evaluate::{Comparison, MODEL};

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
    /// linfa could not fit the elastic net.
    #[error("the elastic net failed: {0}")]
    ElasticNet(#[from] linfa_elasticnet::ElasticNetError),
    /// What was fitted is no model that the library accepts.
    #[error("the fitted model is not sound: {0}")]
    Unsound(#[from] tidegate::model::ModelError),
    /// A fit that no traffic explains.
    #[error("the {method} fit is degenerate: it has {found}; the traces may all be alike")]
    Degenerate {
        /// Name of the method.
        method: &'static str,
        /// What it has.
        found: &'static str,
    },
}

/// Fits a model to all of `traces`, with the scores that the same recipe has on held-out families.
///
/// # Errors
/// Too few traces or families, or a fit fails.
pub fn train(
    traces: &[ArrivalTrace],
    params: &ValidParams,
    progress: &dyn Progress,
) -> Result<(ModelFile, Evaluation), TrainError> {
    let evaluation = evaluate(traces, params, progress)?;
    let series = series::all(traces, params);
    let series: Vec<_> = series.iter().collect();
    let mut file = fit::fit(&series, params.method, params)?.file().clone();
    file.standing = if evaluation.is_proven() { Standing::Proven } else { Standing::Candidate };
    file.traces = traces
        .iter()
        .map(|t| TrainingTrace { name: t.name.clone(), family: t.family.clone(), sha256: t.sha256.clone() })
        .collect();
    file.held_out =
        evaluation.families.iter().flat_map(|(family, result)| scores(family, &result.comparison)).collect();
    Ok((file.sealed(), evaluation))
}

fn scores<'a>(family: &'a str, comparison: &'a Comparison) -> impl Iterator<Item = Score> + 'a {
    let predictors = std::iter::once((MODEL, &comparison.model));
    predictors.chain(comparison.baselines.iter().map(|(name, score)| (*name, score))).map(|(name, score)| Score {
        family: family.into(),
        predictor: name.into(),
        pinball: score.pinball,
        pinball_interval: score.pinball_interval,
        coverage: score.coverage,
    })
}
