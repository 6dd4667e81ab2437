//! How to train. Parameters are unchecked until `check()`.

use crate::TrainError;
use crate::fit::Method;

/// Parameters of training and evaluation.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `horizon_ticks` | 32 | how far ahead the peak is predicted | 1 to 4,096 |
/// | `tau` | 0.99 | the quantile | 0.5 to 0.9999 |
/// | `method` | blend | how the model is fitted | see [`Method`] |
/// | `penalty` | 0.01 | ridge penalty on standardised features, per row | above 0 to 100 |
/// | `rows_max` | 6,000 | rows kept of each trace at each load | 100 to 1,000,000 |
#[derive(Debug, Clone)]
pub struct TrainParams {
    /// Ticks ahead.
    pub horizon_ticks: u32,
    /// Quantile to predict.
    pub tau: f64,
    /// How the model is fitted.
    pub method: Method,
    /// Ridge penalty.
    pub penalty: f64,
    /// Rows kept of each trace at each load, evenly spaced.
    pub rows_max: usize,
}

/// Parameters that have been checked.
#[derive(Debug, Clone)]
pub struct ValidParams(TrainParams);

impl Default for TrainParams {
    fn default() -> Self {
        Self { horizon_ticks: 32, tau: 0.99, method: Method::Blend, penalty: 1e-2, rows_max: 6_000 }
    }
}

impl TrainParams {
    /// Checks every parameter.
    ///
    /// # Errors
    /// [`TrainError::BadParam`] names the first that is out of its range.
    pub fn check(self) -> Result<ValidParams, TrainError> {
        let within = |name, value: f64, low: f64, high: f64, range| {
            if value >= low && value <= high { Ok(()) } else { Err(TrainError::BadParam { name, value, range }) }
        };
        within("horizon_ticks", self.horizon_ticks.into(), 1.0, 4096.0, "1 to 4096")?;
        within("tau", self.tau, 0.5, 0.9999, "0.5 to 0.9999")?;
        within("penalty", self.penalty, f64::MIN_POSITIVE, 100.0, "above 0 to 100")?;
        within("rows_max", self.rows_max as f64, 100.0, 1e6, "100 to 1000000")?;
        Ok(ValidParams(self))
    }
}

impl std::ops::Deref for ValidParams {
    type Target = TrainParams;
    fn deref(&self) -> &TrainParams {
        &self.0
    }
}
