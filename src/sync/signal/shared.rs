//! What all signals are made of.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::prim::AtomicU64;
use crate::prim::Ordering::Relaxed;
use crate::shm::ShmError;
use crate::shm::layout::{Kind, UPPER_OFFSET, abi_hash};
use crate::shm::object::Object;
use crate::shm::window::{Shared, SharedLayout, Window};
use crate::sync::clock::now_ns;
use crate::sync::wait::{self, PeerCheck, WaitPoint, burst};

/// ```text
/// +0    event       rung when the state has changed
/// +512  state       what is waited for                    written as the signal's kind says
/// +640  strategy    how to wait
/// +768  slots       of those that wait, where it has any
/// ```
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct SignalWords {
    point: WaitPoint,
    pub(crate) state: StateLine,
    strategy: StrategyLine,
}

#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct StateLine(pub(crate) AtomicU64);

#[repr(C, align(128))]
#[derive(Debug)]
struct StrategyLine(AtomicU64);

// SAFETY: atomics only, `repr(C)`.
unsafe impl SharedLayout for SignalWords {}

const SLOTS_OFFSET: usize = UPPER_OFFSET + size_of::<SignalWords>();
const ABI_HASH: u64 = abi_hash(&[UPPER_OFFSET, SLOTS_OFFSET, size_of::<WaitPoint>()]);

/// One mapping of a signal.
#[derive(Debug)]
pub(crate) struct Signal {
    object: Object,
    pub(crate) words: Shared<SignalWords>,
    /// When somebody here last looked whether those live on whom it waits.
    check: PeerCheck,
}

impl Signal {
    /// Makes one whose state is `state`, with room for slots of so many bytes in all.
    pub(crate) fn create(kind: Kind, size: u32, state: u64, slot_bytes: usize) -> Result<Self, ShmError> {
        let object = Object::create(None, (kind, size, ABI_HASH), size_of::<SignalWords>() + slot_bytes, |segment| {
            let words: Option<Shared<SignalWords>> = Shared::at(segment, UPPER_OFFSET);
            words.ok_or_else(|| too_short(segment.len()))?.state.0.store(state, Relaxed);
            Ok(())
        })?;
        Self::of(object)
    }

    /// Attaches to the one in `memory`; yields the size that it was made with.
    pub(crate) fn from_fd(kind: Kind, memory: &OwnedFd) -> Result<(Self, u32), ShmError> {
        let (object, size) = Object::from_fd(memory, (kind, ABI_HASH))?;
        Ok((Self::of(object)?, size))
    }

    fn of(object: Object) -> Result<Self, ShmError> {
        wait::know_this_machine();
        Ok(Self { words: object.words()?, object, check: PeerCheck::default() })
    }

    /// The slots, of so many bytes in all.
    pub(crate) fn slots(&self, bytes: usize) -> Result<Window, ShmError> {
        let segment = &self.object.segment;
        Window::at(segment, SLOTS_OFFSET, bytes).ok_or_else(|| too_short(segment.len()))
    }

    /// Refuses a process that has the mapping only through `fork`, and says whose it is.
    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<(), u32> {
        self.object.check_not_forked()
    }

    /// The seat of this mapping.
    #[inline]
    pub(crate) fn seat(&self) -> u64 {
        self.object.seat()
    }

    /// The process of the participant in `seat`, or 0 if it is not known any more, if it is dead or has left.
    pub(crate) fn has_died(&self, seat: u64) -> Option<u32> {
        self.object.sweep_seat(seat)
    }

    /// As [`Signal::has_died`], where that was asked some time ago.
    pub(crate) fn has_died_when_due(&self, seat: u64) -> Option<u32> {
        if self.is_check_due() { self.has_died(seat) } else { None }
    }

    /// Whether it is time to ask who has died, which is the caller's to do then.
    pub(crate) fn is_check_due(&self) -> bool {
        self.check.is_due(now_ns())
    }

    /// Tells those that wait to look.
    pub(crate) fn notify(&self) {
        self.words.point.event.notify();
    }

    /// Waits until `poll` yields something, or `check` does, which may make system calls; `None` at the deadline.
    pub(crate) fn wait<T>(
        &self,
        deadline_ns: Option<u64>,
        poll: impl Fn() -> Option<T>,
        check: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let SignalWords { point, strategy, .. } = &*self.words;
        let found = poll().or_else(|| burst(&point.counters, &poll));
        found.or_else(|| {
            let mut checked_ns = now_ns();
            wait::wait(&point.event, &point.counters, &strategy.0, deadline_ns, &mut checked_ns, &poll, &poll, check)
                .ok()
        })
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object.segment.as_fd()
    }
}

fn too_short(len: usize) -> ShmError {
    ShmError::Corrupt { what: "segment length", value: len as u64, limit: u64::MAX }
}
