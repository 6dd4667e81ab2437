//! The controller: samples a channel, forecasts its backlog, and changes its plan while traffic flows.
//!
//! ```text
//! sample --> demand, features --> forecast --> decide (pure) --> apply --> journal --> outcome
//! ```

mod budget;
mod calibration;
mod controller;
mod decide;
mod driver;
mod explain;
mod floor;
mod forecast_model;
mod forecaster;
mod history;
mod host_profile;
mod journal;
mod journal_file;
mod meters;
mod model_file;
mod options;
mod overflow;
mod pace;
mod peak;
mod plan;
mod plant;
mod policy;
mod reasons;
mod rent;
mod saturation;
mod situation;
mod waits;

pub use budget::Budget;
pub use calibration::{Calibration, REALISED_BINS};
pub use controller::{ControlAgent, Controller};
pub use decide::decide;
#[cfg(feature = "inspect")]
pub(crate) use explain::bytes;
pub use forecast_model::{ForecastModel, InCharge};
pub use forecaster::{ForecastSource, Prediction};
pub use history::{History, HistoryPoint};
pub use host_profile::{ProfileSource, contention_model, host_profile_path};
pub use journal::{Contribution, Decision, Journal, Outcome};
pub use journal_file::{JournalLines, read_journal};
pub use options::{ControllerOptions, ControllerState, Mode};
pub use plan::{Bounds, Plan, WAIT_ARMS, Weights, ring_arms};
pub use plant::{LivePlant, Plant};
pub use policy::{Cheapest, Fixed, Policy};
pub use reasons::{Action, Blocker, Reason};
pub use situation::{Candidate, Situation, Verdict};
