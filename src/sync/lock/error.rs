//! Why a lock was not had, or not in good order.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::sync::lock::guarded::NotHeld;

/// A lock was not had, or was had and its value may not be whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError<Guard> {
    /// A process died with the lock in hand. It is held now, and with it the value as the dead left it.
    #[error("a process died with the lock in hand: make the value whole, then mark it consistent")]
    OwnerDied(OwnerDied<Guard>),
    /// The deadline has passed.
    #[error("another thread or process has held the lock past the deadline")]
    Stalled,
    /// The handle was made by another process and came here through `fork`.
    #[error("this handle belongs to process {owner} and was inherited by fork: open the lock again in this process")]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

/// A lock was not had at once, or was had and its value may not be whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TryLockError<Guard> {
    /// As [`LockError::OwnerDied`].
    #[error("a process died with the lock in hand: make the value whole, then mark it consistent")]
    OwnerDied(OwnerDied<Guard>),
    /// Somebody holds the lock.
    #[error("another thread or process holds the lock")]
    WouldBlock,
    /// As [`LockError::Forked`].
    #[error("this handle belongs to process {owner} and was inherited by fork: open the lock again in this process")]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

/// A value that a process held when it died, locked: to be made whole, if it can be.
///
/// Dropped as it is, it leaves the value as it was found, and the next to lock finds the same.
#[must_use]
pub struct OwnerDied<Guard> {
    pub(crate) guard: Guard,
    pub(crate) pid: Option<u32>,
}

impl<Guard> LockError<Guard> {
    /// The error alone, to be returned by `?` past the lock: one that holds it gives it back, as it found it.
    pub fn without_guard(self) -> LockError<()> {
        match self {
            Self::OwnerDied(died) => LockError::OwnerDied(OwnerDied { guard: (), pid: died.pid }),
            Self::Stalled => LockError::Stalled,
            Self::Forked { owner } => LockError::Forked { owner },
        }
    }
}

impl<Guard> TryLockError<Guard> {
    /// As [`LockError::without_guard`].
    pub fn without_guard(self) -> TryLockError<()> {
        match self {
            Self::OwnerDied(died) => TryLockError::OwnerDied(OwnerDied { guard: (), pid: died.pid }),
            Self::WouldBlock => TryLockError::WouldBlock,
            Self::Forked { owner } => TryLockError::Forked { owner },
        }
    }
}

impl<Guard> OwnerDied<Guard> {
    /// The process that died last with the lock in hand, if it is known.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }
}

impl<Guard: Deref> Deref for OwnerDied<Guard> {
    type Target = Guard::Target;
    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl<Guard: DerefMut> DerefMut for OwnerDied<Guard> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}

impl<Guard> fmt::Debug for OwnerDied<Guard> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerDied").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl<Guard> From<NotHeld> for LockError<Guard> {
    fn from(not_held: NotHeld) -> Self {
        match not_held {
            NotHeld::Stalled => Self::Stalled,
            NotHeld::Forked { owner } => Self::Forked { owner },
        }
    }
}

impl<Guard> From<NotHeld> for TryLockError<Guard> {
    fn from(not_held: NotHeld) -> Self {
        match not_held {
            NotHeld::Stalled => Self::WouldBlock,
            NotHeld::Forked { owner } => Self::Forked { owner },
        }
    }
}

impl<Guard> From<LockError<Guard>> for TryLockError<Guard> {
    fn from(error: LockError<Guard>) -> Self {
        match error {
            LockError::OwnerDied(died) => Self::OwnerDied(died),
            LockError::Forked { owner } => Self::Forked { owner },
            LockError::Stalled => Self::WouldBlock,
        }
    }
}
