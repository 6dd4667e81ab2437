//! Calibration of the locks on the machine at hand.

mod sweep;

pub use sweep::{Measured, SweepParams, situations, sweep};

/// The locks could not be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// No lock could be made.
    #[error("no lock can be made: {0}")]
    Shm(#[from] tidegate::ShmError),
    /// A lock was not to be had.
    #[error("a lock was not to be had, or a thread that wanted it has panicked")]
    LockFailed,
    /// No memory for a histogram.
    #[error("there is no memory for a histogram of waits")]
    NoHistogram,
}
