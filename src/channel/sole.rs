//! When one of the receivers that may compete is alone, and when no more: steps A1 to U4 of `ring/PROTOCOL.md`.

use crate::channel::core::{Core, StructureLock};
use crate::channel::place;
use crate::channel::turns::{PAUSE, PAUSES_MAX};
use crate::prim::Ordering::Acquire;
use crate::ring::layout::Lane;
use crate::ring::lock::{Held, Holder};
use crate::ring::{Readers, WhenFull, alone, taker};
use crate::shm::error::ShmError;

impl Core {
    /// Whether a receiver of this channel may be alone among those that may compete.
    fn may_be_alone(&self) -> bool {
        // Who drops messages needs the lanes' locks for each.
        self.readers() == Readers::Competing && self.when_full() == WhenFull::Wait
    }

    /// Makes the lanes ready for the receiver that is about to take that seat: leaves them to it if there is no other, else
    /// has them shared.
    pub(crate) fn seat_in_lanes(&self, lock: &StructureLock<'_>, number: u8) -> Result<(), ShmError> {
        if !self.may_be_alone() {
            return Ok(());
        }
        let is_alone = !self.is_anybody_seated_but(lock, number)?;
        self.settle_under(lock)?;
        for lane in 0..self.ring_lanes() {
            self.at_lane(lock, lane, PAUSES_MAX, |words, held| {
                let (area, classes) = (self.area(lane)?, self.classes());
                if let Some(seat) = alone::seat(words)
                    && !(is_alone && alone::leave_to(words, &area, &classes, held, number))
                {
                    if !alone::share(words, &area, &classes, held) {
                        return Err(unfenced());
                    }
                    if is_alone || seat == number {
                        // What one that has left had forgotten.
                        let _as_far_as_it_can_be_read = taker::give_back_of(words, &area, &classes, held, seat, |_| {});
                    }
                }
                if is_alone {
                    let _shared_if_something_is_done = alone::leave_to(words, &area, &classes, held, number);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Leaves a lane that no receiver has met yet to the one that is there alone, if there is one.
    pub(crate) fn leave_new_lane(&self, _lock: &StructureLock<'_>, lane: &Lane) {
        let mut seated = (0u8..).zip(&self.control.seats).filter(|(_, seat)| seat.load(Acquire) != 0);
        if self.may_be_alone() {
            let only = match (seated.next(), seated.next()) {
                (Some((number, _)), None) => Some(number),
                _ => None,
            };
            alone::leave_new_to(lane, only);
        }
    }

    /// Has those lanes shared at which somebody has died who was about it.
    pub(crate) fn share_changing_lanes(&self) {
        for lane in 0..self.ring_lanes() {
            if self.lane(lane).is_ok_and(|words| alone::is_changing(&words))
                && let Ok(Some(lock)) = self.try_lock_structure()
            {
                let _the_next_look_will_do = self.share_under(&lock, lane, 0);
            }
        }
    }

    /// Has a lane shared, by the receiver that is alone there.
    pub(crate) fn share_lane(&self, lane: usize) -> Result<(), ShmError> {
        self.share_under(&self.lock_structure()?, lane, PAUSES_MAX)
    }

    fn share_under(&self, lock: &StructureLock<'_>, lane: usize, pauses: u32) -> Result<(), ShmError> {
        self.settle_under(lock)?;
        self.at_lane(lock, lane, pauses, |words, held| {
            let shared = alone::share(words, &self.area(lane)?, &self.classes(), held);
            if shared { Ok(()) } else { Err(unfenced()) }
        })
    }

    /// Whether a receiver has another seat than that; of the dead what they had is given back first.
    fn is_anybody_seated_but(&self, lock: &StructureLock<'_>, number: u8) -> Result<bool, ShmError> {
        for (other, seat) in (0u8..).zip(&self.control.seats).filter(|&(other, _)| other != number) {
            let word = seat.load(Acquire);
            let is_dead = || self.participants.sweep(place::receiver_of(word));
            if word != 0 && !(is_dead()? && self.clear_seat(lock, other, word)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has `act` done under the lane's lock, and wakes all who wait for the lane.
    fn at_lane<T>(
        &self,
        _lock: &StructureLock<'_>,
        lane: usize,
        pauses: u32,
        act: impl FnOnce(&Lane, &Held<'_>) -> Result<T, ShmError>,
    ) -> Result<T, ShmError> {
        let words = self.lane(lane)?;
        let mut pauses = 0..pauses;
        let held = loop {
            if let Some(held) = words.taking.lock.lock_or_take_from(&self.dead_at_lane(&words)?, Holder::Resizer) {
                break held;
            }
            pauses.next().ok_or(ShmError::Held { lane })?;
            std::thread::sleep(PAUSE);
        };
        let outcome = act(&words, &held);
        let _all_are_woken = held.unlock();
        self.wake_lane(lane)?;
        outcome
    }

    /// Who may have died at a lane.
    pub(crate) fn dead_at_lane(&self, words: &Lane) -> Result<Vec<Holder>, ShmError> {
        // Whoever was there as a resizer had the structure lock, which is ours now.
        let mut dead = vec![Holder::Resizer];
        for (number, seat) in (0u8..).zip(&self.control.seats) {
            let (word, holder) = (seat.load(Acquire), Holder::Seat(number));
            let is_dead = || self.participants.sweep(place::receiver_of(word));
            if words.taking.lock.is_held_by(holder) && (word == 0 || is_dead()?) {
                dead.push(holder);
            }
        }
        let owner = words.shape.owner.load(Acquire);
        let by_producer = words.taking.lock.is_held_by(Holder::Producer) && !self.is_in_one_order();
        if by_producer && (owner == 0 || self.participants.sweep(owner)?) {
            dead.push(Holder::Producer);
        }
        Ok(dead)
    }
}

fn unfenced() -> ShmError {
    ShmError::os("membarrier", rustix::io::Errno::NOSYS)
}
