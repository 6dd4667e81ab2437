//! The most bytes of late.

/// Ticks after which the older half of what was seen is forgotten.
const HALF_TICKS: u64 = 128;

/// The largest of the last 128 to 256 ticks.
#[derive(Debug, Default)]
pub(crate) struct RecentPeak {
    newer: u64,
    older: u64,
    ticks: u64,
}

impl RecentPeak {
    /// Takes in the largest of some ticks.
    pub(crate) fn observe(&mut self, bytes: u64, ticks: u64) {
        self.newer = self.newer.max(bytes);
        self.ticks += ticks;
        if self.ticks >= HALF_TICKS {
            *self = Self { newer: bytes, older: self.newer, ticks: 0 };
        }
    }

    /// Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.newer.max(self.older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_remembered_for_a_while() {
        let mut peak = RecentPeak::default();
        peak.observe(1000, 1);
        (1..HALF_TICKS).for_each(|_| peak.observe(10, 1));
        (1..HALF_TICKS).for_each(|_| peak.observe(10, 1));
        assert_eq!(peak.bytes(), 1000);
        (0..2).for_each(|_| peak.observe(10, 1));
        assert_eq!(peak.bytes(), 10);
    }
}
