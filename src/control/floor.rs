//! What rings were found too small for lately: bursts that come and go between two looks show only as overflow.

/// Ticks for which a finding is kept, at first; twice as long each time that it is found again.
const KEPT_TICKS_MIN: u64 = 4_096;
/// And at most.
const KEPT_TICKS_MAX: u64 = 1 << 20;

/// The size that rings do not shrink below.
#[derive(Debug)]
pub(crate) struct Floor {
    bytes: u64,
    until_tick: u64,
    keep_ticks: u64,
}

impl Default for Floor {
    fn default() -> Self {
        Self { bytes: 0, until_tick: 0, keep_ticks: KEPT_TICKS_MIN }
    }
}

impl Floor {
    /// Takes in that rings of `ring_bytes` overflowed at a tick.
    pub(crate) fn overflowed(&mut self, ring_bytes: u64, tick: u64) {
        let needed = ring_bytes.saturating_mul(2);
        if needed <= self.bytes && tick < self.until_tick {
            return;
        }
        if self.bytes > 0 && tick >= self.until_tick {
            self.keep_ticks = (2 * self.keep_ticks).min(KEPT_TICKS_MAX);
        }
        *self = Self { bytes: needed, until_tick: tick + self.keep_ticks, ..*self };
    }

    /// Takes in that more room was no use.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// At a tick, bytes.
    pub(crate) fn bytes(&self, tick: u64) -> u64 {
        if tick < self.until_tick { self.bytes } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_too_small_is_remembered_and_longer_each_time() {
        let mut floor = Floor::default();
        floor.overflowed(1 << 12, 10);
        assert_eq!((floor.bytes(11), floor.bytes(10 + KEPT_TICKS_MIN)), (1 << 13, 0));
        floor.overflowed(1 << 12, 10_000);
        assert_eq!(floor.bytes(10_000 + KEPT_TICKS_MIN), 1 << 13);
        // One ramp is one finding.
        (13..20).for_each(|shift| floor.overflowed(1 << shift, 10_001));
        assert_eq!((floor.bytes(10_002), floor.bytes(10_001 + 2 * KEPT_TICKS_MIN)), (1 << 20, 0));
        floor.forget();
        assert_eq!(floor.bytes(10_002), 0);
    }
}
