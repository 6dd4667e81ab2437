//! The receiving endpoint.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::core::Core;
use crate::channel::error::{ChannelError, RecvError, TryRecvError};
use crate::channel::guard::Guard;
use crate::channel::lane::ReceiverLane;
use crate::channel::lanes::Lanes;
use crate::channel::lead::{Lead, Streak};
use crate::channel::place;
use crate::channel::presence::{self, Arrivals};
use crate::channel::seats::Seat;
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed};
use crate::prim::step;
use crate::ring::Readers;
use crate::ring::consumer::{Frame, Payload};
use crate::ring::layout::Lane;
use crate::shm::layout::RECEIVER_GONE;
use crate::shm::participants::{Membership, Role};
use crate::shm::window::Shared;
use crate::sync::clock::deadline;
use crate::sync::owed;
use crate::sync::wait::{WaitPoint, burst, is_peer_check_due, wait};

/// Receives the messages of every sender. Closing is dropping.
#[derive(Debug)]
pub struct Receiver {
    pub(super) lanes: Lanes,
    /// Each sender there ever was, or its successors.
    senders: Vec<KnownSender>,
    /// Of the batch in hand; kept for its memory.
    pub(super) frames: Vec<Frame>,
    /// Messages received since the last one that had to be waited for; it may wrap.
    pub(super) streak: Streak,
    lead: Lead,
    /// Whether it refuses messages.
    closed: bool,
    /// When it last looked whether the senders live.
    peers_checked_ns: u64,
    /// When it last looked without waiting.
    peers_checked_trying_ns: u64,
    /// Where its waits are booked.
    waits: Shared<WaitPoint>,
    place: Arc<Place>,
    core: Arc<Core>,
}

/// A sender, by its number.
#[derive(Debug)]
struct KnownSender {
    words: Lane,
    /// The death that was told last, or had come before this receiver.
    death_told: u64,
    /// What of it stood last where those store it who find a death: a guarded receiver tells of one that it cannot store.
    death_seen: u64,
}

/// What this receiver is to the channel.
#[derive(Debug)]
pub(super) enum Place {
    /// The only one.
    Only(Membership),
    /// One of several.
    Seat(Seat),
}

impl KnownSender {
    /// Whether nobody owns the lane; for a receiver that cannot clear it, nobody but a dead sender of which it has told.
    fn has_left(&self, is_guarded: bool) -> bool {
        let owner = &self.words.shape.owner;
        presence::is_free(owner) || (is_guarded && owner.load(Relaxed) == self.death_told)
    }

    /// The death that another has found, if it is not the one found here.
    fn death_found_by_others(&self) -> Option<u64> {
        // Relaxed: one that is not seen yet is told by the next look.
        let died = self.words.shape.died.load(Relaxed);
        (died != self.death_seen && died != self.death_told).then_some(died)
    }

    fn tell(&mut self, died: u64) -> TryRecvError {
        // The one told before, which its successor has stored, is not told again once `death_told` is another's. Whose death
        // is told here has stored it before its own word.
        let stored = self.words.shape.died.load(Relaxed);
        if stored == self.death_told || stored == died {
            self.death_seen = stored;
        }
        self.death_told = died;
        TryRecvError::PeerDied { pid: died as u32 }
    }
}

impl Receiver {
    pub(crate) fn attach(core: &Arc<Core>) -> Result<Self, ChannelError> {
        let place = match core.readers() {
            Readers::One => return Self::attach_only(core),
            Readers::Competing | Readers::Each => Place::Seat(Seat::take(core)?),
        };
        Self::new(core, place, Vec::new())
    }

    fn attach_only(core: &Arc<Core>) -> Result<Self, ChannelError> {
        let membership = core.participants.join(Role::Receiver)?;
        let lock = core.lock_structure()?;
        // Edge `receiver-attached`, reading end: what the receiver before has released, this one does not see again.
        let present = core.control.receiver.load(Acquire);
        if present != 0 && present != RECEIVER_GONE && !core.participants.sweep(place::receiver_of(present))? {
            return Err(ChannelError::ReceiverTaken { pid: present as u32 });
        }
        // Before anybody sees this receiver: a lane that cannot be read must not look like a receiver that has closed.
        core.restore_loans(&lock)?;
        let lanes =
            (0..core.ring_lanes()).map(|lane| ReceiverLane::attach(core, lane, 0)).collect::<Result<Vec<_>, _>>()?;
        // Edge `receiver-attached`, writing end: to the Acquire load above in the next receiver's attach. Meanwhile
        // only a sender's sweep changes the word, to 0.
        core.control.receiver.swap(membership.word(), AcqRel);
        step("place.taken");
        Self::new(core, Place::Only(membership), lanes)
    }

    fn new(core: &Arc<Core>, place: Place, lanes: Vec<ReceiverLane>) -> Result<Self, ChannelError> {
        let waits = core.receiver_waits(usize::from(place.seat().unwrap_or(0)))?;
        let seat = usize::from(place.seat().unwrap_or(0));
        let (lanes, core) = (Lanes::new(lanes, seat, Arc::clone(core)), Arc::clone(core));
        let place = Arc::new(place);
        let mut receiver = Self {
            lanes,
            senders: Vec::new(),
            frames: Vec::new(),
            streak: Streak::default(),
            lead: Lead::default(),
            closed: false,
            peers_checked_ns: 0,
            peers_checked_trying_ns: 0,
            waits,
            place,
            core,
        };
        receiver.meet_senders()?;
        for sender in &mut receiver.senders {
            sender.death_told = sender.words.shape.died.load(Relaxed);
            sender.death_seen = sender.death_told;
        }
        Ok(receiver)
    }

    fn meet_senders(&mut self) -> Result<(), ChannelError> {
        for number in self.senders.len()..self.core.lanes_used() {
            let words = self.core.lane(number)?;
            self.senders.push(KnownSender { words, death_told: 0, death_seen: 0 });
        }
        Ok(())
    }

    fn meet_lanes(&mut self) -> Result<(), ChannelError> {
        self.meet_senders()?;
        for lane in self.lanes.all.len()..self.core.ring_lanes() {
            self.lanes.all.push(ReceiverLane::attach(&self.core, lane, self.place.seat().unwrap_or(0))?);
        }
        Ok(())
    }

    /// The next message, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Disconnected`] when every sender has closed and every message was received;
    /// [`RecvError::PeerDied`] once for each sender whose process died, but for one whose successor in its lane died before
    /// this call, too; [`RecvError::Corrupt`] once for each lane that a process has spoilt, which is not read any more.
    #[inline]
    pub fn recv(&mut self) -> Result<Guard<'_>, RecvError> {
        self.recv_until(None)
    }

    /// The next message, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// [`RecvError::Stalled`] when the time is over, and those of [`Receiver::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Guard<'_>, RecvError> {
        self.recv_until(Some(deadline(timeout)))
    }

    /// The next message, if there is one now.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if there is none, [`TryRecvError::Disconnected`] if none will come; else as
    /// [`Receiver::recv`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<Guard<'_>, TryRecvError> {
        let found = match self.poll()? {
            // Nobody else may look, if no endpoint ever waits.
            None if is_peer_check_due(&mut self.peers_checked_trying_ns) => self.dead_sender().transpose()?,
            found => found,
        };
        let Some((lane, frame)) = found else {
            owed::settle();
            return Err(TryRecvError::Empty);
        };
        self.guard(lane, frame)
    }

    /// Copies of the messages, one after the other, waiting for each; ends when every sender has closed.
    ///
    /// [`Receiver::recv`] does without the copy.
    pub fn iter(&mut self) -> impl Iterator<Item = Result<Vec<u8>, RecvError>> {
        std::iter::from_fn(|| match self.recv() {
            Ok(message) => Some(Ok(message.to_vec())),
            Err(RecvError::Disconnected) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Copies of the messages that are there now; ends with the last of them.
    pub fn try_iter(&mut self) -> impl Iterator<Item = Result<Vec<u8>, TryRecvError>> {
        std::iter::from_fn(|| match self.try_recv() {
            Ok(message) => Some(Ok(message.to_vec())),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Refuses messages from now on: senders get `Disconnected`, and those that wait for room are woken. What was sent
    /// before can still be received, and then this end gets `Disconnected`, too. A claim that was made before can still
    /// be committed, and received by a later call.
    pub fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            match &*self.place {
                Place::Only(membership) => {
                    let word = membership.word();
                    self.leave_place(word, place::closing(word));
                }
                Place::Seat(seat) => seat.close(),
            }
        }
    }

    /// V4: puts another word in this receiver's place and wakes every sender to see it.
    fn leave_place(&self, from: u64, to: u64) {
        let _taken_over_if_it_differs = self.core.control.receiver.compare_exchange(from, to, AcqRel, Relaxed);
        step("place.left");
        self.core.wake_senders();
    }

    /// The message that is there now, nearly always, and else whatever [`Receiver::find`] finds. In parts, so that they stay
    /// in registers.
    #[inline(always)]
    fn recv_until(&mut self, deadline_ns: Option<u64>) -> Result<Guard<'_>, RecvError> {
        let (lane, frame, payload, block) = match self.lanes.glance() {
            Some((frame, payload)) => {
                if self.streak.count() {
                    self.meet_new_lanes()?;
                }
                (0, frame, payload, 0)
            }
            None => self.find(deadline_ns)?,
        };
        step("receive.found");
        Ok(Guard { receiver: self, lane, frame, payload, block })
    }

    /// The next message's lane, frame, payload and block, waiting for it.
    #[inline(never)]
    fn find(&mut self, deadline_ns: Option<u64>) -> Result<(usize, Frame, Payload, usize), RecvError> {
        self.meet_senders_now_and_then()?;
        if let Some((lane, frame)) = self.lanes.take_at_hand() {
            self.streak.add(1);
            return Ok((lane, frame, Payload::of(self.lanes.payload(lane, frame, 0)), 0));
        }
        let (lane, frame) = self.next_frame(deadline_ns)?;
        let block = if frame.is_loan() { self.lanes.begin_read(lane, frame)? } else { 0 };
        Ok((lane, frame, Payload::of(self.lanes.payload(lane, frame, block)), block))
    }

    #[inline]
    pub(super) fn next_frame(&mut self, deadline_ns: Option<u64>) -> Result<(usize, Frame), RecvError> {
        self.meet_senders_now_and_then()?;
        if let Some(found) = self.lanes.peek()? {
            self.streak.add(1);
            return Ok(found);
        }
        self.lead.give(std::mem::take(&mut self.streak).messages());
        match burst(&self.waits.counters, || self.lanes.peek().transpose()) {
            Some(found) => Ok(found?),
            None => self.wait_for_message(deadline_ns),
        }
    }

    #[cold]
    fn wait_for_message(&mut self, deadline_ns: Option<u64>) -> Result<(usize, Frame), RecvError> {
        let (core, waits, mut peers_checked_ns) = (Arc::clone(&self.core), self.waits.clone(), self.peers_checked_ns);
        let receiver = std::cell::RefCell::new(self);
        let outcome = wait(
            &core.receiver_wait.event,
            &waits.counters,
            &core.control.strategy,
            deadline_ns,
            &mut peers_checked_ns,
            || receiver.borrow_mut().lanes.peek().map_err(RecvError::from).transpose(),
            || receiver.borrow_mut().poll().map_err(RecvError::from).transpose(),
            || receiver.borrow_mut().dead_sender().map(|found| Ok(found?)),
        );
        receiver.borrow_mut().peers_checked_ns = peers_checked_ns;
        receiver.borrow_mut().lead.begin();
        outcome.unwrap_or(Err(RecvError::Stalled))
    }

    /// The guard of a frame that was found.
    #[inline]
    pub(super) fn guard(&mut self, lane: usize, frame: Frame) -> Result<Guard<'_>, TryRecvError> {
        Guard::new(self, lane, frame)
    }

    /// The place, to keep it past this receiver.
    pub(super) fn share_place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Where this receiver's waits for messages are booked, and where it waits.
    pub(super) fn wait_points(&self) -> (Shared<WaitPoint>, Shared<WaitPoint>) {
        (self.waits.clone(), self.core.receiver_wait.clone())
    }

    /// The next committed frame of any lane, met by now or not, and whether any can come.
    #[inline]
    pub(super) fn poll(&mut self) -> Result<Option<(usize, Frame)>, TryRecvError> {
        if let Some(found) = self.lanes.peek()? {
            self.streak.add(1);
            self.meet_senders_now_and_then()?;
            return Ok(Some(found));
        }
        let arrivals = Arrivals::seen(&self.core.control.senders_attached);
        self.meet_new_lanes()?;
        let alone = !self.senders.is_empty() && self.senders.iter().all(|sender| sender.has_left(self.core.is_guarded));
        // Owners first, then what they committed, then whether another came meanwhile.
        match self.lanes.peek()? {
            // A look that found somebody else at a lane says nothing of it, and what others have in hand may come back.
            None if self.lanes.any_busy() => Ok(None),
            None if self.closed || (alone && arrivals.are_all(&self.core.control.senders_attached)) => {
                if self.lanes.others_have_some() {
                    return Ok(None);
                }
                Err(self.untold_death().unwrap_or(TryRecvError::Disconnected))
            }
            found => Ok(found),
        }
    }

    #[cold]
    #[inline(never)]
    fn meet_new_lanes(&mut self) -> Result<(), TryRecvError> {
        let lane = self.lanes.all.len();
        self.meet_lanes().map_err(|_| TryRecvError::Corrupt { lane, position: 0, word: 0 })
    }

    /// Looks for senders that have come since, also while those that are known never pause.
    #[inline]
    fn meet_senders_now_and_then(&mut self) -> Result<(), TryRecvError> {
        if self.streak.take_due() { self.meet_new_lanes() } else { Ok(()) }
    }

    /// A sender's death, once what it committed has been received. Of receivers that have died, what they had taken.
    pub(super) fn dead_sender(&mut self) -> Option<Result<(usize, Frame), TryRecvError>> {
        if self.place.seat().is_some() {
            self.core.sweep_seats();
        }
        for (number, sender) in self.senders.iter_mut().enumerate() {
            let shape = &sender.words.shape;
            let word = shape.owner.load(Acquire);
            // One that has left in good order is in no slot, either; it gives the lane back before that.
            let is_dead =
                word != 0 && self.core.participants.sweep(word).unwrap_or(false) && shape.owner.load(Acquire) == word;
            let untold = if is_dead {
                Some(word).filter(|&word| word != sender.death_told)
            } else {
                sender.death_found_by_others()
            };
            if untold.is_none() && (!is_dead || self.core.is_guarded) {
                continue;
            }
            if is_dead && !self.core.break_dead_senders_lock(number, word).unwrap_or(false) {
                continue;
            }
            // What it committed last may have come after the last look: its messages go before its death.
            match self.lanes.peek() {
                Ok(Some(found)) => return Some(Ok(found)),
                Err(e) => return Some(Err(e)),
                Ok(None) if self.lanes.any_busy() => continue,
                Ok(None) => {}
            }
            if is_dead && !self.core.is_guarded {
                // A successor that has come since has stored it, and may have died, too.
                if shape.owner.load(Relaxed) == word {
                    shape.died.store(word, Relaxed);
                }
                let _taken_over_if_it_differs = shape.owner.compare_exchange(word, 0, AcqRel, Relaxed);
            }
            if let Some(died) = untold {
                return Some(Err(sender.tell(died)));
            }
        }
        None
    }

    /// A death that another has found, and whose sender's lane may have another owner by now.
    fn untold_death(&mut self) -> Option<TryRecvError> {
        self.senders.iter_mut().find_map(|sender| sender.death_found_by_others().map(|died| sender.tell(died)))
    }
}

impl Place {
    fn seat(&self) -> Option<u8> {
        match self {
            Self::Only(_) => None,
            Self::Seat(seat) => Some(seat.number),
        }
    }

    /// The receiver's participant word.
    pub(super) fn word(&self) -> u64 {
        match self {
            Self::Only(membership) => membership.word(),
            Self::Seat(seat) => seat.word(),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        match &*self.place {
            Place::Only(membership) if !membership.is_inherited() => {
                let word = membership.word();
                self.leave_place(if self.closed { place::closing(word) } else { word }, RECEIVER_GONE);
            }
            Place::Only(_) => {}
            // It is left with the last message that is held.
            Place::Seat(_) => self.close(),
        }
    }
}
