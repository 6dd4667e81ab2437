//! A reader-writer lock over a value in shared memory.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::shm::ShmError;
use crate::sync::clock::deadline;
use crate::sync::lock::error::{LockError, OwnerDied, TryLockError};
use crate::sync::lock::guarded::{Guarded, Held, LockWaits};
use crate::sync::lock::readers::ReadersWriterWords;
use crate::sync::lock::strategy::LockStrategy;
use crate::sync::lock::wait::WaitCost;

/// A lock that processes share by name, and the value that it guards, which many may read at once, or one may write.
///
/// It is [`ShmMutex`](crate::ShmMutex) with readers beside it: it lives as long, its handles are cheap to clone in the same way,
/// and its value is plain old data of which the same is true. To read costs more than to lock a mutex that nobody else wants,
/// and a writer looks at 256 words, one for each participant that there could be: this lock is for values that are read for
/// longer than that takes (a microsecond and more), by several at once. `cargo xtask bench rwlock` shows from where on.
///
/// - **Death.** A reader that dies leaves the value whole: a writer that waits for it learns of its death, within 20 ms. A
///   writer that dies leaves [`LockError::OwnerDied`] to whoever comes next, to read or to write, who then alone has the lock,
///   and so on until one says that the value is whole ([`OwnerDied::mark_consistent`]). Who dies as it waits leaves nothing. Who
///   drops its handle over a guard that was forgotten, or calls `exec`, has died in this sense.
/// - **Waiting.** As for the mutex, by a [`LockStrategy`].
/// - **Fairness.** Readers come in past writers that stand in line, while nobody has the lock to write. A writer that has it waits
///   for those who read already; who comes to read then stands in line with the writers, by the mutex's rules. Such a writer has
///   the lock: while it is stopped, nobody comes in.
/// - **Relocking.** Who reads and writes, or writes and reads, on one thread waits for itself. So may who reads twice, where
///   a writer comes in between. A guard that nothing names lives to the end of its statement.
/// - **Fork.** Handles are refused in a child, and guards that it has by `fork` give back nothing there. They do not keep writers
///   away from it: it is not to read by them.
///
/// ```
/// use tidegate::{LockError, ShmRwLock, TryLockError};
///
/// let name = format!("limits-{}", std::process::id());
/// let here = ShmRwLock::create(&name, [10u32, 20])?;
/// let there = ShmRwLock::<[u32; 2]>::open(&name)?; // in another process
/// {
///     let (first, second) = (here.read().map_err(LockError::without_guard)?, there.try_read());
///     assert_eq!(*first, *second.map_err(TryLockError::without_guard)?);
///     assert!(here.try_write().is_err());
/// }
/// there.write().map_err(LockError::without_guard)?[0] = 30;
/// assert_eq!(*here.read().map_err(LockError::without_guard)?, [30, 20]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ShmRwLock<T> {
    shared: Arc<Guarded<ReadersWriterWords>>,
    guards: PhantomData<T>,
}

// SAFETY: a handle gives out the value to one thread at a time to write, for which it is `Send`, and to several to read, also by
// handles that were cloned or opened anew, for which it is `Sync`.
unsafe impl<T: Send + Sync> Send for ShmRwLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for ShmRwLock<T> {}

/// What reading yields: if an owner has died, the lock is held to write, so that the value can be made whole.
type Read<'a, T> = Result<RwLockReadGuard<'a, T>, LockError<RwLockWriteGuard<'a, T>>>;
type Written<'a, T> = Result<RwLockWriteGuard<'a, T>, LockError<RwLockWriteGuard<'a, T>>>;

impl<T: FromBytes + IntoBytes + KnownLayout + Send + Sync> ShmRwLock<T> {
    /// Creates the lock under `name`, in this user's host directory. The value goes by the stack: see
    /// [`ShmRwLock::create_zeroed`] for a large one.
    ///
    /// # Errors
    /// [`ShmError::NameInUse`] and [`ShmError::BadName`]; and where memory cannot be had.
    pub fn create(name: &str, value: T) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::create(Some(name), value)?))
    }

    /// Creates a lock that has no name: other threads reach it through clones of the handle.
    ///
    /// # Errors
    /// Memory cannot be had.
    pub fn create_anonymous(value: T) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::create(None, value)?))
    }

    /// Creates the lock under `name`, over a value of zeros, which is nowhere but there: also one that no stack has room for.
    ///
    /// # Errors
    /// As [`ShmRwLock::create`].
    pub fn create_zeroed(name: &str) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::create_zeroed::<T>(Some(name))?))
    }

    /// Opens the lock that a living process of this user holds under `name`, whose value is a `T` also by its layout.
    ///
    /// # Errors
    /// [`ShmError::NotFound`], [`ShmError::WrongKind`], [`ShmError::WrongSize`], or an error that says why what was found is
    /// not trusted.
    pub fn open(name: &str) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::open::<T>(name)?))
    }

    fn of(shared: Guarded<ReadersWriterWords>) -> Self {
        Self { shared: Arc::new(shared), guards: PhantomData }
    }
}

impl<T> ShmRwLock<T> {
    /// Locks to read, waiting for writers as long as it takes.
    ///
    /// # Errors
    /// All but [`LockError::Stalled`].
    #[inline]
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T>, LockError<RwLockWriteGuard<'_, T>>> {
        self.read_until(None)
    }

    /// Locks to read, waiting for writers at most `timeout`.
    ///
    /// # Errors
    /// [`LockError::Stalled`] when the time is over.
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockReadGuard<'_, T>, LockError<RwLockWriteGuard<'_, T>>> {
        self.read_until(Some(deadline(timeout)))
    }

    #[inline]
    fn read_until(&self, deadline_ns: Option<u64>) -> Read<'_, T> {
        self.shared.check_not_forked()?;
        if self.shared.readers().try_enter(self.shared.lock_words()) {
            return Ok(self.reading(true));
        }
        let (held, cost) = self.shared.wait(deadline_ns)?;
        self.read_on(held, deadline_ns, cost)
    }

    /// Locks to read if nobody has the lock to write, also past those who wait for it.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody does, be it for the moment of a reader that had to wait; else as [`ShmRwLock::read`].
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError<RwLockWriteGuard<'_, T>>> {
        self.shared.check_not_forked()?;
        if self.shared.readers().try_enter(self.shared.lock_words()) {
            return Ok(self.reading(true));
        }
        let held = self.shared.try_lock()?;
        Ok(self.read_on(held, Some(0), None)?)
    }

    /// From the whole lock, which has `cost` that much, to a reader's; or to a writer's, to make the value whole.
    fn read_on(&self, held: Held, deadline_ns: Option<u64>, cost: Option<WaitCost>) -> Read<'_, T> {
        if let Held::OwnerDied { .. } = held {
            return self.written(held, deadline_ns, cost).map(RwLockWriteGuard::downgrade);
        }
        self.shared.book(cost);
        Ok(self.reading_from(self.shared.taken))
    }

    /// From the whole lock, held as `owner`, to a reader's.
    fn reading_from(&self, owner: u64) -> RwLockReadGuard<'_, T> {
        let shared = &*self.shared;
        // In a child made by `fork` both are the parent's.
        if shared.check_not_forked().is_ok() && !shared.words.let_readers_in(owner) {
            shared.lock_words().touch();
            return self.reading(false);
        }
        self.reading(true)
    }

    /// Locks to write, waiting for readers and other writers as long as it takes.
    ///
    /// # Errors
    /// All but [`LockError::Stalled`].
    #[inline]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T>, LockError<RwLockWriteGuard<'_, T>>> {
        self.write_until(None)
    }

    /// Locks to write, waiting for readers and other writers at most `timeout`.
    ///
    /// # Errors
    /// [`LockError::Stalled`] when the time is over.
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockWriteGuard<'_, T>, LockError<RwLockWriteGuard<'_, T>>> {
        self.write_until(Some(deadline(timeout)))
    }

    #[inline]
    fn write_until(&self, deadline_ns: Option<u64>) -> Written<'_, T> {
        self.shared.check_not_forked()?;
        let is_had = self.shared.lock_words().try_take_free(self.shared.taken);
        let (held, cost) = if is_had { (Held::Whole, None) } else { self.shared.wait(deadline_ns)? };
        self.written(held, deadline_ns, cost)
    }

    /// Locks to write if nobody reads or writes, also past those who wait for it.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody does; else as [`ShmRwLock::write`].
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError<RwLockWriteGuard<'_, T>>> {
        self.shared.check_not_forked()?;
        // Looked at before: who takes the lock in vain turns readers away meanwhile.
        if !self.shared.is_unread() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.written(self.shared.try_lock()?, Some(0), None)?)
    }

    /// The lock is held as said, and has `cost` that much: a writer's, once nobody reads.
    #[inline]
    fn written(&self, held: Held, deadline_ns: Option<u64>, cost: Option<WaitCost>) -> Written<'_, T> {
        if !self.shared.drain(deadline_ns, cost) {
            self.shared.unlock(self.shared.taken);
            return Err(LockError::Stalled);
        }
        let guard = RwLockWriteGuard { lock: self, not_send: PhantomData };
        match held {
            Held::Whole => Ok(guard),
            Held::OwnerDied { pid } => Err(LockError::OwnerDied(OwnerDied { guard, pid })),
        }
    }

    fn reading(&self, is_counted: bool) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { lock: self, is_counted, not_send: PhantomData }
    }

    /// How threads wait for this lock now.
    pub fn strategy(&self) -> LockStrategy {
        self.shared.strategy()
    }

    /// Changes how threads wait for this lock, in every process, also those that wait right now.
    pub fn set_strategy(&self, strategy: LockStrategy) {
        self.shared.set_strategy(strategy);
        self.shared.words.wake_writers();
    }

    /// What waits for this lock have cost so far, in all processes: readers' for writers, and writers' for both.
    pub fn waits(&self) -> LockWaits {
        self.shared.waits()
    }
}

impl<T> Clone for ShmRwLock<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), guards: PhantomData }
    }
}

impl<T> fmt::Debug for ShmRwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_write_locked = self.shared.lock_words().owner() != 0;
        f.debug_struct("ShmRwLock")
            .field("is_write_locked", &is_write_locked)
            .field("strategy", &self.strategy())
            .finish()
    }
}

/// The value of a [`ShmRwLock`], for as long as it is read.
#[must_use]
pub struct RwLockReadGuard<'a, T> {
    lock: &'a ShmRwLock<T>,
    /// Else it has the whole lock: there are so many readers that no more can be counted.
    is_counted: bool,
    /// As for a mutex: who comes is who leaves.
    not_send: PhantomData<*const ()>,
}

/// The value of a [`ShmRwLock`], for as long as it may be written.
#[must_use]
pub struct RwLockWriteGuard<'a, T> {
    lock: &'a ShmRwLock<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: `&RwLockReadGuard` gives out only `&T`.
unsafe impl<T: Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: `&RwLockWriteGuard` gives out only `&T`.
unsafe impl<T: Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T> RwLockWriteGuard<'a, T> {
    /// Reads on, and lets others read: nobody has written in between.
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let guard = ManuallyDrop::new(self);
        guard.lock.reading_from(guard.lock.shared.seat())
    }
}

impl<'a, T> OwnerDied<RwLockWriteGuard<'a, T>> {
    /// Says that the value is whole.
    pub fn mark_consistent(self) -> RwLockWriteGuard<'a, T> {
        self.guard.lock.shared.lock_words().mark_consistent();
        self.guard
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as for `MutexGuard`, but that others may read meanwhile.
        unsafe { &*self.lock.shared.value().cast::<T>() }
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as for `MutexGuard`.
        unsafe { &*self.lock.shared.value().cast::<T>() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `MutexGuard`: nobody reads, and nobody comes to read while the lock is held.
        unsafe { &mut *self.lock.shared.value().cast::<T>() }
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let shared = &self.lock.shared;
        if !self.is_counted {
            shared.unlock(shared.seat());
        } else if shared.check_not_forked().is_ok() {
            // A child that has the guard by `fork` must not take its parent's reader away.
            shared.readers().leave();
        }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let shared = &self.lock.shared;
        shared.unlock(shared.seat());
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockReadGuard").field(&**self).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockWriteGuard").field(&**self).finish()
    }
}
