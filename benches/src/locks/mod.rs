//! Locks under contention: Tidegate's ways of waiting beside the locks of others.

mod contend;
mod pthread;
pub mod report;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidegate::{LockStrategy, ShmMutex};

pub use contend::{Calibration, Cell, Locked, Role, measure};
use pthread::{PthreadKind, PthreadMutex};

/// A lock that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// Tidegate, [`LockStrategy::Spin`].
    Spin,
    /// Tidegate, [`LockStrategy::Queue`].
    Queue,
    /// Tidegate, [`LockStrategy::SpinPark`] with the default budget.
    SpinPark,
    /// Tidegate, [`LockStrategy::Park`].
    Park,
    /// parking_lot's `Mutex`, which is for the threads of one process.
    ParkingLot,
    /// glibc's mutex, shared and robust (`pthread_mutexattr_setrobust(3)`).
    PthreadRobust,
    /// glibc's adaptive mutex, shared (PTHREAD_MUTEX_ADAPTIVE_NP).
    PthreadAdaptive,
}

impl System {
    /// All of them, Tidegate's first.
    pub const ALL: [Self; 7] = [
        Self::Spin,
        Self::Queue,
        Self::SpinPark,
        Self::Park,
        Self::ParkingLot,
        Self::PthreadRobust,
        Self::PthreadAdaptive,
    ];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Queue => "queue",
            Self::SpinPark => "spin_park",
            Self::Park => "park",
            Self::ParkingLot => "parking_lot",
            Self::PthreadRobust => "pthread robust",
            Self::PthreadAdaptive => "pthread adaptive",
        }
    }

    fn strategy(self) -> Option<LockStrategy> {
        match self {
            Self::Spin => Some(LockStrategy::Spin),
            Self::Queue => Some(LockStrategy::Queue),
            Self::SpinPark => Some(LockStrategy::DEFAULT),
            Self::Park => Some(LockStrategy::Park),
            Self::ParkingLot | Self::PthreadRobust | Self::PthreadAdaptive => None,
        }
    }

    /// Whether it is one of Tidegate's.
    pub fn is_own(self) -> bool {
        self.strategy().is_some()
    }

    /// Whether processes can share it.
    pub fn is_shared(self) -> bool {
        self != Self::ParkingLot
    }
}

/// A lock that guards a count.
trait Lock: Sync {
    /// Adds one to the count and does `work`, with the lock in hand.
    fn hold(&self, work: impl FnOnce());

    /// The count.
    fn count(&self) -> u64;
}

impl Lock for ShmMutex<u64> {
    #[inline]
    fn hold(&self, work: impl FnOnce()) {
        let Ok(mut count) = self.lock() else { unreachable!("nobody dies") };
        *count += 1;
        work();
    }

    fn count(&self) -> u64 {
        self.lock().map_or(0, |count| *count)
    }
}

impl Lock for parking_lot::Mutex<u64> {
    #[inline]
    fn hold(&self, work: impl FnOnce()) {
        let mut count = self.lock();
        *count += 1;
        work();
    }

    fn count(&self) -> u64 {
        *self.lock()
    }
}

/// What a lock is good for, whichever it is.
trait WithLock {
    type Output;

    fn with<L: Lock>(self, lock: &L) -> Self::Output;
}

/// Makes a lock, and a name by which another process finds it.
fn with_new<W: WithLock>(system: System, name: &str, user: W) -> anyhow::Result<W::Output> {
    let pthread = |kind| PthreadMutex::create(name, kind).context("making a pthread mutex");
    Ok(match system.strategy() {
        Some(strategy) => {
            let mutex = ShmMutex::create(name, 0)?;
            mutex.set_strategy(strategy);
            user.with(&mutex)
        }
        None => match system {
            System::PthreadRobust => user.with(&pthread(PthreadKind::Robust)?),
            System::PthreadAdaptive => user.with(&pthread(PthreadKind::Adaptive)?),
            _ => user.with(&parking_lot::Mutex::new(0)),
        },
    })
}

/// Finds a lock that another process has made.
fn with_existing<W: WithLock>(system: System, name: &str, user: W) -> anyhow::Result<W::Output> {
    Ok(match system.strategy() {
        Some(_) => user.with(&ShmMutex::<u64>::open(name)?),
        None => user.with(&PthreadMutex::open(name)?),
    })
}
