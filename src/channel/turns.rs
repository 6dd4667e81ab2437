//! Senders whose messages are in one order, and who share a lane for it: steps Q7 and Q8 of `ring/PROTOCOL.md`.

use std::time::Duration;

use crate::channel::core::{Core, StructureLock};
use crate::channel::presence;
use crate::channel::slab::in_flight;
use crate::prim::Ordering::Acquire;
use crate::ring::Readers;
use crate::ring::claims::{give_up_of, settle};
use crate::ring::layout::Lane;
use crate::ring::lock::{Held, Holder};
use crate::shm::error::ShmError;

/// The lane that all share.
const SHARED: usize = 0;
/// Looks, with a yield between them, before who holds the lock is left alone.
const LOOKS: u32 = 64;
/// Pause of who waits, under the structure lock, for somebody to go, and how many such, at most, before it gives up.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
pub(super) const PAUSES_MAX: u32 = 500;

impl Core {
    /// Whether the messages of all senders are in one order.
    pub(crate) fn is_in_one_order(&self) -> bool {
        self.geometry.order == 1
    }

    /// The lane that the messages of a sender are in, which it is known by.
    pub(crate) fn ring_lane(&self, number: usize) -> usize {
        if self.is_in_one_order() { SHARED } else { number }
    }

    /// Lanes that messages are in.
    pub(crate) fn ring_lanes(&self) -> usize {
        if self.is_in_one_order() { self.lanes_used().min(SHARED + 1) } else { self.lanes_used() }
    }

    /// Whether a sender writes to the lane, or may do so.
    pub(crate) fn has_sender(&self, lane: usize) -> Result<bool, ShmError> {
        let senders = if self.is_in_one_order() { 0..self.lanes_used() } else { lane..lane + 1 };
        for number in senders {
            if !presence::is_free(&self.lane(number)?.shape.owner) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has `act` done in turn with the senders; waits for it as long as none of them can be taken for stopped.
    pub(crate) fn await_turn<T>(
        &self,
        lock: &StructureLock<'_>,
        mut act: impl FnMut(&Held<'_>) -> T,
    ) -> Result<T, ShmError> {
        for _ in 0..PAUSES_MAX {
            if let Some(done) = self.in_turn(lock, &mut act)? {
                return Ok(done);
            }
            std::thread::sleep(PAUSE);
        }
        Err(ShmError::Held { lane: SHARED })
    }

    /// Q7: has `act` done in turn with the senders; `None` if one of them stays at the lane.
    pub(crate) fn in_turn<T>(
        &self,
        _lock: &StructureLock<'_>,
        act: impl FnOnce(&Held<'_>) -> T,
    ) -> Result<Option<T>, ShmError> {
        let words = self.lane(SHARED)?;
        let mut looks = 0..LOOKS;
        let turn = loop {
            // Whoever held it as a resizer did so under the structure lock, which is ours now.
            let dead = [Holder::Resizer, self.dead_at(&words)?.unwrap_or(Holder::Resizer)];
            if let Some(turn) = words.producing.lock.lock_or_take_from(&dead, Holder::Resizer) {
                break turn;
            }
            if looks.next().is_none() {
                return Ok(None);
            }
            std::thread::yield_now();
        };
        // Only who has its turn takes that lock as a producer.
        if words.taking.lock.break_from(Holder::Producer).is_some() {
            self.wake_lane(SHARED)?;
        }
        // Where one receives, its ring may have been given back from where that walk would begin. A lane that cannot be read is
        // told to who attaches.
        if self.producer(SHARED).is_ok() && self.readers() == Readers::Each {
            let _spoilt_if_it_fails = settle(&words, &self.area(SHARED)?, &self.classes(), &turn);
        }
        let done = act(&turn);
        if turn.unlock().0 {
            self.sender_wait(SHARED)?.event.notify();
        }
        Ok(Some(done))
    }

    /// What the sender of that number is known by, if it has died.
    pub(crate) fn dead_sender(&self, number: usize) -> Result<Option<u64>, ShmError> {
        let owner = self.lane(number)?.shape.owner.load(Acquire);
        Ok((owner != 0 && self.participants.sweep(owner)?).then_some(owner))
    }

    /// The sender that is at the shared lane, if it is dead.
    fn dead_at(&self, words: &Lane) -> Result<Option<Holder>, ShmError> {
        for number in 0..self.lanes_used() {
            let holder = Holder::Sender(number as u8);
            if words.producing.lock.is_held_by(holder) {
                let owner = self.lane(number)?.shape.owner.load(Acquire);
                return Ok((owner == 0 || self.participants.sweep(owner)?).then_some(holder));
            }
        }
        Ok(None)
    }

    /// Q8: gives up what the sender of that number, which is proven dead, had claimed.
    pub(crate) fn give_up_claims_of(&self, turn: &Held<'_>, number: usize) {
        let (Ok(words), Ok(area)) = (self.lane(SHARED), self.area(SHARED)) else { return };
        let mut some = false;
        let _as_far_as_it_can_be_read =
            give_up_of(&words, &area, (&self.classes(), self.readers()), turn, number as u8, |position| {
                some = true;
                self.free_blocks(|owner| owner == in_flight(SHARED, position));
            });
        if let Some(held) = words.taking.lock.try_lock(Holder::Resizer) {
            self.free_blocks_done(SHARED, &words, &area, &held);
            some |= held.unlock().0;
        }
        if some {
            let _lane_was_read_before = self.wake_lane(SHARED);
        }
    }

    /// Q7 and Q8 for the sender of that number, known dead by `owner`; false if that cannot be done now.
    pub(crate) fn settle_dead_sender(&self, number: usize, owner: u64) -> Result<bool, ShmError> {
        let Some(lock) = self.try_lock_structure()? else { return Ok(false) };
        if self.lane(number)?.shape.owner.load(Acquire) != owner || !self.participants.sweep(owner)? {
            return Ok(true);
        }
        Ok(self.in_turn(&lock, |turn| self.give_up_claims_of(turn, number))?.is_some())
    }

    /// As [`Core::settle_dead_sender`], of every sender that has died. Where each has a lane there is nothing to do.
    pub(crate) fn settle_dead_senders(&self) {
        if !self.is_in_one_order() {
            return;
        }
        for number in 0..self.lanes_used() {
            if let Ok(Some(owner)) = self.dead_sender(number) {
                let _the_next_look_will_do = self.settle_dead_sender(number, owner);
            }
        }
        if self.lane(SHARED).is_ok_and(|words| words.producing.lock.is_held_by(Holder::Resizer))
            && let Ok(Some(lock)) = self.try_lock_structure()
        {
            // If it still holds the turn, it has died.
            let _the_next_look_will_do = self.in_turn(&lock, |_| ());
        }
    }

    /// As [`Core::settle_dead_senders`], under the structure lock.
    pub(crate) fn settle_under(&self, lock: &StructureLock<'_>) -> Result<(), ShmError> {
        let numbers = if self.is_in_one_order() { 0..self.lanes_used() } else { 0..0 };
        for number in numbers {
            if self.dead_sender(number)?.is_some() {
                let _the_next_look_will_do = self.in_turn(lock, |turn| self.give_up_claims_of(turn, number))?;
            }
        }
        Ok(())
    }
}
