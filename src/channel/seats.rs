//! The seats of receivers that share a channel. Steps V5 to V8 of `PROTOCOL.md`.

use std::sync::Arc;

use crate::channel::core::{Core, StructureLock};
use crate::channel::error::ChannelError;
use crate::channel::{place, presence};
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::prim::fence;
use crate::prim::step;
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
use crate::ring::taker::{self, LoanAt};
use crate::ring::{Readers, alone, followers};
use crate::shm::error::ShmError;
use crate::shm::layout::RECEIVER_GONE;
use crate::shm::participants::{Membership, Role};
use crate::sync::wait::WaitPoint;

/// Looks at a place that others change all the while. Whoever gives up leaves it to the next who looks for the dead.
const SETTLE_ROUNDS_MAX: u32 = 1000;

/// A receiver's seat; left on drop.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) number: u8,
    membership: Membership,
    core: Arc<Core>,
}

impl Seat {
    /// V5: takes a free seat, or that of a receiver that has died.
    pub(crate) fn take(core: &Arc<Core>) -> Result<Self, ChannelError> {
        let membership = core.participants.join(Role::Receiver)?;
        step("seat.joined");
        let lock = core.lock_structure()?;
        let mut present = 0;
        for number in 0..core.seats() as u8 {
            let seat = &core.control.seats[usize::from(number)];
            let word = seat.load(Acquire);
            let is_dead = word != 0 && core.participants.sweep(place::receiver_of(word))?;
            if word == 0 || (is_dead && core.clear_seat(&lock, number, word)?) {
                if is_dead && core.is_nobody_seated() {
                    // Whoever dies from here on, before it has the seat, leaves no place that looks taken.
                    core.settle_place(Some(word));
                }
                core.seat_in_lanes(&lock, number)?;
                step("seat.in_lanes");
                if core.readers() == Readers::Each {
                    // Closed until it has joined: who dies meanwhile has left its word, and is swept (V8).
                    seat.store(place::closing(membership.word()), Release);
                    step("seat.closed_before_joining");
                    for lane in 0..core.lanes_used() {
                        followers::join(&core.lane(lane)?, number);
                    }
                }
                // Edge `seat-taken`, writing end: to whoever settles the receivers' place.
                seat.store(membership.word(), Release);
                step("seat.taken");
                let attached = &core.control.receivers_attached;
                attached.store(attached.load(Relaxed).wrapping_add(1), Relaxed);
                core.control.receiver.store(place::open(attached.load(Relaxed)), Release);
                step("seat.opened");
                return Ok(Self { number, membership, core: Arc::clone(core) });
            }
            present = word;
        }
        match core.seats() {
            1 => Err(ChannelError::ReceiverTaken { pid: present as u32 }),
            seats => Err(ChannelError::TooManyReceivers { seats }),
        }
    }

    /// The receiver's participant word.
    pub(crate) fn word(&self) -> u64 {
        self.membership.word()
    }

    /// V6: takes no more messages.
    pub(crate) fn close(&self) {
        if self.membership.is_inherited() {
            return;
        }
        self.put(self.membership.word(), place::closing(self.membership.word()));
    }

    fn put(&self, from: u64, to: u64) {
        let seat = &self.core.control.seats[usize::from(self.number)];
        // Edge `seat-left`, writing end, by the fence that `settle_place` begins with.
        let _cleared_if_it_differs = seat.compare_exchange(from, to, AcqRel, Relaxed);
        self.core.settle_place(None);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.membership.is_inherited() {
            return;
        }
        let word = self.membership.word();
        self.close();
        step("seat.closing");
        self.core.unfollow(self.number);
        if self.core.may_have_frames(self.number) {
            // The seat stays, of one who is gone, like that of the dead: what was forgotten in it is given back (V8).
            return self.core.receiver_wait.event.wake_all();
        }
        self.put(place::closing(word), 0);
        step("seat.left");
        self.core.wake_senders();
    }
}

impl Core {
    fn is_nobody_seated(&self) -> bool {
        self.control.seats.iter().all(|seat| seat.load(Acquire) == 0)
    }

    /// V7: says in the receivers' place whether any of the seats takes messages, and wakes the senders if none does. If the last
    /// of them has died, and was `dead`, there may come another.
    fn settle_place(&self, dead: Option<u64>) {
        // Edge `seat-left`, reading end: of two that leave at once, each with this fence, one sees both seats left.
        fence(SeqCst);
        // Each of these rounds but the last is another's change of the place: in good order, fewer than this.
        for _ in 0..SETTLE_ROUNDS_MAX {
            let place = self.control.receiver.load(Acquire);
            // Edge `seat-taken`, reading end: a seat taken since changes the place, too, and the swap below fails.
            let seats = self.control.seats.iter().map(|seat| seat.load(Acquire));
            let settled = match seats.max() {
                // Senders that were told that all have gone are not told otherwise.
                Some(0) | None if place::refuses(place) => RECEIVER_GONE,
                Some(0) | None => dead.map_or(RECEIVER_GONE, |_| 0),
                Some(word) if place::refuses(word) => place::CLOSING,
                Some(_) => return,
            };
            if place == settled {
                return;
            }
            if let Some(dead) = dead {
                self.control.receiver_died.store(place::receiver_of(dead), Relaxed);
            }
            if self.control.receiver.compare_exchange(place, settled, AcqRel, Relaxed).is_ok() {
                return self.wake_senders();
            }
        }
    }

    /// Looks for what keeps senders from going on: the only receiver, or all, having died, or other senders in their turn.
    pub(crate) fn find_dead_peers_of_senders(&self) {
        self.settle_dead_senders();
        if self.readers() != Readers::One {
            return self.sweep_seats();
        }
        let receiver = self.control.receiver.load(Acquire);
        if receiver == 0
            || place::refuses(receiver)
            || !self.participants.sweep(receiver).unwrap_or(false)
            // One that has left in good order is in no slot, either; it gives its place back before that.
            || self.control.receiver.load(Acquire) != receiver
        {
            return;
        }
        self.control.receiver_died.store(receiver, Relaxed);
        if self.control.receiver.compare_exchange(receiver, 0, AcqRel, Relaxed).is_ok() {
            self.wake_senders();
        }
    }

    /// V8: gives back what receivers that have died had taken.
    pub(crate) fn sweep_seats(&self) {
        if !self.is_guarded {
            self.break_dead_resizers_locks();
            self.share_changing_lanes();
        }
        for (seat, number) in self.control.seats.iter().zip(0u8..) {
            let word = seat.load(Acquire);
            if word == 0 || !self.participants.sweep(place::receiver_of(word)).unwrap_or(false) {
                continue;
            }
            // Another sweeper has the lock, or a resizer: the next look will do.
            if let Ok(Some(lock)) = self.try_lock_structure()
                && seat.load(Acquire) == word
                && self.clear_seat(&lock, number, word).unwrap_or(false)
            {
                self.settle_place(Some(word));
            }
        }
        if place::is_open(self.control.receiver.load(Acquire)) && self.is_nobody_seated() {
            // Whoever cleared the last seat has died since. Who takes one has it before it opens the place.
            self.settle_place(Some(self.control.receiver_died.load(Relaxed)));
        }
    }

    /// Whether the receiver in a seat may have frames that it has taken and is not done with.
    fn may_have_frames(&self, number: u8) -> bool {
        let lanes = if self.readers() == Readers::Competing { self.ring_lanes() } else { 0 };
        (0..lanes).any(|lane| {
            let (Ok(words), Ok(area)) = (self.lane(lane), self.area(lane)) else { return false };
            let Some(lock) = words.taking.lock.try_lock(Holder::Seat(number)) else { return true };
            let out = taker::out(&words, &area, &self.classes(), &lock, number);
            if lock.unlock().0 {
                let _lane_was_read_before = self.wake_lane(lane);
            }
            out.own
        })
    }

    /// Wakes who may wait for frames to be done with: their sender, and receivers that wait for the last of them.
    #[inline]
    pub(crate) fn wake_for_done(&self, sender_wait: &WaitPoint) {
        sender_wait.event.notify();
        // After the fence of `notify`.
        if presence::is_the_last_awaited(&self.control.finishing) {
            self.receiver_wait.event.notify();
        }
    }

    /// Gives back what the dead receiver in a seat had taken, and clears the seat; false if somebody is at a lane.
    pub(crate) fn clear_seat(&self, lock: &StructureLock<'_>, number: u8, word: u64) -> Result<bool, ShmError> {
        self.unfollow(number);
        // A receiver is at a lane only where senders drop messages.
        if self.readers() == Readers::Each && !self.is_guarded {
            self.break_dead_receivers_locks(lock, number)?;
        }
        self.settle_under(lock)?;
        let competing = if self.readers() == Readers::Competing { self.ring_lanes() } else { 0 };
        for lane in 0..competing {
            let (words, area) = (self.lane(lane)?, self.area(lane)?);
            let dead = self.dead_at_lane(&words)?;
            let Some(held) = words.taking.lock.lock_or_take_from(&dead, Holder::Resizer) else { return Ok(false) };
            // A lane that cannot be read has nothing to give back.
            if alone::seat(&words) == Some(number) && !alone::share(&words, &area, &self.classes(), &held) {
                let _all_are_woken = held.unlock();
                self.wake_lane(lane)?;
                return Ok(false);
            }
            // Also a producer that found the lane changing.
            let mut some = alone::seat(&words).is_none();
            let _spoilt = taker::give_back_of(&words, &area, &self.classes(), &held, number, |loan| {
                some = true;
                if let Some(LoanAt { position, number }) = loan {
                    self.restore_loan(lane, position, number, |owner| owner == place::receiver_of(word));
                }
            });
            self.free_blocks_done(lane, &words, &area, &held);
            if held.unlock().0 || some {
                self.wake_lane(lane)?;
            }
            self.free_released(lane)?;
        }
        self.free_blocks(|owner| owner == place::receiver_of(word));
        let seats = &self.control.seats;
        if (0u8..).zip(seats).all(|(other, seat)| other == number || seat.load(Acquire) == 0) {
            // Before the seat is: who finds nobody seated in a place that is open finishes what was begun here.
            self.control.receiver_died.store(place::receiver_of(word), Relaxed);
        }
        let cleared = seats[usize::from(number)].compare_exchange(word, 0, AcqRel, Relaxed).is_ok();
        self.wake_senders();
        Ok(cleared)
    }

    /// F3 in every lane, used or about to be. The seat must be closed, or its receiver dead and the structure lock held.
    fn unfollow(&self, number: u8) {
        if self.readers() != Readers::Each {
            return;
        }
        // Edge `lane-followed`: to the fence in `follow_new_lane`. One of the two sees the other.
        fence(SeqCst);
        for lane in 0..self.geometry.lanes_max as usize {
            if let Ok(words) = self.lane(lane) {
                followers::leave(&words, number);
            }
        }
    }

    /// Frees lanes that the dead receiver in a seat was at.
    fn break_dead_receivers_locks(&self, _lock: &StructureLock<'_>, number: u8) -> Result<(), ShmError> {
        for lane in 0..self.lanes_used() {
            if self.lane(lane)?.taking.lock.break_from(Holder::Seat(number)).is_some() {
                self.wake_lane(lane)?;
            }
        }
        Ok(())
    }

    /// F1 in a lane that was founded just now, for all receivers that are there.
    pub(crate) fn follow_new_lane(&self, _lock: &StructureLock<'_>, lane: &Lane) {
        if self.readers() != Readers::Each {
            return;
        }
        for (seat, number) in self.control.seats.iter().zip(0u8..) {
            let is_open = || !matches!(seat.load(Acquire), word if word == 0 || place::refuses(word));
            if is_open() {
                followers::join_new(lane, number);
                fence(SeqCst); // edge `lane-followed`
                if !is_open() {
                    followers::leave(lane, number);
                }
            }
        }
    }

    /// D1 for who changes the structure: gives what is done with back to the sender of the lane.
    pub(crate) fn collect(&self, _lock: &StructureLock<'_>, lane: usize) -> Result<(), ShmError> {
        let (words, area) = (self.lane(lane)?, self.area(lane)?);
        if let Some(held) = words.taking.lock.lock_or_take_from(&[Holder::Resizer], Holder::Resizer) {
            let _spoilt = taker::collect(&words, &area, &self.classes(), &held);
            if held.unlock().0 {
                self.wake_lane(lane)?;
            }
        }
        Ok(())
    }

    /// Frees lanes that a resizer has died at: whoever has the structure lock knows that nobody else is a resizer.
    fn break_dead_resizers_locks(&self) {
        for lane in 0..self.lanes_used() {
            if let Ok(words) = self.lane(lane)
                && words.taking.lock.is_held_by(Holder::Resizer)
                && let Ok(Some(_lock)) = self.try_lock_structure()
                && words.taking.lock.break_from(Holder::Resizer).is_some()
            {
                let _lane_was_read_before = self.wake_lane(lane);
            }
        }
    }

    /// Frees a lane that its dead sender, known by `owner`, was at; false if that cannot be done now.
    pub(crate) fn break_dead_senders_lock(&self, lane: usize, owner: u64) -> Result<bool, ShmError> {
        if self.is_guarded {
            return Ok(true); // It does not wait for the lane.
        }
        if self.is_in_one_order() {
            return self.settle_dead_sender(lane, owner);
        }
        let words = self.lane(lane)?;
        if !words.taking.lock.is_held_by(Holder::Producer) {
            return Ok(true);
        }
        let Some(_no_successor_comes) = self.try_lock_structure()? else { return Ok(false) };
        if words.shape.owner.load(Acquire) == owner && words.taking.lock.break_from(Holder::Producer).is_some() {
            self.wake_lane(lane)?;
        }
        Ok(true)
    }

    /// As [`Core::break_dead_senders_lock`], of every lane whose sender has died.
    pub(crate) fn break_dead_senders_locks(&self) {
        if self.is_in_one_order() {
            return self.settle_dead_senders();
        }
        for lane in 0..self.lanes_used() {
            if let Ok(words) = self.lane(lane)
                && words.taking.lock.is_held_by(Holder::Producer)
                && let Ok(Some(owner)) = self.dead_sender(lane)
            {
                let _the_next_look_will_do = self.break_dead_senders_lock(lane, owner);
            }
        }
    }

    /// Wakes whoever waits for the lane: its sender, and the receivers.
    pub(crate) fn wake_lane(&self, lane: usize) -> Result<(), ShmError> {
        self.sender_wait(lane)?.event.notify();
        self.receiver_wait.event.notify();
        Ok(())
    }
}
