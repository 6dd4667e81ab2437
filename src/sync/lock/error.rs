//! Why a lock was not had, or not in good order.

use crate::sync::mutex::OwnerDied;

/// A mutex was not locked, or is locked and its value may not be whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError<'a, T> {
    /// A process died with the lock in hand. It is held now, and with it the value as the dead left it.
    #[error("a process died with the lock in hand: make the value whole, then mark it consistent")]
    OwnerDied(OwnerDied<'a, T>),
    /// The deadline has passed.
    #[error("another thread or process has held the lock past the deadline")]
    Stalled,
    /// The handle was made by another process and came here through `fork`.
    #[error("this handle belongs to process {owner} and was inherited by fork: open the mutex again in this process")]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

/// A mutex was not locked at once, or is locked and its value may not be whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TryLockError<'a, T> {
    /// As [`LockError::OwnerDied`].
    #[error("a process died with the lock in hand: make the value whole, then mark it consistent")]
    OwnerDied(OwnerDied<'a, T>),
    /// Somebody holds the lock.
    #[error("another thread or process holds the lock")]
    WouldBlock,
    /// As [`LockError::Forked`].
    #[error("this handle belongs to process {owner} and was inherited by fork: open the mutex again in this process")]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

impl<'a, T> From<LockError<'a, T>> for TryLockError<'a, T> {
    fn from(error: LockError<'a, T>) -> Self {
        match error {
            LockError::OwnerDied(died) => Self::OwnerDied(died),
            LockError::Forked { owner } => Self::Forked { owner },
            LockError::Stalled => Self::WouldBlock,
        }
    }
}
