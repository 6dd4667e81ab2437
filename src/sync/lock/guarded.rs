//! A lock in a segment of its own, and the value that it guards: what a mutex and a reader-writer lock are made of.

use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::prim::AtomicU64;
use crate::prim::Ordering::Relaxed;
use crate::shm::ShmError;
use crate::shm::layout::{Kind, UPPER_OFFSET, abi_hash};
use crate::shm::object::Object;
use crate::shm::segment::Segment;
use crate::shm::window::{Shared, SharedLayout, Window};
use crate::sync::lock::raw::Taken;
use crate::sync::lock::readers::ReadersWriterWords;
use crate::sync::lock::strategy::LockStrategy;
use crate::sync::lock::wait::{Deaths, WaitCost};
use crate::sync::lock::word::{OWNER, UNTOUCHED};
use crate::sync::lock::words::{LockWords, NODES};
use crate::sync::wait::{PeerCheck, know_this_machine};

const VALUE_ALIGN_MAX: usize = 128;

/// The words of a lock that guards a value.
pub(crate) trait GuardingWords: SharedLayout + Sized {
    /// What a segment of theirs is.
    const KIND: Kind;
    /// Where the value lies.
    const VALUE_OFFSET: usize = {
        assert!((UPPER_OFFSET + size_of::<Self>()).is_multiple_of(VALUE_ALIGN_MAX));
        UPPER_OFFSET + size_of::<Self>()
    };

    /// What stands beside its owner as it takes the lock.
    const TAKEN: u64;

    /// Those of what must be exclusive.
    fn lock(&self) -> &LockWords;

    /// The participant in `seat` has come.
    fn seat(&self, seat: u64);
}

impl GuardingWords for LockWords {
    const KIND: Kind = Kind::Mutex;
    const TAKEN: u64 = 0;

    #[inline]
    fn lock(&self) -> &LockWords {
        self
    }

    fn seat(&self, _seat: u64) {}
}

impl GuardingWords for ReadersWriterWords {
    const KIND: Kind = Kind::RwLock;
    const TAKEN: u64 = UNTOUCHED;

    #[inline]
    fn lock(&self) -> &LockWords {
        &self.lock
    }

    fn seat(&self, seat: u64) {
        self.readers_of(seat).seat(seat);
    }
}

/// One mapping of it.
#[derive(Debug)]
pub(crate) struct Guarded<W> {
    object: Object,
    pub(crate) words: Shared<W>,
    value: Window,
    /// The bits of the lock's word that say that it is held from here, as it is taken.
    pub(crate) taken: u64,
    /// Whether the owner lives.
    owner_check: PeerCheck,
    /// Whether those live that a writer waits for. Apart from the owner, whom who waits beside it asks about.
    pub(crate) readers_check: PeerCheck,
}

/// The lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// And nothing is wrong.
    Whole,
    /// Its owner died, and nobody has said since that the value is whole.
    OwnerDied {
        /// Its process, if that is known.
        pid: Option<u32>,
    },
}

/// The lock is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotHeld {
    /// Others hold it, past the deadline.
    Stalled,
    /// The mapping is that of another process.
    Forked {
        /// Which.
        owner: u32,
    },
}

/// Bytes of a value, which a lock can guard: checked when the program is built.
const fn value_bytes<T>() -> u32 {
    assert!(align_of::<T>() <= VALUE_ALIGN_MAX, "a value that needs a larger alignment than 128 bytes");
    assert!(size_of::<T>() <= u32::MAX as usize, "a value of 4 GiB or more");
    size_of::<T>() as u32
}

impl<W: GuardingWords> Guarded<W> {
    const ABI_HASH: u64 = abi_hash(&[UPPER_OFFSET, W::VALUE_OFFSET, NODES]);

    /// Creates it under `name`, if it has one.
    pub(crate) fn create<T: FromBytes + IntoBytes + KnownLayout>(
        name: Option<&str>,
        value: T,
    ) -> Result<Self, ShmError> {
        let mut value = value;
        Self::create_filled::<T>(name, |segment| {
            let place = Window::at(segment, W::VALUE_OFFSET, size_of::<T>()).ok_or_else(|| too_short(segment.len()))?;
            // SAFETY: the segment has no name yet, so nobody else has it.
            unsafe { place.bytes_mut(0, size_of::<T>()) }.copy_from_slice(value.as_mut_bytes());
            Ok(())
        })
    }

    /// Creates it under `name`, if it has one, over zeros.
    pub(crate) fn create_zeroed<T: FromBytes + IntoBytes + KnownLayout>(name: Option<&str>) -> Result<Self, ShmError> {
        Self::create_filled::<T>(name, |_| Ok(()))
    }

    fn create_filled<T>(
        name: Option<&str>,
        fill: impl FnOnce(&Arc<Segment>) -> Result<(), ShmError>,
    ) -> Result<Self, ShmError> {
        let kind = (W::KIND, const { value_bytes::<T>() }, Self::ABI_HASH);
        Self::of::<T>(Object::create(name, kind, size_of::<W>() + size_of::<T>(), fill)?)
    }

    /// Opens what a living process of this user holds under `name`.
    pub(crate) fn open<T: FromBytes + IntoBytes + KnownLayout>(name: &str) -> Result<Self, ShmError> {
        let (object, found) = Object::open(name, (W::KIND, Self::ABI_HASH))?;
        let expected = const { value_bytes::<T>() };
        if found != expected {
            return Err(ShmError::WrongSize { name: name.into(), found, expected });
        }
        Self::of::<T>(object)
    }

    fn of<T>(object: Object) -> Result<Self, ShmError> {
        know_this_machine();
        let value = Window::at(&object.segment, W::VALUE_OFFSET, size_of::<T>())
            .ok_or_else(|| too_short(object.segment.len()))?;
        let (words, seat) = (object.words::<W>()?, object.seat());
        words.seat(seat);
        let taken = seat | W::TAKEN;
        Ok(Self { object, words, value, taken, owner_check: PeerCheck::default(), readers_check: PeerCheck::default() })
    }

    #[inline]
    pub(crate) fn lock_words(&self) -> &LockWords {
        self.words.lock()
    }

    /// Where the value lies: [`Guarded::create`] and [`Guarded::open`] have checked that there is room for it, aligned.
    #[inline]
    pub(crate) fn value(&self) -> *mut u8 {
        self.value.base()
    }

    /// Refuses a process that has the mapping only through `fork`.
    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<(), NotHeld> {
        self.object.check_not_forked().map_err(|owner| NotHeld::Forked { owner })
    }

    /// Takes the lock, waiting for it until `deadline_ns` on [`now_ns`](crate::sync::clock::now_ns)'s clock, and books the wait.
    #[inline]
    pub(crate) fn lock_until(&self, deadline_ns: Option<u64>) -> Result<Held, NotHeld> {
        self.check_not_forked()?;
        if self.lock_words().try_take_free(self.taken) {
            return Ok(Held::Whole);
        }
        let (held, cost) = self.wait(deadline_ns)?;
        self.book(cost);
        Ok(held)
    }

    /// Takes the lock, waiting for it, and says what the wait has cost, if it was one: it is for the caller to book.
    #[cold]
    pub(crate) fn wait(&self, deadline_ns: Option<u64>) -> Result<(Held, Option<WaitCost>), NotHeld> {
        let waited = self.lock_words().wait(self.taken, deadline_ns, self.owner_deaths()).ok_or(NotHeld::Stalled)?;
        Ok((self.held(waited.taken), waited.cost))
    }

    /// Takes the lock if nobody holds it, also past those who wait for it.
    pub(crate) fn try_lock(&self) -> Result<Held, NotHeld> {
        self.check_not_forked()?;
        let taken = self.lock_words().try_take(self.taken, self.owner_deaths()).ok_or(NotHeld::Stalled)?;
        Ok(self.held(taken))
    }

    fn owner_deaths(&self) -> Deaths<'_, impl FnMut(u64) -> Option<u32>> {
        Deaths { check: &self.owner_check, sweep: |seat| self.object.sweep_seat(seat) }
    }

    /// Whether the participant in that seat is proven dead, or has left.
    pub(crate) fn is_gone(&self, seat: u64) -> bool {
        self.object.sweep_seat(seat).is_some()
    }

    /// The bits of the lock's word that say that it is held from here, by one who may change the value.
    #[inline]
    pub(crate) fn seat(&self) -> u64 {
        self.taken & OWNER
    }

    /// Gives the lock back that is held as `owner`, unless this is a child that has it by `fork`: its parent holds it.
    #[inline]
    pub(crate) fn unlock(&self, owner: u64) {
        if self.check_not_forked().is_ok() {
            self.lock_words().give_back(owner);
        }
    }

    fn held(&self, taken: Taken) -> Held {
        if !taken.is_inconsistent {
            return Held::Whole;
        }
        let died = &self.lock_words().died;
        if let Some(pid) = taken.from_dead {
            died.store(pid.into(), Relaxed);
        }
        Held::OwnerDied { pid: Some(died.load(Relaxed) as u32).filter(|&pid| pid != 0) }
    }

    /// Books a wait, as the owner, if it was one.
    pub(crate) fn book(&self, cost: Option<WaitCost>) {
        let Some(cost) = cost else { return };
        let add = |word: &AtomicU64, amount| word.store(word.load(Relaxed).wrapping_add(amount), Relaxed);
        let lock = self.lock_words();
        add(&lock.waits, 1);
        add(&lock.wait_ns, cost.wait_ns);
        add(&lock.parks, cost.parks);
    }

    pub(crate) fn strategy(&self) -> LockStrategy {
        self.lock_words().strategy()
    }

    pub(crate) fn set_strategy(&self, strategy: LockStrategy) {
        self.lock_words().set_strategy(strategy);
    }

    /// What waits for the lock have cost so far, in all processes.
    pub(crate) fn waits(&self) -> LockWaits {
        let lock = self.lock_words();
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
    /// Times that the lock was had only after a wait: another held it, or was before in the queue, or read.
    pub waits: u64,
    /// Nanoseconds of these waits, but for those that a first burst of polls ended, of some 30 us at most.
    pub wait_ns: u64,
    /// Sleeps in these waits.
    pub parks: u64,
}

fn too_short(len: usize) -> ShmError {
    ShmError::Corrupt { what: "segment length", value: len as u64, limit: u64::MAX }
}
