//! Changing the size of the rings while messages flow.

use crate::channel::Channel;
use crate::channel::core::{Core, StructureLock};
use crate::channel::error::ResizeError;
use crate::channel::options::class_of;
use crate::prim::Ordering::Relaxed;
use crate::prim::step;
use crate::ring::Readers;
use crate::ring::resize::{self, Offered};
use crate::shm::ShmError;

/// What a resize came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resize {
    /// Lanes whose sender moves to its new ring with its next message. Lanes without a sender are not counted.
    pub offered: usize,
    /// Lanes that are in a ring of that size already.
    pub unchanged: usize,
    /// Lanes whose ring of that size still holds messages of earlier: they stay as they are. Try again later.
    pub busy: usize,
}

impl Channel {
    /// Asks every sender to go on in a ring of `bytes` bytes, rounded up to a power of two.
    ///
    /// Does not wait: a sender moves between two of its messages, and one that waits for room is woken to move. Each
    /// message still arrives exactly once and in its sender's order. Rings that the receiver has emptied since the
    /// last call give their memory back.
    ///
    /// # Errors
    /// [`ResizeError::OutOfBounds`] for a size the channel was not created for; [`ResizeError::ReceiveOnly`]; [`ResizeError::Shm`] if memory cannot
    /// be had, and then the lanes not yet offered a ring stay as they are, and so does the size that later senders start with.
    pub fn resize(&self, bytes: u64) -> Result<Resize, ResizeError> {
        let class = self.class_to_be(bytes)?;
        Ok(self.resize_under(&self.core.lock_structure()?, class)?)
    }

    /// As [`Channel::resize`]; `None`, and nothing done, while another process changes the channel's structure.
    ///
    /// # Errors
    /// As there.
    pub fn try_resize(&self, bytes: u64) -> Result<Option<Resize>, ResizeError> {
        let class = self.class_to_be(bytes)?;
        let Some(lock) = self.core.try_lock_structure()? else { return Ok(None) };
        Ok(Some(self.resize_under(&lock, class)?))
    }

    fn class_to_be(&self, bytes: u64) -> Result<u8, ResizeError> {
        let (min, max) = self.ring_bytes_bounds();
        if bytes < min || bytes > max {
            return Err(ResizeError::OutOfBounds { bytes, min, max });
        }
        self.check_not_guarded()?;
        Ok(class_of(bytes) as u8)
    }

    fn resize_under(&self, lock: &StructureLock<'_>, class: u8) -> Result<Resize, ShmError> {
        // First: who attaches while rings are offered, waits for the lock and starts with the new size.
        let before = self.core.control.ring_class.swap(u64::from(class), Relaxed);
        let mut outcome = Resize::default();
        let offered = self.offer_all(lock, class, &mut outcome);
        if offered.is_err() || (outcome.busy > 0 && outcome.offered + outcome.unchanged == 0) {
            self.core.control.ring_class.store(before, Relaxed);
        }
        offered.map(|()| outcome)
    }

    fn offer_all(&self, lock: &StructureLock<'_>, class: u8, outcome: &mut Resize) -> Result<(), ShmError> {
        for lane in 0..self.core.ring_lanes() {
            if !self.core.has_sender(lane)? {
                // Its next sender starts from the plan.
                continue;
            }
            match offer(&self.core, lock, lane, class)? {
                Offered::Standing => outcome.offered += 1,
                Offered::Already => outcome.unchanged += 1,
                Offered::Busy => outcome.busy += 1,
            }
        }
        Ok(())
    }

    fn check_not_guarded(&self) -> Result<(), ResizeError> {
        if self.core.is_guarded { Err(ResizeError::ReceiveOnly) } else { Ok(()) }
    }

    /// Gives back the memory of rings that every sender and the receiver have left, which [`Channel::resize`] does too, and
    /// of blocks that are free.
    ///
    /// # Errors
    /// The kernel refuses; what was not given back is tried again with the next call. [`ResizeError::ReceiveOnly`].
    pub fn reclaim(&self) -> Result<(), ResizeError> {
        self.check_not_guarded()?;
        self.sweep_for_reclaim();
        Ok(self.reclaim_under(&self.core.lock_structure()?)?)
    }

    /// As [`Channel::reclaim`]; does nothing while another process changes the channel's structure.
    ///
    /// # Errors
    /// As there.
    pub fn try_reclaim(&self) -> Result<(), ResizeError> {
        self.check_not_guarded()?;
        self.sweep_for_reclaim();
        match self.core.try_lock_structure()? {
            Some(lock) => Ok(self.reclaim_under(&lock)?),
            None => Ok(()),
        }
    }

    fn sweep_for_reclaim(&self) {
        if self.core.readers() != Readers::One {
            // What a dead receiver has not read stays until it is known to be dead; who drops the oldest never waits for it.
            self.core.sweep_seats();
        }
    }

    fn reclaim_under(&self, lock: &StructureLock<'_>) -> Result<(), ShmError> {
        for lane in 0..self.core.ring_lanes() {
            if !resize::is_offered(&self.core.lane(lane)?) {
                reclaim_lane(&self.core, lock, lane)?;
            }
        }
        self.core.slab.release_free(self.core.membership.word())?;
        self.core.notify_senders();
        Ok(())
    }

    /// Smallest and largest ring that the channel was created for, bytes.
    pub fn ring_bytes_bounds(&self) -> (u64, u64) {
        (1 << self.core.geometry.class_min, 1 << self.core.geometry.class_max)
    }

    /// Bytes of the ring that a sender attached now would start with.
    pub fn ring_bytes(&self) -> u64 {
        1 << self.core.ring_class()
    }
}

/// R1 to R5: offers the ring of `class` to the sender of `lane`.
pub(crate) fn offer(core: &Core, lock: &StructureLock<'_>, lane: usize, class: u8) -> Result<Offered, ShmError> {
    let words = core.lane(lane)?;
    if !resize::withdraw(&words) {
        return Ok(Offered::Busy);
    }
    reclaim_lane(core, lock, lane)?;
    let possible = resize::can_offer(&words, class);
    if possible == Offered::Standing {
        resize::prepare(&words, class);
        step("resize.prepared");
        core.back_ring(lane, class)?;
        step("resize.backed");
        resize::offer(&words, class);
        step("resize.offered");
        core.sender_wait(lane)?.event.wake_all();
        step("resize.woken");
    }
    Ok(possible)
}

/// R1 of the ring's protocol, for a lane without a standing offer.
fn reclaim_lane(core: &Core, lock: &StructureLock<'_>, lane: usize) -> Result<(), ShmError> {
    if core.readers() == Readers::Competing {
        core.collect(lock, lane)?;
    }
    if core.is_in_one_order() {
        // While somebody is at it, it is not known what can be given back.
        if core.in_turn(lock, |_| ())?.is_none() {
            return Ok(());
        }
    }
    let words = core.lane(lane)?;
    for passed in resize::reclaimable(&words, core.readers()) {
        if core.classes().contains(&passed) {
            core.release_ring(lane, passed)?;
        }
        step("reclaim.released");
        resize::mark_free(&words, passed);
        step("reclaim.marked");
    }
    Ok(())
}
