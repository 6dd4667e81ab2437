//! The overflow forecast: features of a channel's recent demand, and a linear model read from a checked file.
//!
//! Everything is counted in multiples of the *service per tick*, the bytes that the receiver can take out in a tick, so
//! that a model learned on one machine holds on another. Training lives in a crate of its own; here is only what the
//! live forecast needs: a dot product.

mod artifact;
mod contention;
mod features;
mod forecast;
mod host_profile;
mod online;
mod past;
mod placement;
mod sealed;
mod service;

pub use artifact::{
    FORMAT_VERSION, FeatureBounds, ModelError, ModelFile, ModelPart, PartScale, Score, Standing, TrainingTrace,
};
pub use contention::{ArmCosts, ArmWeights, CONTENTION_TERMS, Contention, LOCK_ARMS, cheaper_by, cheapest};
pub use features::{Demand, FEATURE_NAMES, FEATURES, FeatureWindow, Features, WARM_TICKS, feature_schema};
pub use forecast::{EXCEEDANCE_LEVELS, Forecast, OverflowModel};
pub use host_profile::{
    ArmModel, ChoiceScore, ContentionModel, HostProfile, LockChoice, PROFILE_VERSION, ProfiledMachine,
};
pub use online::Online;
pub use placement::{Core, Placement, PlacementModel, TRUSTED_FROM, Task, Worker};
pub use sealed::FILE_BYTES_MAX;
pub(crate) use service::nominal_ticks;
pub use service::{Observation, ServiceRate};

/// Length of the tick that models are trained for, nanoseconds.
pub const TICK_NS: u64 = 1_000_000;
