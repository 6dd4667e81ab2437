//! The lead that one end of a stream gets before the other goes after it again.

use std::hint::spin_loop;

use crate::sync::clock::now_ns;
use crate::sync::wait::cpus;

/// Messages in a row after which the peer is taken to be streaming.
const STREAK_MIN: u64 = 16;
/// The longest lead.
const LEAD_NS_MAX: u64 = 4_000;

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
