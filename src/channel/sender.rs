//! The sending endpoint.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::claim::{Claim, Long, Room};
use crate::channel::core::Core;
use crate::channel::error::{SendError, TrySendError};
use crate::channel::lead::Lead;
use crate::channel::loan::back;
use crate::channel::slab::Block;
use crate::channel::{place, presence};
use crate::prim::Ordering::Relaxed;
use crate::prim::step;
use crate::ring::Event;
use crate::ring::claims::Claimant;
use crate::ring::layout::Lane;
use crate::ring::producer::{Producer, Reservation};
use crate::ring::word::{FrameHeader, LOAN_LEN};
use crate::shm::header::RING_PAYLOAD_MAX;
use crate::shm::layout::ControlWords;
use crate::shm::participants::Membership;
use crate::shm::window::Shared;
use crate::sync::clock::deadline;
use crate::sync::owed;
use crate::sync::wait::{WaitPoint, burst, is_peer_check_due, wait};

/// Sends messages, in order. Closing is dropping.
#[derive(Debug)]
pub struct Sender {
    pub(super) producer: Producer,
    /// Where the senders share a lane: this one of its producers.
    pub(super) claimant: Option<Claimant>,
    /// The words that are this sender's alone.
    pub(super) lane: Lane,
    /// The lane that its messages are in.
    pub(super) ring_lane: usize,
    /// Where its waits are booked.
    pub(super) waits: Shared<WaitPoint>,
    /// Where it waits for room.
    pub(super) room: Shared<WaitPoint>,
    pub(super) membership: Membership,
    /// A block that was taken for a message for which there is no room in the ring yet, until that is waited for no more.
    pub(super) spare: Option<Block>,
    /// Longest payload that goes into the ring, bytes.
    pub(super) ring_payload_max: usize,
    pub(super) control: Shared<ControlWords>,
    pub(super) receiver_wait: Shared<WaitPoint>,
    /// Messages sent when it last found its ring full.
    pub(super) full_at: u64,
    pub(super) lead: Lead,
    /// When it last looked whether the receiver lives.
    pub(super) peers_checked_ns: u64,
    /// The receiver's death that was told last, or had come before this sender.
    pub(super) death_told: u64,
    /// When it last looked whether dead processes have blocks.
    pub(super) blocks_checked_ns: u64,
    pub(super) core: Arc<Core>,
}

impl Sender {
    /// Sends `message`, waiting for room as long as it takes.
    ///
    /// A sender that has gone to sleep for room is woken once a quarter of the ring is free, or its receiver finds nothing more or
    /// waits itself; and it looks by itself every 50 ms.
    ///
    /// # Errors
    /// All but [`SendError::Stalled`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let Some(reservation) = self.glance(message.len()) else { return self.send_elsewhere(message) };
        step("claim.reserved");
        self.producer.payload_mut(reservation).copy_from_slice(message);
        // Room at hand is in a ring of its own.
        self.producer.commit(reservation, reservation.len());
        self.receiver_wait.event.notify();
        step("commit.notified");
        Ok(())
    }

    #[inline(never)]
    fn send_elsewhere(&mut self, message: &[u8]) -> Result<(), SendError> {
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
    /// [`TrySendError::Full`] if there is none; else as [`Sender::send`].
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
    /// [`TrySendError::Full`] if there is none; else as [`Sender::send`].
    #[inline]
    pub fn try_claim(&mut self, len: usize) -> Result<Claim<'_>, TrySendError> {
        let room = match self.try_reserve(len) {
            Ok(room) => room,
            Err(error) => {
                self.count_rejected(len, error);
                return Err(error);
            }
        };
        Ok(self.claimed(room))
    }

    #[inline]
    pub(super) fn try_reserve(&mut self, len: usize) -> Result<Room, TrySendError> {
        self.check_len(len)?;
        if len > RING_PAYLOAD_MAX as usize {
            return self.try_reserve_block(len);
        }
        Ok(Room { reservation: self.reserve_in_ring(len as u32)?, long: None })
    }

    #[inline]
    pub(super) fn check_len(&self, len: usize) -> Result<(), TrySendError> {
        let max = self.core.geometry.message_bytes_max;
        if len > max as usize { Err(TrySendError::TooLong { bytes: len, max }) } else { Ok(()) }
    }

    /// Whether somebody receives, or may come to.
    pub(super) fn check_receiver(&mut self) -> Result<(), TrySendError> {
        let receiver = self.control.receiver.load(Relaxed);
        if place::refuses(receiver) {
            return Err(TrySendError::Disconnected);
        }
        // Relaxed: a death that is not seen yet is told by the next look.
        let died = self.control.receiver_died.load(Relaxed);
        if receiver == 0 && died != self.death_told {
            self.death_told = died;
            return Err(TrySendError::PeerDied { pid: died as u32 });
        }
        Ok(())
    }

    #[inline]
    pub(super) fn reserve_in_ring(&mut self, len: u32) -> Result<Reservation, TrySendError> {
        self.check_receiver()?;
        let (core, lane) = (&self.core, self.ring_lane);
        let on_event = |event| core.on_event(lane, event);
        let reserved = match &mut self.claimant {
            None => self.producer.reserve(len, on_event),
            Some(claimant) => claimant.claim(&mut self.producer, len, on_event),
        };
        reserved.map_err(|_| TrySendError::Full)
    }

    #[cold]
    fn try_reserve_block(&mut self, len: usize) -> Result<Room, TrySendError> {
        if self.claimant.is_none() {
            let reservation = self.reserve_in_ring(LOAN_LEN)?;
            return Ok(Room { reservation, long: Some(Box::new(Long { block: self.take_block(len)?, len })) });
        }
        // The block first: a claim has its place in the order, and would have to be given up. What was claimed and forgotten
        // before even that: blocks may stand behind it.
        self.give_up_claim();
        self.check_receiver()?;
        let block = match self.spare.take() {
            Some(spare) => {
                back(&spare, len)?;
                spare
            }
            None => self.take_block(len)?,
        };
        match self.reserve_in_ring(LOAN_LEN) {
            Ok(reservation) => Ok(Room { reservation, long: Some(Box::new(Long { block, len })) }),
            Err(error) => {
                self.spare = Some(block);
                Err(error)
            }
        }
    }

    /// Frees a block for which there was no room in the ring.
    pub(super) fn free_spare(&mut self) {
        if self.spare.take().is_some() {
            self.core.notify_senders();
        }
    }

    /// Room, or why there will be none; `None` while there is none. For waits.
    pub(super) fn poll_reserve(&mut self, len: usize) -> Option<Result<Room, SendError>> {
        unless_full(self.try_reserve(len))
    }

    #[cold]
    fn count_rejected(&mut self, len: usize, error: TrySendError) {
        self.free_spare();
        if error == TrySendError::Full {
            owed::settle();
            // Nobody else may look, if no endpoint ever waits.
            if is_peer_check_due(&mut self.peers_checked_ns) {
                self.core.find_dead_peers_of_senders();
            }
            let shape = &self.lane.shape;
            for (count, more) in [(&shape.rejected, 1), (&shape.rejected_bytes, len as u64)] {
                count.store(count.load(Relaxed).wrapping_add(more), Relaxed);
            }
        }
    }

    /// The room that is there now, nearly always, and else whatever [`Sender::find_room`] finds. In parts, so that they stay
    /// in registers.
    #[inline(always)]
    pub(super) fn claim_until(&mut self, len: usize, deadline_ns: Option<u64>) -> Result<Claim<'_>, SendError> {
        let Room { reservation, long } = match self.glance(len) {
            Some(reservation) => Room { reservation, long: None },
            None => self.find_room(len, deadline_ns)?,
        };
        Ok(self.claimed(Room { reservation, long }))
    }

    /// Room in the ring, if it is at hand and nothing else is to be said.
    #[inline(always)]
    fn glance(&self, len: usize) -> Option<Reservation> {
        let at_hand = len <= self.ring_payload_max && place::is_open(self.control.receiver.load(Relaxed));
        if at_hand { self.producer.reserve_at_hand(len as u32) } else { None }
    }

    /// Room, waiting for it, or why there will be none.
    #[inline(never)]
    fn find_room(&mut self, len: usize, deadline_ns: Option<u64>) -> Result<Room, SendError> {
        match self.try_reserve(len) {
            Err(TrySendError::Full) => self.wait_for_room(len, deadline_ns),
            Err(error) => {
                self.free_spare();
                Err(error.into())
            }
            Ok(room) => Ok(room),
        }
    }

    #[cold]
    pub(super) fn wait_for_room(&mut self, len: usize, deadline_ns: Option<u64>) -> Result<Room, SendError> {
        let streak = self.producer.messages().wrapping_sub(self.full_at);
        self.lead.give(streak);
        self.full_at = self.producer.messages();
        let room = self.wait_until(deadline_ns, |sender| sender.try_reserve(len));
        self.lead.begin();
        self.free_spare();
        room
    }

    /// Waits until `attempt` is not refused for want of room.
    pub(super) fn wait_until<T>(
        &mut self,
        deadline_ns: Option<u64>,
        mut attempt: impl FnMut(&mut Self) -> Result<T, TrySendError>,
    ) -> Result<T, SendError> {
        let (core, (waits, room), mut peers_checked_ns) =
            (Arc::clone(&self.core), self.wait_points(), self.peers_checked_ns);
        let sender = RefCell::new(&mut *self);
        let attempt = RefCell::new(&mut attempt);
        let poll = || unless_full(attempt.borrow_mut()(&mut sender.borrow_mut()));
        if let Some(outcome) = burst(&waits.counters, poll) {
            return outcome;
        }
        let (event, counters, strategy) = (&room.event, &waits.counters, &core.control.strategy);
        let check = || {
            core.find_dead_peers_of_senders();
            None // The next poll tells.
        };
        let outcome = wait(event, counters, strategy, deadline_ns, &mut peers_checked_ns, poll, poll, check);
        self.peers_checked_ns = peers_checked_ns;
        outcome.unwrap_or(Err(SendError::Stalled))
    }

    /// The claim on what was reserved last.
    #[inline]
    pub(super) fn claimed(&mut self, room: Room) -> Claim<'_> {
        Claim::new(self, room)
    }

    /// Sends the first `len` bytes of a block, by the frame reserved last.
    #[cold]
    pub(super) fn commit_block(&mut self, reservation: Reservation, block: Block, len: usize) {
        let number = block.number() as u64;
        self.producer.payload_mut(reservation).copy_from_slice(&number.to_ne_bytes());
        block.launch(self.ring_lane, reservation.position());
        match &mut self.claimant {
            None => self.producer.commit_loan(reservation, len as u32),
            Some(claimant) => {
                claimant.commit(FrameHeader::Loan { len: len as u32 });
                self.room.event.notify();
            }
        }
        step("block.committed");
        self.receiver_wait.event.notify();
    }

    /// Drops the oldest message of this sender that nobody has in hand; false if that cannot be done.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let (core, lane) = (&self.core, self.ring_lane);
        let on_event = |event| core.on_event(lane, event);
        match &mut self.claimant {
            None => self.producer.drop_oldest(on_event),
            Some(claimant) => claimant.drop_oldest(&mut self.producer, on_event),
        }
    }

    /// Where receivers each get every message and senders share a lane, finds out up to where all is committed.
    pub(super) fn settle_claims(&mut self) {
        let (core, lane) = (&self.core, self.ring_lane);
        if let Some(claimant) = &mut self.claimant {
            claimant.look(&mut self.producer, |event| core.on_event(lane, event));
        }
    }

    /// Whether that was not done for a while, as a process that has all the blocks may have died meanwhile.
    pub(super) fn is_time_to_look_for_the_dead(&mut self) -> bool {
        is_peer_check_due(&mut self.blocks_checked_ns)
    }

    /// Where this sender's waits are booked, and where it waits for room.
    pub(super) fn wait_points(&self) -> (Shared<WaitPoint>, Shared<WaitPoint>) {
        (self.waits.clone(), self.room.clone())
    }

    pub(super) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// Bytes of the ring that this sender has written to last.
    pub fn ring_bytes(&self) -> u64 {
        self.producer.ring_bytes()
    }

    /// Adds `message` to the batch that is being written; false if it does not go into the ring now.
    #[inline]
    pub(super) fn try_append(&mut self, message: &[u8]) -> bool {
        let Some(reservation) = self.glance(message.len()).or_else(|| self.room_in_ring(message.len())) else {
            return false;
        };
        self.producer.payload_mut(reservation).copy_from_slice(message);
        self.producer.append(reservation, message.len() as u32);
        true
    }

    #[inline(never)]
    fn room_in_ring(&mut self, len: usize) -> Option<Reservation> {
        let in_batch = len <= self.ring_payload_max && self.claimant.is_none();
        if in_batch { self.reserve_in_ring(len as u32).ok() } else { None }
    }

    pub(super) fn commit_batch(&mut self) {
        if self.producer.commit_batch() {
            self.receiver_wait.event.notify();
        }
    }

    #[inline]
    pub(super) fn commit(&mut self, reservation: Reservation, len: u32) {
        match &mut self.claimant {
            None => self.producer.commit(reservation, len),
            Some(claimant) => {
                claimant.commit(FrameHeader::Data { len });
                // What stood behind it may be dropped, or written over, now.
                self.room.event.notify();
            }
        }
        self.receiver_wait.event.notify();
        step("commit.notified");
    }

    /// Gives up what was claimed and not committed, which others' messages wait for.
    #[inline]
    pub(super) fn give_up_claim(&mut self) {
        if let Some(claimant) = &mut self.claimant
            && !self.membership.is_inherited()
            && claimant.give_up()
        {
            self.core.on_event(self.ring_lane, Event::Voided);
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.membership.is_inherited() {
            return;
        }
        self.give_up_claim();
        presence::leave(&self.lane.shape.owner, self.membership.word());
        step("detach.closed");
        self.core.receiver_wait.event.wake_all();
        step("detach.left");
    }
}

fn unless_full<T>(outcome: Result<T, TrySendError>) -> Option<Result<T, SendError>> {
    match outcome {
        Err(TrySendError::Full) => None,
        other => Some(other.map_err(SendError::from)),
    }
}
