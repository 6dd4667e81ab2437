//! What a controller is started with, and what others may see of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::control::budget::Budget;
use crate::control::calibration::Calibration;
use crate::control::forecast_model::ForecastModel;
use crate::control::history::History;
use crate::control::journal::Journal;
use crate::control::plan::Weights;
use crate::control::policy::{Cheapest, Policy};
use crate::model::TICK_NS;

/// Whether decisions are put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Yes.
    #[default]
    Active,
    /// No: they are only entered in the journal.
    Shadow,
    /// There are none: the channel is only sampled, for the metrics and the history.
    Off,
}

/// Options of a controller. All have defaults; none must be set.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// Least time between samples, 100 us or more; 1 ms. It is longer while nothing can go wrong soon.
    pub tick: Duration,
    /// Whether decisions are put in force; they are.
    pub mode: Mode,
    /// What costs what; [`Weights::BALANCED`].
    pub weights: Weights,
    /// Largest ring it may choose, bytes; the channel's own limit.
    pub ring_bytes_max: Option<u64>,
    /// Memory that the channel shares with others, which have the same; as much as it needs.
    pub budget: Option<Arc<Budget>>,
    /// What forecasts; the packaged model.
    pub model: ForecastModel,
    /// What decides; [`Cheapest`].
    pub policy: Arc<dyn Policy>,
    /// A file to which each decision is appended as a line of JSON, and once more when its outcome is known; none. A line that
    /// cannot be written ends it, and [`Journal::file_error`] says why.
    pub journal_file: Option<PathBuf>,
}

impl Default for ControllerOptions {
    fn default() -> Self {
        Self {
            tick: Duration::from_nanos(TICK_NS),
            mode: Mode::Active,
            weights: Weights::BALANCED,
            ring_bytes_max: None,
            budget: None,
            model: ForecastModel::Packaged,
            policy: Arc::new(Cheapest),
            journal_file: None,
        }
    }
}

/// What others may look at while the controller runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct ControllerState {
    /// What the channel is called.
    pub name: String,
    /// Whether decisions are put in force.
    pub mode: Mode,
    /// Memory that the channel shares with others.
    pub budget: Option<Arc<Budget>>,
    /// Every decision.
    pub journal: Mutex<Journal>,
    /// The recent course.
    pub history: Mutex<History>,
    /// How the forecasts did.
    pub calibration: Mutex<Calibration>,
}

impl ControllerState {
    pub(crate) fn new(name: &str, options: &ControllerOptions, tau: f64) -> Self {
        Self {
            name: name.into(),
            mode: options.mode,
            budget: options.budget.clone(),
            journal: Mutex::default(),
            history: Mutex::default(),
            calibration: Mutex::new(Calibration::new(tau)),
        }
    }
}
