//! How a lock is waited for.

use serde::{Deserialize, Serialize};

use crate::sync::wait::cpus;

/// How a thread waits for a lock that another has. Switchable at any moment, by any process, while threads wait.
///
/// None of them is the best everywhere: `cargo xtask bench locks` shows where which one is. Where there is one CPU, those
/// that spin sleep instead: whoever has the lock needs that CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LockStrategy {
    /// Look at the lock until it is free, at growing intervals (test-and-test-and-set with exponential backoff: Anderson,
    /// "The performance of spin lock alternatives for shared-memory multiprocessors", 1990).
    Spin,
    /// Stand in a queue from the beginning, each looking at the place before its own: first come, first served.
    Queue,
    /// Look at it for a while, then sleep.
    SpinPark {
        /// Nanoseconds of looking before the sleep.
        budget_ns: u32,
    },
    /// Sleep at once (`futex(2)`).
    Park,
}

impl LockStrategy {
    /// Spinning for 20 us, then sleeping.
    pub const DEFAULT: Self = Self::SpinPark { budget_ns: 20_000 };

    /// The strategy's name, without its budget.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Queue => "queue",
            Self::SpinPark { .. } => "spin_park",
            Self::Park => "park",
        }
    }

    /// The shared word: kind in the low byte, budget in the upper half. 0, fresh memory, is the default.
    pub(super) fn to_word(self) -> u64 {
        match self {
            Self::Spin => 1,
            Self::Queue => 2,
            Self::SpinPark { budget_ns } => 3 | u64::from(budget_ns) << 32,
            Self::Park => 4,
        }
    }

    /// Reads any word, also one that no process of ours wrote: unknown kinds mean the default.
    pub(super) fn from_word(word: u64) -> Self {
        match word as u8 {
            1 => Self::Spin,
            2 => Self::Queue,
            3 => Self::SpinPark { budget_ns: (word >> 32) as u32 },
            4 => Self::Park,
            _ => Self::DEFAULT,
        }
    }

    /// Whether who has waited that long sleeps.
    pub(super) fn sleeps_after(self, waited_ns: u64) -> bool {
        match self {
            Self::Spin | Self::Queue => false,
            Self::SpinPark { budget_ns } => waited_ns >= u64::from(budget_ns),
            Self::Park => true,
        }
    }

    pub(super) fn on_this_machine(self) -> Self {
        if cpus() == 1 { Self::Park } else { self }
    }
}

impl std::fmt::Display for LockStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SpinPark { budget_ns } => write!(f, "spin_park({} us)", budget_ns / 1000),
            other => f.write_str(other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_survives_its_word() {
        for strategy in [
            LockStrategy::Spin,
            LockStrategy::Queue,
            LockStrategy::SpinPark { budget_ns: u32::MAX },
            LockStrategy::Park,
        ] {
            assert_eq!(LockStrategy::from_word(strategy.to_word()), strategy);
        }
        for word in [0, 5, 0xff, u64::MAX] {
            assert_eq!(LockStrategy::from_word(word), LockStrategy::DEFAULT);
        }
    }
}
