//! A counting semaphore whose permits come back from the dead.

use std::sync::Arc;
use std::time::Duration;

use crate::prim::AtomicU64;
use crate::prim::Ordering::{AcqRel, Relaxed, Release};
use crate::prim::step;
use crate::shm::ShmError;
use crate::shm::layout::{Kind, UPPER_OFFSET, abi_hash};
use crate::shm::object::Object;
use crate::shm::window::{Shared, SharedLayout, Window};
use crate::sync::clock::{deadline, now_ns};
use crate::sync::wait::{self, PeerCheck, WaitPoint, WaitStrategy, burst};

/// Permits that a semaphore may have.
const PERMITS_MAX: u32 = 4096;
const PERMITS_OFFSET: usize = UPPER_OFFSET + size_of::<SemaphoreWords>();
const ABI_HASH: u64 = abi_hash(&[UPPER_OFFSET, PERMITS_OFFSET, size_of::<WaitPoint>()]);

/// ```text
/// +0    event       rung when a permit is given back
/// +512  strategy    how to wait                                        written by who tunes the semaphore
/// +520  returned    permits that the dead had and others took back     counted by those
/// +640  permits     8 bytes each: 0 free, else the seat of who has it  written by who takes it, and gives it back
/// ```
#[repr(C, align(128))]
#[derive(Debug)]
struct SemaphoreWords {
    point: WaitPoint,
    strategy: AtomicU64,
    returned: AtomicU64,
}

// SAFETY: atomics only, `repr(C)`.
unsafe impl SharedLayout for SemaphoreWords {}

/// A number of permits that processes share by name.
///
/// Each permit says who has it, so those of a process that dies come back: whoever finds none left looks for them, once in
/// 20 ms. It lives as
/// long as a handle on it does, in whichever process. Handles are cheap to clone, and clones share the mapping.
///
/// There is no order among those who wait: a permit that comes free goes to who takes it first.
///
/// ```
/// use tidegate::ShmSemaphore;
///
/// let name = format!("scanners-{}", std::process::id());
/// let here = ShmSemaphore::create(&name, 2)?;
/// let there = ShmSemaphore::open(&name)?; // in another process
/// let first = there.acquire()?;
/// let second = here.acquire()?;
/// assert!(here.try_acquire().is_err());
/// drop(first);
/// assert_eq!(here.available(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShmSemaphore {
    shared: Arc<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    object: Object,
    words: Shared<SemaphoreWords>,
    permits: Window,
    count: usize,
    /// What a word says of a permit that is had from here.
    owner: u64,
    /// Whether those who have permits live.
    check: PeerCheck,
}

/// No permit was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The deadline has passed.
    #[error("others have held all permits past the deadline")]
    Stalled,
    /// The handle was made by another process and came here through `fork`.
    #[error(
        "this handle belongs to process {owner} and was inherited by fork: open the semaphore again in this process"
    )]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

/// No permit was had at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Others have all permits.
    #[error("others hold all permits")]
    WouldBlock,
    /// As [`AcquireError::Forked`].
    #[error(
        "this handle belongs to process {owner} and was inherited by fork: open the semaphore again in this process"
    )]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
}

/// A permit, given back on drop.
#[derive(Debug)]
#[must_use]
pub struct Permit<'a> {
    shared: &'a Mapping,
    number: usize,
}

impl ShmSemaphore {
    /// Creates a semaphore of `permits`, 1 to 4096, under `name`, in this user's host directory.
    ///
    /// # Errors
    /// [`ShmError::BadPermits`]; [`ShmError::NameInUse`] and [`ShmError::BadName`]; and where
    /// memory cannot be had.
    pub fn create(name: &str, permits: u32) -> Result<Self, ShmError> {
        Self::create_object(Some(name), permits)
    }

    /// Creates a semaphore that has no name: other threads reach it through clones of the handle.
    ///
    /// # Errors
    /// As [`ShmSemaphore::create`], but for those of the name.
    pub fn create_anonymous(permits: u32) -> Result<Self, ShmError> {
        Self::create_object(None, permits)
    }

    fn create_object(name: Option<&str>, permits: u32) -> Result<Self, ShmError> {
        let count = check_permits(permits)?;
        let bytes = PERMITS_OFFSET - UPPER_OFFSET + count * size_of::<u64>();
        let object = Object::create(name, (Kind::Semaphore, permits, ABI_HASH), bytes, |_| Ok(()))?;
        Self::of(object, count)
    }

    /// Opens the semaphore that a living process of this user holds under `name`.
    ///
    /// # Errors
    /// [`ShmError::NotFound`], [`ShmError::WrongKind`], or an error that says why what was found is not trusted.
    pub fn open(name: &str) -> Result<Self, ShmError> {
        let (object, permits) = Object::open(name, (Kind::Semaphore, ABI_HASH))?;
        let count = check_permits(permits)?;
        Self::of(object, count)
    }

    fn of(object: Object, count: usize) -> Result<Self, ShmError> {
        wait::know_this_machine();
        let bytes = object.segment.len() as u64;
        let permits = Window::at(&object.segment, PERMITS_OFFSET, count * size_of::<u64>());
        let permits = permits.ok_or(ShmError::Corrupt { what: "segment length", value: bytes, limit: u64::MAX })?;
        let (words, owner) = (object.words()?, object.seat());
        let mapping = Mapping { object, words, permits, count, owner, check: PeerCheck::default() };
        Ok(Self { shared: Arc::new(mapping) })
    }

    /// Takes a permit, waiting for one as long as it takes.
    ///
    /// # Errors
    /// [`AcquireError::Forked`].
    pub fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        self.acquire_until(None)
    }

    /// Takes a permit, waiting for one at most `timeout`.
    ///
    /// # Errors
    /// [`AcquireError::Stalled`] when the time is over; [`AcquireError::Forked`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, AcquireError> {
        self.acquire_until(Some(deadline(timeout)))
    }

    /// Takes a permit if one is free now.
    ///
    /// # Errors
    /// [`TryAcquireError::WouldBlock`] if none is; [`TryAcquireError::Forked`].
    pub fn try_acquire(&self) -> Result<Permit<'_>, TryAcquireError> {
        self.shared.object.check_not_forked().map_err(|owner| TryAcquireError::Forked { owner })?;
        let shared = &*self.shared;
        shared.take().or_else(|| shared.take_from_dead_when_due()).ok_or(TryAcquireError::WouldBlock)
    }

    fn acquire_until(&self, deadline_ns: Option<u64>) -> Result<Permit<'_>, AcquireError> {
        let shared = &*self.shared;
        shared.object.check_not_forked().map_err(|owner| AcquireError::Forked { owner })?;
        if let Some(permit) = shared.take() {
            return Ok(permit);
        }
        let SemaphoreWords { point, strategy, .. } = &*shared.words;
        let take = || shared.take();
        if let Some(permit) = burst(&point.counters, take) {
            return Ok(permit);
        }
        let mut checked_ns = 0;
        let check = || shared.take_from_dead_when_due();
        wait::wait(&point.event, &point.counters, strategy, deadline_ns, &mut checked_ns, take, take, check)
            // A wait that is short ends before it looks who has died.
            .or_else(|_| shared.take_from_dead_when_due().ok_or(AcquireError::Stalled))
    }

    /// Permits that nobody has now.
    pub fn available(&self) -> usize {
        (0..self.shared.count).filter(|&number| self.shared.permit(number).load(Relaxed) == 0).count()
    }

    /// Permits in all.
    pub fn permits(&self) -> usize {
        self.shared.count
    }

    /// Permits that were taken back from the dead so far.
    pub fn returned(&self) -> u64 {
        self.shared.words.returned.load(Relaxed)
    }

    /// How threads wait for a permit now.
    pub fn wait_strategy(&self) -> WaitStrategy {
        WaitStrategy::from_word(self.shared.words.strategy.load(Relaxed))
    }

    /// Changes how threads wait for a permit, in every process, also those that wait right now.
    pub fn set_wait_strategy(&self, strategy: WaitStrategy) {
        self.shared.words.strategy.store(strategy.to_word(), Relaxed);
        self.shared.words.point.event.wake_all();
    }
}

impl Mapping {
    #[inline]
    fn permit(&self, number: usize) -> &AtomicU64 {
        self.permits.word(number * size_of::<u64>())
    }

    fn take(&self) -> Option<Permit<'_>> {
        // Each from a place of its own, so that few meet.
        let first = self.owner as usize % self.count;
        let number = (first..self.count).chain(0..first).find(|&number| {
            let permit = self.permit(number);
            // Edge `permit`, reading end: what its last owner did under it is done. Edge `seated`, writing end.
            permit.load(Relaxed) == 0 && permit.compare_exchange(0, self.owner, AcqRel, Relaxed).is_ok()
        })?;
        step("permit.taken");
        Some(Permit { shared: self, number })
    }

    fn take_from_dead_when_due(&self) -> Option<Permit<'_>> {
        if self.check.is_due(now_ns()) { self.take_from_dead() } else { None }
    }

    /// Takes back all permits of the dead, and one of these.
    fn take_from_dead(&self) -> Option<Permit<'_>> {
        let mut judged: Vec<(u64, bool)> = Vec::new();
        let mut any = false;
        for number in 0..self.count {
            let owner = self.permit(number).load(Relaxed);
            if owner == 0 || owner == self.owner {
                continue;
            }
            let known = judged.iter().find(|(seat, _)| *seat == owner).map(|&(_, is_dead)| is_dead);
            let is_dead = known.unwrap_or_else(|| {
                let is_dead = self.object.sweep_seat(owner).is_some();
                judged.push((owner, is_dead));
                is_dead
            });
            if is_dead && self.permit(number).compare_exchange(owner, 0, Relaxed, Relaxed).is_ok() {
                self.words.returned.fetch_add(1, Relaxed);
                any = true;
            }
        }
        if any {
            self.words.point.event.notify();
        }
        self.take()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // A child that has the permit by `fork` must not give back what its parent holds.
        if self.shared.object.check_not_forked().is_ok() {
            // Edge `permit`, writing end.
            let permit = self.shared.permit(self.number);
            // Only as its owner: in memory that others can write, another may stand there.
            if permit.compare_exchange(self.shared.owner, 0, Release, Relaxed).is_ok() {
                step("permit.freed");
                self.shared.words.point.event.notify();
                step("permit.notified");
            }
        }
    }
}

fn check_permits(permits: u32) -> Result<usize, ShmError> {
    if (1..=PERMITS_MAX).contains(&permits) {
        Ok(permits as usize)
    } else {
        Err(ShmError::BadPermits { permits, max: PERMITS_MAX })
    }
}
