//! A mutex over a value in shared memory.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::shm::ShmError;
use crate::sync::clock::deadline;
use crate::sync::lock::error::{LockError, OwnerDied, TryLockError};
use crate::sync::lock::guarded::{Guarded, Held, LockWaits};
use crate::sync::lock::strategy::LockStrategy;
use crate::sync::lock::words::LockWords;

/// A mutual exclusion lock that processes share by name, and the value that it guards.
///
/// It lives as long as a handle on it does, in whichever process. Handles are cheap to clone, and clones share the mapping.
///
/// - **Death.** When a process dies with the lock in hand, whoever locks next gets [`LockError::OwnerDied`], with the value as
///   the dead left it, and so does everybody after that, until one says that the value is whole
///   ([`OwnerDied::mark_consistent`]). A death is proven by the kernel, never guessed from the time that has passed: a stopped
///   owner keeps the lock. A panic is no death: it gives the lock back as it unwinds. Who drops its handle over a guard that was
///   forgotten, or calls `exec`, has died in this sense.
/// - **Waiting.** How threads wait for the lock is a [`LockStrategy`], which any process can change at any moment.
/// - **Fairness.** A thread that has waited for 50 ms stands in a queue, past which nobody takes the lock but who only tries
///   ([`ShmMutex::try_lock`]), who is at its deadline, and who has stood in the queue for 20 ms, since somebody before it may
///   be stopped. So of `n` threads that lock again and again, and of which each runs when it could, none waits longer than
///   50 ms and the `n` locks of those in the queue. That holds for up to 64 threads that wait, and while the locks of the
///   queue take less than those 20 ms together; past that there is no order among those who have waited longer.
/// - **Relocking.** A thread that locks again what it holds waits for itself, for ever or until its deadline.
/// - **Fork.** A handle is refused in a child, and a guard that it has by `fork` gives back nothing there, nor keeps others away.
///
/// The value is plain old data: any bytes are a value, and all of its bytes are. Another process of this user could write it
/// without the lock; use what you read there as you would use input.
///
/// ```
/// use tidegate::{LockError, ShmMutex};
///
/// let name = format!("totals-{}", std::process::id());
/// let here = ShmMutex::create(&name, [0u64; 2])?;
/// let there = ShmMutex::<[u64; 2]>::open(&name)?; // in another process
///
/// let mut totals = match there.lock() {
///     Ok(totals) => totals,
///     Err(LockError::OwnerDied(mut dead)) => {
///         *dead = [0; 2]; // whatever makes the value whole
///         dead.mark_consistent()
///     }
///     Err(error) => return Err(error.without_guard().into()),
/// };
/// totals[0] += 1;
/// drop(totals);
/// assert_eq!(*here.lock().map_err(LockError::without_guard)?, [1, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ShmMutex<T> {
    shared: Arc<Guarded<LockWords>>,
    guards: PhantomData<T>,
}

// SAFETY: a handle gives out the value to one thread at a time, whichever that is, also by handles that were opened anew.
unsafe impl<T: Send> Send for ShmMutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for ShmMutex<T> {}

impl<T: FromBytes + IntoBytes + KnownLayout + Send> ShmMutex<T> {
    /// Creates the mutex under `name`, in this user's host directory. The value goes by the stack: see
    /// [`ShmMutex::create_zeroed`] for a large one.
    ///
    /// # Errors
    /// [`ShmError::NameInUse`] and [`ShmError::BadName`]; and where memory cannot be had.
    pub fn create(name: &str, value: T) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::create(Some(name), value)?))
    }

    /// Creates a mutex that has no name: other threads reach it through clones of the handle.
    ///
    /// # Errors
    /// Memory cannot be had.
    pub fn create_anonymous(value: T) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::create(None, value)?))
    }

    /// Creates the mutex under `name`, over a value of zeros, which is nowhere but there: also one that no stack has room for.
    ///
    /// # Errors
    /// As [`ShmMutex::create`].
    pub fn create_zeroed(name: &str) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::create_zeroed::<T>(Some(name))?))
    }

    /// Opens the mutex that a living process of this user holds under `name`.
    ///
    /// A type is known by its size alone: all must mean the same by it, and use the same layout (`repr(C)`).
    ///
    /// # Errors
    /// [`ShmError::NotFound`], [`ShmError::WrongKind`], [`ShmError::WrongSize`], or an error that says why what was found is
    /// not trusted.
    pub fn open(name: &str) -> Result<Self, ShmError> {
        Ok(Self::of(Guarded::open::<T>(name)?))
    }

    fn of(shared: Guarded<LockWords>) -> Self {
        Self { shared: Arc::new(shared), guards: PhantomData }
    }
}

impl<T> ShmMutex<T> {
    /// Locks the mutex, waiting for it as long as it takes.
    ///
    /// # Errors
    /// All but [`LockError::Stalled`].
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        self.guard(self.shared.lock_until(None)?)
    }

    /// Locks the mutex, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// [`LockError::Stalled`] when the time is over.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        self.guard(self.shared.lock_until(Some(deadline(timeout)))?)
    }

    /// Locks the mutex if nobody holds it, also past those who wait for it.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody does; else as [`ShmMutex::lock`].
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError<MutexGuard<'_, T>>> {
        Ok(self.guard(self.shared.try_lock()?)?)
    }

    #[inline]
    fn guard(&self, held: Held) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        let guard = MutexGuard { mutex: self, not_send: PhantomData };
        match held {
            Held::Whole => Ok(guard),
            Held::OwnerDied { pid } => Err(LockError::OwnerDied(OwnerDied { guard, pid })),
        }
    }

    /// How threads wait for this mutex now.
    pub fn strategy(&self) -> LockStrategy {
        self.shared.strategy()
    }

    /// Changes how threads wait for this mutex, in every process, also those that wait right now.
    pub fn set_strategy(&self, strategy: LockStrategy) {
        self.shared.set_strategy(strategy);
    }

    /// What waits for this mutex have cost so far, in all processes.
    pub fn waits(&self) -> LockWaits {
        self.shared.waits()
    }
}

impl<T> Clone for ShmMutex<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), guards: PhantomData }
    }
}

impl<T> fmt::Debug for ShmMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_locked = self.shared.lock_words().owner() != 0;
        f.debug_struct("ShmMutex").field("is_locked", &is_locked).field("strategy", &self.strategy()).finish()
    }
}

/// The value of a [`ShmMutex`], for as long as the lock is held. It is given back on drop.
#[must_use]
pub struct MutexGuard<'a, T> {
    mutex: &'a ShmMutex<T>,
    /// A thread gives back what it took, so that telemetry and deadlock detection may know locks by threads.
    not_send: PhantomData<*const ()>,
}

// SAFETY: `&MutexGuard` gives out only `&T`.
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY:
        // - the window holds `size_of::<T>()` bytes, aligned for `T` (checked when the mutex was opened; the offset is a
        //   multiple of the largest alignment, and mappings begin with a page), for as long as the mutex lives;
        // - any bytes are a `T`: no other type can be asked for (`ShmMutex::create` and `open`);
        // - the lock is held, so nobody who keeps the protocol has the value meanwhile.
        unsafe { &*self.mutex.shared.value().cast::<T>() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` keeps this process's other references away.
        unsafe { &mut *self.mutex.shared.value().cast::<T>() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let shared = &*self.mutex.shared;
        shared.unlock(shared.taken);
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutexGuard").field(&**self).finish()
    }
}

impl<'a, T> OwnerDied<MutexGuard<'a, T>> {
    /// Says that the value is whole.
    pub fn mark_consistent(self) -> MutexGuard<'a, T> {
        self.guard.mutex.shared.lock_words().mark_consistent();
        self.guard
    }
}
