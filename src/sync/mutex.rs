//! A mutex over a value in shared memory.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::prim::AtomicU64;
use crate::prim::Ordering::Relaxed;
use crate::shm::ShmError;
use crate::shm::layout::{Kind, UPPER_OFFSET, abi_hash};
use crate::shm::object::Object;
use crate::shm::window::{Shared, Window};
use crate::sync::clock::deadline;
use crate::sync::lock::error::{LockError, TryLockError};
use crate::sync::lock::raw::Taken;
use crate::sync::lock::strategy::LockStrategy;
use crate::sync::lock::wait::{Deaths, WaitCost};
use crate::sync::lock::words::{LockWords, NODES};
use crate::sync::wait::{PeerCheck, know_this_machine};

const VALUE_OFFSET: usize = UPPER_OFFSET + size_of::<LockWords>();
const VALUE_ALIGN_MAX: usize = 128;
const ABI_HASH: u64 = abi_hash(&[UPPER_OFFSET, VALUE_OFFSET, NODES]);

const _: () = assert!(VALUE_OFFSET.is_multiple_of(VALUE_ALIGN_MAX));

/// A mutual exclusion lock that processes share by name, and the value that it guards.
///
/// It lives as long as a handle on it does, in whichever process. Handles are cheap to clone, and clones share the mapping.
///
/// - **Death.** When a process dies with the lock in hand, whoever locks next gets [`LockError::OwnerDied`], with the value as
///   the dead left it, and so does everybody after that, until one says that the value is whole
///   ([`OwnerDied::mark_consistent`]). A death is proven by the kernel, never guessed from the time that has passed: a stopped
///   owner keeps the lock. A panic is no death: it gives the lock back as it unwinds.
/// - **Waiting.** How threads wait for the lock is a [`LockStrategy`], which any process can change at any moment.
/// - **Fairness.** A thread that has waited for 50 ms stands in a queue, past which nobody takes the lock but who only tries
///   ([`ShmMutex::try_lock`]), who is at its deadline, and who has stood in the queue for 20 ms, since somebody before it may
///   be stopped. So of `n` threads that lock again and again, and of which each runs when it could, none waits longer than
///   50 ms and the `n` locks of those in the queue. That holds for up to 64 threads that wait, and while the locks of the
///   queue take less than those 20 ms together; past that there is no order among those who have waited longer.
/// - **Relocking.** A thread that locks again what it holds waits for itself, for ever or until its deadline.
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
///     Err(error) => return Err(error.to_string().into()),
/// };
/// totals[0] += 1;
/// drop(totals);
/// assert_eq!(*here.lock().map_err(|e| e.to_string())?, [1, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ShmMutex<T> {
    shared: Arc<Mapping>,
    guards: PhantomData<T>,
}

// SAFETY: a handle gives out the value to one thread at a time, whichever that is, as `std::sync::Mutex` does.
unsafe impl<T: Send> Send for ShmMutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for ShmMutex<T> {}

#[derive(Debug)]
struct Mapping {
    object: Object,
    lock: Shared<LockWords>,
    value: Window,
    /// The bits of the lock's word that say that it is held from here.
    owner: u64,
    /// Whether the owner lives.
    check: PeerCheck,
}

/// Bytes of a value, which a mutex can hold: checked when the program is built.
const fn value_bytes<T>() -> u32 {
    assert!(align_of::<T>() <= VALUE_ALIGN_MAX, "a value that needs a larger alignment than 128 bytes");
    assert!(size_of::<T>() <= u32::MAX as usize, "a value of 4 GiB or more");
    size_of::<T>() as u32
}

fn too_short(len: usize) -> ShmError {
    ShmError::Corrupt { what: "segment length", value: len as u64, limit: u64::MAX }
}

impl<T: FromBytes + IntoBytes + KnownLayout> ShmMutex<T> {
    /// Creates the mutex under `name`, in this user's host directory.
    ///
    /// # Errors
    /// [`ShmError::NameInUse`] and [`ShmError::BadName`]; and where memory cannot be had.
    pub fn create(name: &str, value: T) -> Result<Self, ShmError> {
        Self::create_object(Some(name), value)
    }

    /// Creates a mutex that has no name: other threads reach it through clones of the handle.
    ///
    /// # Errors
    /// Memory cannot be had.
    pub fn create_anonymous(value: T) -> Result<Self, ShmError> {
        Self::create_object(None, value)
    }

    fn create_object(name: Option<&str>, value: T) -> Result<Self, ShmError> {
        let kind = (Kind::Mutex, const { value_bytes::<T>() }, ABI_HASH);
        let mut value = value;
        let object = Object::create(name, kind, VALUE_OFFSET - UPPER_OFFSET + size_of::<T>(), |segment| {
            let place = Window::at(segment, VALUE_OFFSET, size_of::<T>()).ok_or_else(|| too_short(segment.len()))?;
            // SAFETY: the segment has no name yet, so nobody else has it.
            unsafe { place.bytes_mut(0, size_of::<T>()) }.copy_from_slice(value.as_mut_bytes());
            Ok(())
        })?;
        Self::of(object)
    }

    /// Opens the mutex that a living process of this user holds under `name`.
    ///
    /// A type is known by its size alone: all must mean the same by it, and use the same layout (`repr(C)`).
    ///
    /// # Errors
    /// [`ShmError::NotFound`], [`ShmError::WrongKind`], [`ShmError::WrongSize`], or an error that says why what was found is
    /// not trusted.
    pub fn open(name: &str) -> Result<Self, ShmError> {
        let (object, found) = Object::open(name, (Kind::Mutex, ABI_HASH))?;
        let expected = const { value_bytes::<T>() };
        if found != expected {
            return Err(ShmError::WrongSize { name: name.into(), found, expected });
        }
        Self::of(object)
    }

    fn of(object: Object) -> Result<Self, ShmError> {
        know_this_machine();
        let value =
            Window::at(&object.segment, VALUE_OFFSET, size_of::<T>()).ok_or_else(|| too_short(object.segment.len()))?;
        let mapping =
            Mapping { lock: object.words()?, value, owner: object.seat(), check: PeerCheck::default(), object };
        Ok(Self { shared: Arc::new(mapping), guards: PhantomData })
    }
}

impl<T> ShmMutex<T> {
    /// Locks the mutex, waiting for it as long as it takes.
    ///
    /// # Errors
    /// All but [`LockError::Stalled`].
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.lock_until(None)
    }

    /// Locks the mutex, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// [`LockError::Stalled`] when the time is over.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.lock_until(Some(deadline(timeout)))
    }

    #[inline]
    fn lock_until(&self, deadline_ns: Option<u64>) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.check_not_forked()?;
        if self.shared.lock.try_take_free(self.shared.owner) {
            return Ok(self.guard());
        }
        self.wait(deadline_ns)
    }

    #[cold]
    fn wait(&self, deadline_ns: Option<u64>) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        let Mapping { object, lock, owner, check, .. } = &*self.shared;
        let deaths = Deaths { check, sweep: |seat| object.sweep_seat(seat) };
        let waited = lock.wait(*owner, deadline_ns, deaths).ok_or(LockError::Stalled)?;
        if let Some(cost) = waited.cost {
            self.book(cost);
        }
        self.taken(waited.taken)
    }

    /// Locks the mutex if nobody holds it, also past those who wait for it.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody does; else as [`ShmMutex::lock`].
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError<'_, T>> {
        self.check_not_forked()?;
        let Mapping { object, lock, owner, check, .. } = &*self.shared;
        let deaths = Deaths { check, sweep: |seat| object.sweep_seat(seat) };
        let taken = lock.try_take(*owner, deaths).ok_or(TryLockError::WouldBlock)?;
        Ok(self.taken(taken)?)
    }

    #[inline]
    fn check_not_forked(&self) -> Result<(), LockError<'_, T>> {
        self.shared.object.check_not_forked().map_err(|owner| LockError::Forked { owner })
    }

    /// Books a wait, as the owner.
    fn book(&self, cost: WaitCost) {
        let add = |word: &AtomicU64, amount| word.store(word.load(Relaxed).wrapping_add(amount), Relaxed);
        let lock = &self.shared.lock;
        add(&lock.waits, 1);
        add(&lock.wait_ns, cost.wait_ns);
        add(&lock.parks, cost.parks);
    }

    fn taken(&self, taken: Taken) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        let guard = self.guard();
        if !taken.is_inconsistent {
            return Ok(guard);
        }
        let lock = &self.shared.lock;
        if let Some(pid) = taken.from_dead {
            lock.died.store(pid.into(), Relaxed);
        }
        let pid = Some(lock.died.load(Relaxed) as u32).filter(|&pid| pid != 0);
        Err(LockError::OwnerDied(OwnerDied { guard, pid }))
    }

    #[inline]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    /// How threads wait for this mutex now.
    pub fn strategy(&self) -> LockStrategy {
        self.shared.lock.strategy()
    }

    /// Changes how threads wait for this mutex, in every process, also those that wait right now.
    pub fn set_strategy(&self, strategy: LockStrategy) {
        self.shared.lock.set_strategy(strategy);
    }

    /// What waits for this mutex have cost so far, in all processes.
    pub fn waits(&self) -> LockWaits {
        let lock = &self.shared.lock;
        LockWaits {
            waits: lock.waits.load(Relaxed),
            wait_ns: lock.wait_ns.load(Relaxed),
            parks: lock.parks.load(Relaxed),
        }
    }
}

/// What waits for a lock have cost, from its creation on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockWaits {
    /// Times that the lock was had only after a wait: another held it, or was before in the queue.
    pub waits: u64,
    /// Nanoseconds of these waits, but for those of less than a microsecond or so.
    pub wait_ns: u64,
    /// Sleeps in these waits.
    pub parks: u64,
}

impl<T> Clone for ShmMutex<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), guards: PhantomData }
    }
}

impl<T> fmt::Debug for ShmMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_locked = self.shared.lock.owner() != 0;
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
        unsafe { &*self.mutex.shared.value.base().cast::<T>() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` keeps this process's other references away.
        unsafe { &mut *self.mutex.shared.value.base().cast::<T>() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let Mapping { object, lock, owner, .. } = &*self.mutex.shared;
        // A child that has the guard by `fork` must not give back what its parent holds.
        if object.check_not_forked().is_ok() {
            lock.give_back(*owner);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutexGuard").field(&**self).finish()
    }
}

/// A value that a process held when it died, locked: to be made whole, if it can be.
///
/// Dropped as it is, it leaves the value as it was found, and the next to lock finds the same.
#[must_use]
pub struct OwnerDied<'a, T> {
    guard: MutexGuard<'a, T>,
    pid: Option<u32>,
}

impl<'a, T> OwnerDied<'a, T> {
    /// The process that died last with the lock in hand, if it is known.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Says that the value is whole.
    pub fn mark_consistent(self) -> MutexGuard<'a, T> {
        self.guard.mutex.shared.lock.mark_consistent();
        self.guard
    }
}

impl<T> Deref for OwnerDied<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for OwnerDied<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> fmt::Debug for OwnerDied<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerDied").field("pid", &self.pid).finish_non_exhaustive()
    }
}
