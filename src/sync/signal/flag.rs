//! A flag that any process sets and waits for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::shm::ShmError;
use crate::shm::layout::Kind;
use crate::sync::clock::deadline;
use crate::sync::signal::shared::Signal;

/// The flag itself; the other bits count how often it was set.
const SET: u64 = 1;

/// A flag that processes set, clear and wait for.
///
/// It has no name: a process reaches it through its descriptor ([`AsFd`], [`ShmFlag::from_fd`]). Handles are cheap to clone, and
/// clones share the mapping.
///
/// ```
/// use std::os::fd::AsFd;
/// use tidegate::ShmFlag;
///
/// let here = ShmFlag::create()?;
/// let there = ShmFlag::from_fd(here.as_fd().try_clone_to_owned()?)?; // in another process, as a rule
/// there.set()?;
/// assert!(here.wait(None)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShmFlag {
    signal: Arc<Signal>,
}

impl ShmFlag {
    /// Makes a flag that is not set.
    ///
    /// # Errors
    /// Memory cannot be had.
    pub fn create() -> Result<Self, ShmError> {
        Ok(Self { signal: Arc::new(Signal::create(Kind::Flag, 0, 0, 0)?) })
    }

    /// Attaches to the flag that a descriptor leads to.
    ///
    /// # Errors
    /// What is in it is no flag, of another version, or not trusted.
    pub fn from_fd(memory: OwnedFd) -> Result<Self, ShmError> {
        let (signal, _) = Signal::from_fd(Kind::Flag, &memory)?;
        Ok(Self { signal: Arc::new(signal) })
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.load() & SET != 0
    }

    /// Sets it, and wakes all that wait.
    ///
    /// # Errors
    /// [`ShmError::Forked`].
    pub fn set(&self) -> Result<(), ShmError> {
        self.check_not_forked()?;
        // Edge `flag-set`, writing end.
        let set = |word| Some(if word & SET == 0 { u64::wrapping_add(word, 2) | SET } else { word });
        let _before = self.signal.words.state.0.fetch_update(Release, Relaxed, set);
        self.signal.notify();
        Ok(())
    }

    /// Clears it. Who waits already when it was set has seen that.
    ///
    /// # Errors
    /// [`ShmError::Forked`].
    pub fn clear(&self) -> Result<(), ShmError> {
        self.check_not_forked()?;
        self.signal.words.state.0.fetch_and(!SET, Relaxed);
        Ok(())
    }

    /// Waits until it is set, at most `timeout`, or as long as it takes. Whether it was.
    ///
    /// # Errors
    /// [`ShmError::Forked`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, ShmError> {
        self.wait_since(self.times_set(), timeout)
    }

    /// How often it was set, for [`ShmFlag::wait_since`].
    pub fn times_set(&self) -> u64 {
        self.load() >> 1
    }

    /// As [`ShmFlag::wait`]; that it was set and cleared since `times_set` ends the wait, too.
    ///
    /// # Errors
    /// [`ShmError::Forked`].
    pub fn wait_since(&self, times_set: u64, timeout: Option<Duration>) -> Result<bool, ShmError> {
        self.check_not_forked()?;
        let was_set = || {
            let word = self.load();
            (word & SET != 0 || word >> 1 != times_set).then_some(())
        };
        Ok(self.signal.wait(timeout.map(deadline), was_set, || None).is_some())
    }

    fn load(&self) -> u64 {
        // Edge `flag-set`, reading end: what whoever set it did before is done.
        self.signal.words.state.0.load(Acquire)
    }

    fn check_not_forked(&self) -> Result<(), ShmError> {
        self.signal.check_not_forked().map_err(|owner| ShmError::Forked { owner })
    }
}

impl AsFd for ShmFlag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}
