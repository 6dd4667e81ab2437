//! Blocks that the dead have left: steps B5 and B6 of `PROTOCOL.md`.

use crate::channel::core::{Core, StructureLock};
use crate::channel::slab::in_flight;
use crate::ring::layout::Lane;
use crate::ring::lock::Held;
use crate::ring::taker::loans::{perhaps_done_loans, unreleased_loans};
use crate::ring::{Event, Readers, resize};
use crate::shm::error::ShmError;
use crate::shm::participants::{ROLE_SHIFT, Role};
use crate::shm::window::Window;

fn has_role(owner: u64, role: Role) -> bool {
    owner >> ROLE_SHIFT == role as u64
}

impl Core {
    /// B5: frees what senders' processes had when they died.
    pub(crate) fn free_blocks_of_dead_senders(&self) {
        self.free_blocks(|owner| has_role(owner, Role::Handle) && self.participants.sweep(owner).unwrap_or(false));
    }

    /// B5: frees blocks that the dead sender before gave to frames of `lane` which it never committed: those from
    /// `position` on.
    pub(crate) fn free_blocks_never_sent(&self, _lock: &StructureLock<'_>, lane: usize, position: u64) {
        let never_sent = in_flight(lane, position)..in_flight(lane + 1, 0);
        self.free_blocks(|owner| never_sent.contains(&owner));
    }

    /// B6, while there is no receiver: loans that the one before had adopted and not released are in flight again; what
    /// else it had is free.
    pub(crate) fn restore_loans(&self, _lock: &StructureLock<'_>) -> Result<(), ShmError> {
        let dead = |owner| has_role(owner, Role::Receiver) && self.participants.sweep(owner).unwrap_or(false);
        for lane in 0..self.lanes_used() {
            let (words, area) = (self.lane(lane)?, self.area(lane)?);
            let _a_spoilt_lane_is_the_receivers_to_tell =
                unreleased_loans(&words, &area, &self.classes(), |position, number| {
                    self.restore_loan(lane, position, number, dead);
                });
            self.free_released(lane)?;
        }
        self.free_blocks(dead);
        Ok(())
    }

    /// B6 of one loan, whose frame is not released.
    pub(crate) fn restore_loan(&self, lane: usize, position: u64, number: u64, is_dead: impl Fn(u64) -> bool) {
        if let Some((number, owner)) = self.slab.owner(number).filter(|&(_, owner)| is_dead(owner)) {
            let _freed_by_nobody_else = self.slab.adopt(number, owner, in_flight(lane, position));
        }
    }

    /// Frees blocks whose frame in `lane` was released, and which the receiver has not freed: it died before it did, or has
    /// left that to the senders.
    pub(crate) fn free_released(&self, lane: usize) -> Result<(), ShmError> {
        // Edge `released`, reading end: the receivers' reading is over.
        let released = resize::released(&self.lane(lane)?, self.readers()).position;
        let passed = in_flight(lane, 0)..in_flight(lane, released);
        self.free_blocks(|owner| passed.contains(&owner));
        Ok(())
    }

    /// B6: frees blocks of frames of `lane` that are done with, and whose receiver, or sender that dropped them, has died
    /// before it freed them.
    pub(crate) fn free_blocks_done(&self, lane: usize, words: &Lane, area: &Window, lock: &Held<'_>) {
        if self.readers() == Readers::Competing {
            let free = |position, number| self.free_block_of(lane, position, number);
            let _as_far_as_it_can_be_read = perhaps_done_loans(words, area, &self.classes(), lock, free);
        }
    }

    /// Frees the block that a frame names, if it is that frame's.
    pub(crate) fn free_block_of(&self, lane: usize, position: u64, number: u64) {
        if let Some((number, owner)) = self.slab.owner(number)
            && owner == in_flight(lane, position)
        {
            let _others_may_have_freed_it = self.slab.free(number, owner);
            self.notify_senders();
        }
    }

    /// B4 where each receiver gets every message: frees blocks that all have released.
    pub(crate) fn free_blocks_all_released(&self) {
        if self.readers() == Readers::Each {
            for lane in 0..self.lanes_used() {
                let _was_read_before = self.free_released(lane);
            }
        }
    }

    /// What comes of a sender's look for room in `lane`, besides room.
    #[cold]
    pub(crate) fn on_event(&self, lane: usize, event: Event) {
        match event {
            Event::Contended => self.receiver_wait.event.notify(),
            Event::Voided => {
                self.receiver_wait.event.notify();
                self.notify_senders();
            }
            Event::TurnAwaited => self.notify_senders(),
            Event::DroppedLoan { position, block } => self.free_block_of(lane, position, block),
        }
    }

    /// Frees blocks by their owner.
    pub(crate) fn free_blocks(&self, is_dead: impl Fn(u64) -> bool) {
        let dead = self.slab.owners().filter(|&(_, owner)| is_dead(owner));
        if dead.filter(|&(number, owner)| self.slab.free(number, owner)).count() > 0 {
            self.notify_senders();
        }
    }
}
