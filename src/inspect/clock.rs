//! From the clock of samples to that of people.

use std::sync::OnceLock;
use std::time::SystemTime;

use crate::sync::clock::now_ns;

/// What the clocks show at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnixClock {
    monotonic_ns: u64,
    unix_ms: f64,
}

impl UnixClock {
    /// The same for all that this process tells, so that points of a course keep their order when the clock is set.
    pub(crate) fn of_process() -> Self {
        static FIRST: OnceLock<UnixClock> = OnceLock::new();
        *FIRST.get_or_init(Self::now)
    }

    pub(crate) fn now() -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { monotonic_ns: now_ns(), unix_ms: unix.as_secs_f64() * 1e3 }
    }

    /// Nanoseconds on CLOCK_MONOTONIC.
    pub(crate) fn monotonic_ns(self) -> u64 {
        self.monotonic_ns
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(self) -> f64 {
        self.unix_ms
    }

    /// When `monotonic_ns` was, milliseconds since the Unix epoch.
    pub(crate) fn ms_of(self, monotonic_ns: u64) -> f64 {
        self.unix_ms - (self.monotonic_ns as f64 - monotonic_ns as f64) / 1e6
    }
}
