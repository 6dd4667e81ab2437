//! The sending endpoint.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::claim::{Claim, Long, Room};
use crate::channel::core::{Core, StructureLock};
use crate::channel::error::{ChannelError, SendError, TrySendError};
use crate::channel::lanes::ReceiverLane;
use crate::channel::receiver::{LEAD_PAUSES_MAX, STREAK_MIN};
use crate::channel::slab::Block;
use crate::channel::{place, presence, resize};
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::ring::Readers;
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
use crate::ring::producer::{Producer, Reservation};
use crate::ring::resize::found;
use crate::ring::word::LOAN_LEN;
use crate::shm::header::RING_PAYLOAD_MAX;
use crate::shm::layout::ControlWords;
use crate::shm::participants::{Membership, Role};
use crate::shm::window::Shared;
use crate::sync::clock::now_ns;
use crate::sync::wait::{WaitPoint, burst, is_peer_check_due, wait};

/// Lanes that a sender finds spoilt before it gives up: a hostile peer can make each look long.
const SPOILT_MAX: u32 = 4;

/// Sends messages, in order. Closing is dropping.
#[derive(Debug)]
pub struct Sender {
    pub(super) producer: Producer,
    lane: Shared<Lane>,
    number: usize,
    sender_wait: Shared<WaitPoint>,
    membership: Membership,
    /// Longest payload that goes into the ring, bytes.
    ring_payload_max: usize,
    control: Shared<ControlWords>,
    receiver_wait: Shared<WaitPoint>,
    /// Messages sent when it last found its ring full.
    full_at: u64,
    /// When it last looked whether the receiver lives.
    peers_checked_ns: u64,
    /// The last receiver's process, found dead by a call that does not wait, until one that waits tells it.
    untold_death: Option<u32>,
    /// When it last looked whether dead processes have blocks.
    blocks_checked_ns: u64,
    core: Arc<Core>,
}

impl Sender {
    pub(crate) fn attach(core: &Arc<Core>) -> Result<Self, ChannelError> {
        let membership = core.participants.join(Role::Sender)?;
        let lock = core.lock_structure()?;
        let lanes = core.geometry.lanes_max as usize;
        let (mut refused, mut spoilt) = (ChannelError::TooManySenders { lanes }, 0);
        for lane in 0..lanes {
            let words = core.lane(lane)?;
            let Some(owner_before) = Self::take_lane(core, &words, &membership)? else { continue };
            let sender_wait = core.sender_wait(lane)?;
            match Self::ready_ring(core, &lock, lane, &words) {
                Ok(producer) => {
                    presence::arrive(&core.control.senders_attached);
                    return Ok(Self {
                        producer,
                        lane: words,
                        number: lane,
                        sender_wait,
                        membership,
                        ring_payload_max: core.geometry.message_bytes_max.min(RING_PAYLOAD_MAX) as usize,
                        control: core.control.clone(),
                        receiver_wait: core.receiver_wait.clone(),
                        full_at: 0,
                        peers_checked_ns: 0,
                        untold_death: None,
                        blocks_checked_ns: 0,
                        core: Arc::clone(core),
                    });
                }
                Err(error) => {
                    // A death that the receiver has not been told of stays to be told.
                    words.shape.owner.store(owner_before, Release);
                    // It may have been the last one to leave.
                    core.receiver_wait.event.wake_all();
                    spoilt += 1;
                    refused = error;
                }
            }
            // A lane that some peer has spoilt is no reason to refuse the others, unless it has spoilt all.
            if spoilt == SPOILT_MAX || !matches!(refused, ChannelError::Corrupt { .. }) {
                break;
            }
        }
        Err(refused)
    }

    /// Takes the lane if it has no living owner, and says who that was; the structure lock keeps others from doing the
    /// same.
    fn take_lane(core: &Core, words: &Lane, membership: &Membership) -> Result<Option<u64>, ChannelError> {
        let owner = words.shape.owner.load(Acquire);
        let is_free = owner == 0 || core.participants.sweep(owner)?;
        if is_free {
            words.shape.owner.store(membership.word(), Release);
        }
        Ok(is_free.then_some(owner))
    }

    fn ready_ring(core: &Core, lock: &StructureLock<'_>, lane: usize, words: &Lane) -> Result<Producer, ChannelError> {
        let class = core.ring_class();
        let is_new = words.producer.cursor.load(Relaxed) == 0;
        if is_new {
            core.back_ring(lane, class)?;
            found(words, class, core.readers());
        }
        if lane >= core.lanes_used() {
            // Also if another founded it and died: nobody has met it yet.
            core.follow_new_lane(lock, words);
        }
        // The sender before may have died at the lane, and receivers have gone to sleep over it.
        let area = core.area(lane)?;
        if let Some(held) = words.taking.lock.lock_or_take_from(&[Holder::Producer], Holder::Producer) {
            core.free_blocks_done(lane, words, &area, &held);
            if held.unlock().0 {
                core.wake_lane(lane)?;
            }
        }
        let producer = Producer::attach(core.lane(lane)?, area, core.classes(), (core.readers(), core.when_full()))
            .map_err(|found| ChannelError::corrupt(lane, found))?;
        // A lane that cannot be read is not to be written.
        ReceiverLane::check(core, lane)?;
        core.free_blocks_never_sent(lock, lane, producer.position());
        if lane >= core.lanes_used() {
            // Edge `lane-founded`, writing end. Lanes are taken lowest first, so those used are a prefix, but for lanes
            // that are spoilt.
            core.control.lanes_used.store(lane as u64 + 1, Release);
        }
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
        let Some(reservation) = self.glance(message.len()) else { return self.send_elsewhere(message) };
        self.producer.payload_mut(reservation).copy_from_slice(message);
        self.commit(reservation, reservation.len());
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
        let room = self.try_reserve(len).inspect_err(|error| self.count_rejected(*error))?;
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

    #[inline]
    pub(super) fn reserve_in_ring(&mut self, len: u32) -> Result<Reservation, TrySendError> {
        if place::refuses(self.control.receiver.load(Relaxed)) {
            return Err(TrySendError::Disconnected);
        }
        let (core, lane) = (&self.core, self.number);
        self.producer.reserve(len, |event| core.on_event(lane, event)).map_err(|_| TrySendError::Full)
    }

    #[cold]
    fn try_reserve_block(&mut self, len: usize) -> Result<Room, TrySendError> {
        let reservation = self.reserve_in_ring(LOAN_LEN)?;
        Ok(Room { reservation, long: Some(Box::new(Long { block: self.take_block(len)?, len })) })
    }

    /// Room, or why there will be none; `None` while there is none. For waits.
    pub(super) fn poll_reserve(&mut self, len: usize) -> Option<Result<Room, SendError>> {
        unless_full(self.try_reserve(len))
    }

    #[cold]
    fn count_rejected(&mut self, error: TrySendError) {
        if error == TrySendError::Full {
            // Nobody else may look, if no endpoint ever waits.
            if self.core.readers() != Readers::One
                && is_peer_check_due(&mut self.peers_checked_ns)
                && let Some(pid) = self.core.sweep_seats()
            {
                self.untold_death = Some(pid);
                self.peers_checked_ns = 0; // The next wait tells it at once.
            }
            let rejected = &self.lane.shape.rejected;
            rejected.store(rejected.load(Relaxed).wrapping_add(1), Relaxed);
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
            other => Ok(other?),
        }
    }

    #[cold]
    pub(super) fn wait_for_room(&mut self, len: usize, deadline_ns: Option<u64>) -> Result<Room, SendError> {
        let streak = self.producer.messages().wrapping_sub(self.full_at);
        if streak >= u64::from(STREAK_MIN) {
            (0..streak.min(LEAD_PAUSES_MAX.into())).for_each(|_| std::hint::spin_loop());
        }
        self.full_at = self.producer.messages();
        self.wait_until(deadline_ns, |sender| sender.try_reserve(len))
    }

    /// Waits until `attempt` is not refused for want of room.
    pub(super) fn wait_until<T>(
        &mut self,
        deadline_ns: Option<u64>,
        mut attempt: impl FnMut(&mut Self) -> Result<T, TrySendError>,
    ) -> Result<T, SendError> {
        let (core, point, mut peers_checked_ns) =
            (Arc::clone(&self.core), self.sender_wait.clone(), self.peers_checked_ns);
        let mut untold = self.untold_death.take();
        let sender = RefCell::new(&mut *self);
        let attempt = RefCell::new(&mut attempt);
        let poll = || unless_full(attempt.borrow_mut()(&mut sender.borrow_mut()));
        if let Some(outcome) = burst(&point.counters, poll) {
            return outcome;
        }
        let (WaitPoint { event, counters }, strategy) = (&*point, &core.control.strategy);
        let check = || match untold.take() {
            Some(pid) => Some(Err(SendError::PeerDied { pid })),
            None => dead_receiver(&core),
        };
        let outcome = wait(event, counters, strategy, deadline_ns, &mut peers_checked_ns, poll, poll, check);
        self.peers_checked_ns = peers_checked_ns;
        self.untold_death = untold;
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
        block.launch(self.number, reservation.position());
        self.producer.commit_loan(reservation, len as u32);
        self.receiver_wait.event.notify();
    }

    /// Drops the oldest message of this sender that nobody has in hand; false if that cannot be done.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let (core, lane) = (&self.core, self.number);
        self.producer.drop_oldest(|event| core.on_event(lane, event))
    }

    /// Whether that was not done for a while, as a process that has all the blocks may have died meanwhile.
    pub(super) fn is_time_to_look_for_the_dead(&mut self) -> bool {
        is_peer_check_due(&mut self.blocks_checked_ns)
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
        if len <= self.ring_payload_max { self.reserve_in_ring(len as u32).ok() } else { None }
    }

    pub(super) fn commit_batch(&mut self) {
        if self.producer.commit_batch() {
            self.receiver_wait.event.notify();
        }
    }

    #[inline]
    pub(super) fn commit(&mut self, reservation: Reservation, len: u32) {
        self.producer.commit(reservation, len);
        self.receiver_wait.event.notify();
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

fn unless_full<T>(outcome: Result<T, TrySendError>) -> Option<Result<T, SendError>> {
    match outcome {
        Err(TrySendError::Full) => None,
        other => Some(other.map_err(SendError::from)),
    }
}

/// The receiver's death, if the one that was there has died. Told once: the place is free for another afterwards.
pub(super) fn dead_receiver<T>(core: &Core) -> Option<Result<T, SendError>> {
    if core.readers() != Readers::One {
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
