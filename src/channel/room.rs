//! When a sender that sleeps for room is woken: not for each message, since it would fill that room and sleep again.

use crate::ring::consumer::Frame;
use crate::shm::window::Shared;
use crate::sync::owed;
use crate::sync::wait::WaitPoint;

/// Part of a ring that is to be free before a sleeper is woken for it.
const RING_PART: u64 = 4;

/// The wakes that a reader of a lane, in the order of its frames, has given to its sender, and the one that it owes.
#[derive(Debug, Default)]
pub(super) struct RoomWakes {
    /// Where the lane had been read to at the last one.
    woken_at: u64,
    owes: bool,
}

impl RoomWakes {
    /// E1: after the release of what ends with `last`.
    #[inline]
    pub(super) fn released(&mut self, last: Frame, sender: &Shared<WaitPoint>) {
        sender.event.notify_if(|| self.is_due(last, sender));
    }

    #[cold]
    #[inline(never)]
    fn is_due(&mut self, last: Frame, sender: &Shared<WaitPoint>) -> bool {
        let is_due = last.end().wrapping_sub(self.woken_at) >= last.ring_bytes() / RING_PART;
        if is_due {
            self.woken_at = last.end();
        } else {
            owed::owe(sender);
        }
        self.owes = !is_due;
        is_due
    }

    /// E2: where the lane has nothing to be read.
    #[inline]
    pub(super) fn settle(&mut self, sender: &Shared<WaitPoint>) {
        if self.owes {
            self.owes = false;
            sender.event.notify();
        }
    }
}
