//! When a sender that sleeps for room is woken: not for each message, since it would fill that room and sleep again.

use crate::ring::consumer::Frame;
use crate::sync::eventcount::EventCount;

/// Part of a ring that is to be free before a sleeper is woken for it.
const RING_PART: u64 = 4;

/// The wakes that a lane's only reader has given, and those that it owes.
#[derive(Debug, Default)]
pub(super) struct RoomWakes {
    /// Where the lane had been read to at the last one.
    woken_at: u64,
    owed: bool,
}

impl RoomWakes {
    /// E1: after the release of what ends with `last`.
    #[inline]
    pub(super) fn released(&mut self, last: Frame, event: &EventCount) {
        event.notify_if(|| {
            let is_due = last.end().wrapping_sub(self.woken_at) >= last.ring_bytes() / RING_PART;
            if is_due {
                self.woken_at = last.end();
            }
            self.owed = !is_due;
            is_due
        });
    }

    /// E2: whether a sleeper is to be woken before this reader, which has found nothing, goes to sleep.
    #[inline]
    pub(super) fn take_owed(&mut self) -> bool {
        self.owed && std::mem::take(&mut self.owed)
    }
}
