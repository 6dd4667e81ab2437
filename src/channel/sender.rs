//! The sending endpoint.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::channel::core::{Core, StructureLock};
use crate::channel::error::{ChannelError, SendError, TrySendError};
use crate::channel::{place, presence, resize};
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::ring::Readers;
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
use crate::ring::producer::{Producer, Reservation};
use crate::ring::resize::found;
use crate::shm::participants::{Membership, Role};
use crate::shm::window::Shared;
use crate::sync::clock::now_ns;
use crate::sync::wait::{WaitPoint, burst, wait};

/// Sends messages, in order. Closing is dropping.
#[derive(Debug)]
pub struct Sender {
    producer: Producer,
    lane: Shared<Lane>,
    sender_wait: Shared<WaitPoint>,
    membership: Membership,
    core: Arc<Core>,
}

/// Room for one message in the ring, to fill in place. Dropping it without [`Claim::commit`] sends nothing.
#[derive(Debug)]
pub struct Claim<'a> {
    sender: &'a mut Sender,
    reservation: Reservation,
}

impl Sender {
    pub(crate) fn attach(core: &Arc<Core>) -> Result<Self, ChannelError> {
        let membership = core.participants.join(Role::Sender)?;
        let lock = core.lock_structure()?;
        let lanes = core.geometry.lanes_max as usize;
        let mut refused = ChannelError::TooManySenders { lanes };
        for lane in 0..lanes {
            let words = core.lane(lane)?;
            if !Self::take_lane(core, &words, &membership)? {
                continue;
            }
            let sender_wait = core.sender_wait(lane)?;
            match Self::ready_ring(core, &lock, lane, &words) {
                Ok(producer) => {
                    presence::arrive(&core.control.senders_attached);
                    return Ok(Self { producer, lane: words, sender_wait, membership, core: Arc::clone(core) });
                }
                Err(error) => {
                    presence::leave(&words.shape.owner, membership.word());
                    // It may have been the last one to leave.
                    core.receiver_wait.event.wake_all();
                    refused = error;
                }
            }
            // A lane that some peer has spoilt is no reason to refuse the others.
            if !matches!(refused, ChannelError::Corrupt { .. }) {
                break;
            }
        }
        Err(refused)
    }

    /// Takes the lane if it has no living owner; the structure lock keeps others from doing the same.
    fn take_lane(core: &Core, words: &Lane, membership: &Membership) -> Result<bool, ChannelError> {
        let owner = words.shape.owner.load(Acquire);
        let is_free = owner == 0 || core.participants.sweep(owner)?;
        if is_free {
            words.shape.owner.store(membership.word(), Release);
        }
        Ok(is_free)
    }

    fn ready_ring(core: &Core, lock: &StructureLock<'_>, lane: usize, words: &Lane) -> Result<Producer, ChannelError> {
        let class = core.ring_class();
        let is_new = words.producer.cursor.load(Relaxed) == 0;
        if is_new {
            core.back_ring(lane, class)?;
            found(words, class);
        }
        if lane >= core.lanes_used() {
            // Edge `lane-founded`, writing end. Lanes are taken lowest first, so those used are a prefix.
            core.control.lanes_used.store(lane as u64 + 1, Release);
        }
        // The sender before may have died at the lane.
        let _nobody_waits_for_this_sender = words.taking.lock.break_from(Holder::Producer);
        let producer = Producer::attach(core.lane(lane)?, core.area(lane)?, core.classes(), core.readers())
            .map_err(|found| ChannelError::corrupt(lane, found))?;
        if !is_new {
            // The lane was passed over by resizes while nobody owned it. Where the ring cannot be had, the old one does.
            let _old_ring_does = resize::offer(core, lock, lane, class);
        }
        Ok(producer)
    }

    /// Sends `message`, waiting for room as long as it takes.
    ///
    /// # Errors
    /// All but [`SendError::Stalled`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.claim(message.len())?.commit_copy(message);
        Ok(())
    }

    /// Sends `message`, waiting for room at most `timeout`.
    ///
    /// # Errors
    /// [`SendError::Stalled`] when the time is over.
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.claim_until(message.len(), Some(deadline(timeout)))?.commit_copy(message);
        Ok(())
    }

    /// Sends `message` if there is room now.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if there is none.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError> {
        self.try_claim(message.len())?.commit_copy(message);
        Ok(())
    }

    /// Claims room for `len` bytes, to fill in place, waiting for it as long as it takes.
    ///
    /// The bytes are what was there before: unspecified, but never memory of another channel.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, SendError> {
        self.claim_until(len, None)
    }

    /// Claims room for `len` bytes if there is some now.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if there is none.
    #[inline]
    pub fn try_claim(&mut self, len: usize) -> Result<Claim<'_>, TrySendError> {
        let reservation = self.try_reserve(len).inspect_err(|error| self.count_rejected(*error))?;
        Ok(self.claimed(reservation))
    }

    #[inline]
    pub(super) fn try_reserve(&mut self, len: usize) -> Result<Reservation, TrySendError> {
        let max = self.core.geometry.message_bytes_max;
        if len > max as usize {
            return Err(TrySendError::TooLong { bytes: len, max });
        }
        if place::refuses(self.core.control.receiver.load(Relaxed)) {
            return Err(TrySendError::Disconnected);
        }
        let contended = || self.core.receiver_wait.event.notify();
        self.producer.reserve(len as u32, contended).map_err(|_| TrySendError::Full)
    }

    /// Room, or why there will be none; `None` while the ring is full. For waits.
    pub(super) fn poll_reserve(&mut self, len: usize) -> Option<Result<Reservation, SendError>> {
        match self.try_reserve(len) {
            Err(TrySendError::Full) => None,
            other => Some(other.map_err(SendError::from)),
        }
    }

    #[cold]
    fn count_rejected(&self, error: TrySendError) {
        if error == TrySendError::Full {
            let rejected = &self.lane.shape.rejected;
            rejected.store(rejected.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    #[inline]
    fn claim_until(&mut self, len: usize, deadline_ns: Option<u64>) -> Result<Claim<'_>, SendError> {
        let reservation = match self.try_reserve(len) {
            Err(TrySendError::Full) => self.wait_for_room(len, deadline_ns)?,
            other => other?,
        };
        Ok(self.claimed(reservation))
    }

    #[cold]
    pub(super) fn wait_for_room(&mut self, len: usize, deadline_ns: Option<u64>) -> Result<Reservation, SendError> {
        let point = self.sender_wait.clone();
        let core = Arc::clone(&self.core);
        let sender = RefCell::new(self);
        let poll = || sender.borrow_mut().poll_reserve(len);
        if let Some(outcome) = burst(&point.counters, poll) {
            return outcome;
        }
        wait(&point.event, &point.counters, &core.control.strategy, deadline_ns, poll, poll, || dead_receiver(&core))
            .unwrap_or(Err(SendError::Stalled))
    }

    /// The claim on what was reserved last.
    #[inline]
    pub(super) fn claimed(&mut self, reservation: Reservation) -> Claim<'_> {
        Claim { sender: self, reservation }
    }

    /// Where this sender waits for room.
    pub(super) fn wait_point(&self) -> Shared<WaitPoint> {
        self.sender_wait.clone()
    }

    pub(super) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// Bytes of the ring that this sender writes to now.
    pub fn ring_bytes(&self) -> u64 {
        self.producer.ring_bytes()
    }

    #[inline]
    pub(super) fn append(&mut self, reservation: Reservation, message: &[u8]) {
        self.producer.payload_mut(reservation).copy_from_slice(message);
        self.producer.append(reservation, message.len() as u32);
    }

    pub(super) fn commit_batch(&mut self) {
        if self.producer.commit_batch() {
            self.core.receiver_wait.event.notify();
        }
    }

    #[inline]
    fn commit(&mut self, reservation: Reservation, len: u32) {
        self.producer.commit(reservation, len);
        self.core.receiver_wait.event.notify();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.membership.is_inherited() {
            return;
        }
        presence::leave(&self.lane.shape.owner, self.membership.word());
        self.core.receiver_wait.event.wake_all();
    }
}

impl Claim<'_> {
    /// Sends what was filled in.
    #[inline]
    pub fn commit(self) {
        self.sender.commit(self.reservation, self.reservation.len());
    }

    /// Fills the claim with `message`, which is as long, and sends it.
    #[inline]
    pub(super) fn commit_copy(mut self, message: &[u8]) {
        self.copy_from_slice(message);
        self.commit();
    }

    /// Sends nothing, as dropping the claim does.
    pub fn abort(self) {}

    /// Sends the first `len` bytes of what was claimed.
    ///
    /// # Panics
    /// Panics if `len` is more than was claimed.
    #[inline]
    pub fn commit_len(self, len: usize) {
        assert!(len <= self.len(), "{len} bytes committed of {} claimed", self.len());
        self.sender.commit(self.reservation, len as u32);
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.sender.producer.payload(self.reservation)
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.sender.producer.payload_mut(self.reservation)
    }
}

/// The receiver's death, if the one that was there has died. Told once: the place is free for another afterwards.
pub(super) fn dead_receiver<T>(core: &Core) -> Option<Result<T, SendError>> {
    if core.readers() == Readers::Competing {
        return core.sweep_seats().map(|pid| Err(SendError::PeerDied { pid }));
    }
    let receiver = core.control.receiver.load(Acquire);
    if receiver == 0 || place::refuses(receiver) || !core.participants.sweep(receiver).unwrap_or(false) {
        return None;
    }
    let freed = core.control.receiver.compare_exchange(receiver, 0, AcqRel, Relaxed).is_ok();
    freed.then_some(Err(SendError::PeerDied { pid: receiver as u32 }))
}

/// `timeout` from now, on the clock of waits; past the clock's end is never.
pub(crate) fn deadline(timeout: Duration) -> u64 {
    now_ns().saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}
