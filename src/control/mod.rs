//! The controller: samples a channel, forecasts its backlog, and changes its plan while traffic flows.
//!
//! ```text
//! sample --> demand, features --> forecast --> decide (pure) --> apply --> journal --> outcome
//! ```

mod controller;
mod decide;
mod forecast_model;
mod forecaster;
mod history;
mod host_profile;
mod journal;
mod meters;
mod model_file;
mod pace;
mod peak;
mod plan;
mod plant;
mod rent;
mod saturation;
mod waits;

pub use controller::{ControlAgent, Controller, ControllerOptions, ControllerState, Mode};
pub use decide::{Action, Blocker, Candidate, Reason, Situation, Verdict, decide};
pub use forecast_model::{ForecastModel, InCharge};
pub use forecaster::{ForecastSource, Prediction};
pub use history::{History, HistoryPoint};
pub use host_profile::{ProfileSource, contention_model, host_profile_path};
pub use journal::{Contribution, Decision, Journal, Outcome};
pub use plan::{Bounds, Plan, WAIT_ARMS, Weights, ring_arms};
pub use plant::{LivePlant, Plant};
