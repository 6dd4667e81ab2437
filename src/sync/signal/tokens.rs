//! A counter of tokens that any process gives and takes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::shm::ShmError;
use crate::shm::layout::Kind;
use crate::sync::clock::deadline;
use crate::sync::signal::shared::Signal;
use crate::sync::signal::token_word::{NoPlace, TOKENS_MAX, TokenWord};

/// A counting semaphore as POSIX has it (`sem_overview(7)`): a token belongs to nobody, and who gives one need not have taken it.
///
/// Where there may be one token only, it is a lock that any may release, and who took the token is known: should that process
/// die, one of those that wait gives the token back and is told. [`ShmSemaphore`](crate::ShmSemaphore) knows who has each
/// of many permits, and takes them back.
///
/// It has no name: a process reaches it through its descriptor ([`AsFd`], [`ShmTokens::from_fd`]). Handles are cheap to clone, and
/// clones share the mapping.
///
/// ```
/// use std::os::fd::AsFd;
/// use tidegate::ShmTokens;
///
/// let here = ShmTokens::create(0, 10)?;
/// let there = ShmTokens::from_fd(here.as_fd().try_clone_to_owned()?)?; // in another process, as a rule
/// assert!(here.try_take().is_err());
/// there.give()?;
/// here.take(None)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShmTokens {
    signal: Arc<Signal>,
    max: u32,
}

/// No token was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// There was none until the deadline.
    #[error("there was no token until the deadline")]
    Stalled,
    /// Who took the only token has died, or has let its handle go, and kept it. It is there again; this is told once.
    #[error("process {pid} went with the only token, which is there again")]
    TakerDied {
        /// The process; 0 if it is not known any more.
        pid: u32,
    },
    /// The handle was made by another process and came here through `fork`.
    #[error("this handle belongs to process {owner} and was inherited by fork: attach to the tokens in this process")]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

/// No token was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveError {
    /// There are as many as there may be.
    #[error("there are {max} tokens already, which is the most")]
    Full {
        /// Most tokens.
        max: u32,
    },
    /// As [`TakeError::Forked`].
    #[error("this handle belongs to process {owner} and was inherited by fork: attach to the tokens in this process")]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

impl ShmTokens {
    /// Makes a counter with `tokens` in it, of which there may be `max`, 1 to 2^31 - 1.
    ///
    /// # Errors
    /// [`ShmError::BadPermits`]; memory cannot be had.
    pub fn create(tokens: u32, max: u32) -> Result<Self, ShmError> {
        check(max)?;
        if tokens > max {
            return Err(ShmError::BadPermits { permits: tokens, max });
        }
        Ok(Self { signal: Arc::new(Signal::create(Kind::Tokens, max, tokens.into(), 0)?), max })
    }

    /// Attaches to the counter that a descriptor leads to.
    ///
    /// # Errors
    /// What is in it is no counter of tokens, of another version, or not trusted.
    pub fn from_fd(memory: OwnedFd) -> Result<Self, ShmError> {
        let (signal, max) = Signal::from_fd(Kind::Tokens, &memory)?;
        check(max)?;
        Ok(Self { signal: Arc::new(signal), max })
    }

    /// Takes a token, waiting for one at most `timeout`, or as long as it takes.
    ///
    /// # Errors
    /// All of [`TakeError`].
    pub fn take(&self, timeout: Option<Duration>) -> Result<(), TakeError> {
        self.check_not_forked()?;
        let (signal, word) = (&*self.signal, self.word());
        let take = || word.take(signal.seat()).map(Ok);
        let check = || self.taker_died().map(Err);
        signal.wait(timeout.map(deadline), take, check).unwrap_or_else(|| {
            // A wait that is short ends before it looks who has died.
            Err(self.taker_died_when_due().unwrap_or(TakeError::Stalled))
        })
    }

    /// Takes a token if there is one now.
    ///
    /// # Errors
    /// As [`ShmTokens::take`].
    pub fn try_take(&self) -> Result<(), TakeError> {
        self.check_not_forked()?;
        let taken = self.word().take(self.signal.seat());
        taken.ok_or_else(|| self.taker_died_when_due().unwrap_or(TakeError::Stalled))
    }

    /// Adds a token, whoever took one.
    ///
    /// # Errors
    /// [`GiveError::Full`], [`GiveError::Forked`].
    pub fn give(&self) -> Result<(), GiveError> {
        self.signal.check_not_forked().map_err(|owner| GiveError::Forked { owner })?;
        self.word().give(self.max).map_err(|NoPlace| GiveError::Full { max: self.max })?;
        self.signal.notify();
        Ok(())
    }

    /// Tokens that are there.
    pub fn tokens(&self) -> u32 {
        self.word().look().0
    }

    /// Most tokens that there may be.
    pub fn max(&self) -> u32 {
        self.max
    }

    fn word(&self) -> TokenWord<'_> {
        TokenWord(&self.signal.words.state.0)
    }

    fn check_not_forked(&self) -> Result<(), TakeError> {
        self.signal.check_not_forked().map_err(|owner| TakeError::Forked { owner })
    }

    /// Gives the only token back, if who took it is dead.
    fn taker_died(&self) -> Option<TakeError> {
        self.inherit(|taker| self.signal.has_died(taker))
    }

    fn taker_died_when_due(&self) -> Option<TakeError> {
        self.inherit(|taker| self.signal.has_died_when_due(taker))
    }

    fn inherit(&self, has_died: impl FnOnce(u64) -> Option<u32>) -> Option<TakeError> {
        let (tokens, taker) = self.word().look();
        if self.max > 1 || tokens > 0 || taker == 0 || taker == self.signal.seat() {
            return None;
        }
        let pid = has_died(taker)?;
        let is_mine_to_tell = self.word().give_for(taker);
        if is_mine_to_tell {
            self.signal.notify();
        }
        is_mine_to_tell.then_some(TakeError::TakerDied { pid })
    }
}

impl AsFd for ShmTokens {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

fn check(max: u32) -> Result<(), ShmError> {
    if (1..=TOKENS_MAX).contains(&max) { Ok(()) } else { Err(ShmError::BadPermits { permits: max, max: TOKENS_MAX }) }
}
