//! What an end that polls does between two polls.

use std::hint::spin_loop;
use std::thread;

use serde::{Deserialize, Serialize};
use tidegate_benches::cores::Cores;

/// How it lets time pass.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Idle {
    /// It has a core of its own.
    Spin,
    /// It shares one: whoever polls on, keeps the end that it waits for from running until the kernel's slice is over.
    Yield,
}

impl Idle {
    /// That of two ends on `cores`.
    pub(crate) fn of(cores: Cores) -> Self {
        if cores.near == cores.far { Self::Yield } else { Self::Spin }
    }

    /// Lets a little time pass.
    #[inline]
    pub(crate) fn pass(self) {
        match self {
            Self::Spin => spin_loop(),
            Self::Yield => thread::yield_now(),
        }
    }
}
