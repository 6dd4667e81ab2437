//! Whether more room helps at all: a sender that is faster than its receiver for good fills every ring.

/// Ticks of overflow without relief, rings growing meanwhile, after which growth counts as futile.
const FUTILE_TICKS: u64 = 24;
/// Ticks of relief that end it.
const RELIEF_TICKS: u64 = 8;
/// Ticks without overflow that end it, however full rings are.
const CALM_TICKS: u64 = 512;
/// Ticks for which growth is barred after that, at first; each time four times as long.
const BARRED_TICKS_MIN: u64 = 512;
/// And at most.
const BARRED_TICKS_MAX: u64 = 1 << 15;

/// Follows how overflow answers to growth.
#[derive(Debug)]
pub(crate) struct Saturation {
    overflow_ticks: u64,
    relief_ticks: u64,
    calm_ticks: u64,
    /// The rings before they grew in this overflow.
    grown_from: Option<u64>,
    barred_ticks: u64,
    bar_next_ticks: u64,
}

impl Default for Saturation {
    fn default() -> Self {
        Self {
            overflow_ticks: 0,
            relief_ticks: 0,
            calm_ticks: 0,
            grown_from: None,
            barred_ticks: 0,
            bar_next_ticks: BARRED_TICKS_MIN,
        }
    }
}

impl Saturation {
    /// Takes in how many of some ticks overflowed, and whether they left the rings far from full. A larger ring that is being filled
    /// is neither.
    pub(crate) fn observe(&mut self, overflow_ticks: u64, relieved: bool, ticks: u64) {
        self.barred_ticks = self.barred_ticks.saturating_sub(ticks);
        self.overflow_ticks += overflow_ticks;
        self.calm_ticks = if overflow_ticks > 0 { 0 } else { self.calm_ticks + ticks };
        if self.calm_ticks >= CALM_TICKS {
            self.overflow_ticks = 0;
            self.grown_from = None;
        }
        if overflow_ticks > 0 || !relieved {
            self.relief_ticks = 0;
            return;
        }
        self.relief_ticks += ticks;
        if self.relief_ticks >= RELIEF_TICKS {
            self.overflow_ticks = 0;
            self.grown_from = None;
        }
        if self.relief_ticks >= BARRED_TICKS_MIN {
            self.barred_ticks = 0;
            self.bar_next_ticks = BARRED_TICKS_MIN;
        }
    }

    /// Takes in that rings of `ring_bytes` have grown.
    pub(crate) fn grew(&mut self, ring_bytes: u64) {
        if self.grown_from.is_none() {
            // What was before is no finding about larger rings.
            self.overflow_ticks = 0;
            self.grown_from = Some(ring_bytes);
        }
    }

    /// Rings that were as good as all larger ones, if that is known now.
    pub(crate) fn futile_since_bytes(&self) -> Option<u64> {
        self.grown_from.filter(|_| self.overflow_ticks >= FUTILE_TICKS)
    }

    /// Takes in that growth was taken back.
    pub(crate) fn taken_back(&mut self) {
        self.grown_from = None;
        self.overflow_ticks = 0;
        self.barred_ticks = self.bar_next_ticks;
        self.bar_next_ticks = (4 * self.bar_next_ticks).min(BARRED_TICKS_MAX);
    }

    /// Whether rings are not to grow now.
    pub(crate) fn is_barred(&self) -> bool {
        self.barred_ticks > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_that_outlasts_growth_bars_it_and_each_time_for_longer() {
        let mut saturation = Saturation::default();
        let mut barred_for = Vec::new();
        for _ in 0..3 {
            saturation.grew(1 << 16);
            saturation.grew(1 << 17);
            saturation.observe(FUTILE_TICKS / 2, false, FUTILE_TICKS / 2);
            saturation.observe(0, false, CALM_TICKS - 1);
            saturation.observe(FUTILE_TICKS / 2, false, FUTILE_TICKS / 2);
            assert_eq!(saturation.futile_since_bytes(), Some(1 << 16));
            saturation.taken_back();
            assert_eq!(saturation.futile_since_bytes(), None);
            barred_for.push(
                (0..)
                    .take_while(|_| {
                        saturation.observe(1, false, 1);
                        saturation.is_barred()
                    })
                    .count()
                    + 1,
            );
        }
        assert_eq!(barred_for, [512, 2048, 8192]);
    }

    #[test]
    fn only_overflow_since_the_growth_counts_and_not_for_ever() {
        let mut saturation = Saturation::default();
        saturation.observe(100, false, 100);
        saturation.grew(1 << 16);
        saturation.observe(FUTILE_TICKS - 1, false, FUTILE_TICKS - 1);
        assert_eq!(saturation.futile_since_bytes(), None);
        saturation.observe(0, false, CALM_TICKS);
        saturation.observe(1, false, 1);
        assert_eq!(saturation.futile_since_bytes(), None);
    }

    #[test]
    fn overflow_that_ends_was_worth_the_room() {
        let mut saturation = Saturation::default();
        saturation.grew(1 << 16);
        saturation.observe(FUTILE_TICKS - 1, false, FUTILE_TICKS - 1);
        saturation.observe(0, true, RELIEF_TICKS);
        saturation.observe(FUTILE_TICKS - 1, false, FUTILE_TICKS - 1);
        assert_eq!(saturation.futile_since_bytes(), None);
        assert!(!saturation.is_barred());
    }
}
