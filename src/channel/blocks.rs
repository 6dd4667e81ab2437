//! Blocks that the dead have left: steps B5 and B6 of `PROTOCOL.md`.

use crate::channel::core::{Core, StructureLock};
use crate::channel::slab::in_flight;
use crate::prim::Ordering::Acquire;
use crate::ring::taker::unreleased_loans;
use crate::ring::word::Cursor;
use crate::shm::error::ShmError;
use crate::shm::participants::{ROLE_SHIFT, Role};

fn has_role(owner: u64, role: Role) -> bool {
    owner >> ROLE_SHIFT == role as u64
}

impl Core {
    /// B5: frees what senders' processes had when they died. True if there was something.
    pub(crate) fn free_blocks_of_dead_senders(&self) -> bool {
        let dead = |owner| has_role(owner, Role::Handle) && self.participants.sweep(owner).unwrap_or(false);
        self.free_blocks(dead) > 0
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
                    if let Some((number, owner)) = self.slab.owner(number).filter(|&(_, owner)| dead(owner)) {
                        let _freed_by_nobody_else = self.slab.adopt(number, owner, in_flight(lane, position));
                    }
                });
            self.free_released(lane)?;
        }
        self.free_blocks(dead);
        Ok(())
    }

    /// Frees blocks whose frame in `lane` was released by a receiver that died before it freed them.
    pub(crate) fn free_released(&self, lane: usize) -> Result<(), ShmError> {
        // Edge `released`, reading end: the receiver's reading is over.
        let released = Cursor::from_word(self.lane(lane)?.consumer.cursor.load(Acquire)).position;
        let passed = in_flight(lane, 0)..in_flight(lane, released);
        self.free_blocks(|owner| passed.contains(&owner));
        Ok(())
    }

    /// Frees blocks by their owner, and counts them.
    pub(crate) fn free_blocks(&self, is_dead: impl Fn(u64) -> bool) -> usize {
        let dead = self.slab.owners().filter(|&(_, owner)| is_dead(owner));
        let freed = dead.filter(|&(number, owner)| self.slab.free(number, owner)).count();
        if freed > 0 {
            self.notify_senders();
        }
        freed
    }
}
