//! The lead that one end of a stream gets before the other goes after it again.

use std::hint::spin_loop;

use crate::sync::clock::now_ns;
use crate::sync::wait::cpus;

/// Messages in a row after which the peer is taken to be streaming.
const STREAK_MIN: u64 = 16;
/// The longest lead.
const LEAD_NS_MAX: u64 = 4_000;

/// Messages in a row, at most, before new senders are looked for.
const UNMET_MAX: u64 = 1024;

/// Messages that were received in a row, without a wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streak {
    before: u64,
    /// Messages of it that are still to come before new senders are looked for.
    left: u64,
}

impl Default for Streak {
    fn default() -> Self {
        Self { before: 0, left: UNMET_MAX }
    }
}

impl Streak {
    /// Counts a message; true if new senders are to be looked for now.
    #[inline(always)]
    pub(super) fn count(&mut self) -> bool {
        if self.left > 1 {
            self.left -= 1;
            return false;
        }
        self.add(1);
        self.take_due()
    }

    pub(super) fn add(&mut self, messages: u64) {
        let now = messages.min(self.left);
        *self = Self { before: self.before.saturating_add(messages - now), left: self.left - now };
    }

    pub(super) fn messages(self) -> u64 {
        self.before.saturating_add(UNMET_MAX - self.left)
    }

    /// Whether new senders are to be looked for, which the caller does then.
    pub(super) fn take_due(&mut self) -> bool {
        let is_due = self.left == 0;
        if is_due {
            *self = Self { before: self.messages(), ..Self::default() };
        }
        is_due
    }
}

/// Of an end that has caught up with its peer. At the peer's heels it would take from it, with every message, the line that it
/// is about to write: both would go at the pace of that. So it pauses for as long as the way to here took, and the lead doubles
/// until it is large enough.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// When the way began: the last pause or wait was over.
    since_ns: u64,
}

impl Lead {
    /// Takes in that a wait is over.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.since_ns = now_ns();
    }

    /// Pauses, if `streak` messages in a row look like a stream.
    #[inline]
    pub(super) fn give(&mut self, streak: u64) {
        if streak >= STREAK_MIN {
            self.pause();
        }
    }

    #[cold]
    fn pause(&mut self) {
        if cpus() == 1 {
            return; // The peer cannot go on meanwhile.
        }
        let now = now_ns();
        let until = now + now.saturating_sub(self.since_ns).min(LEAD_NS_MAX);
        while now_ns() < until {
            spin_loop();
        }
        self.since_ns = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streak_counts_every_message_and_says_when_to_look() {
        let mut streak = Streak::default();
        assert!((0..1000).all(|_| !streak.count()) && !streak.take_due());
        streak.add(30);
        assert_eq!(streak.left, 0);
        let mut other = streak;
        assert!(other.count() && !other.count(), "also after messages that were added");
        assert!(streak.take_due() && !streak.take_due());
        assert_eq!(streak.messages(), 1030);
        assert_eq!((0..UNMET_MAX).filter(|_| streak.count()).count(), 1);
        assert_eq!(streak.messages(), 1030 + UNMET_MAX);
    }
}
