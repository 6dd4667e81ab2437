//! How often the controller looks: each look takes CPU time, and where nothing can go wrong soon one in a while will do.

/// Ticks between two looks, at most.
const INTERVAL_MAX: u64 = 16;
/// The same where nearly nothing goes on.
pub(crate) const IDLE_INTERVAL: u64 = 64;
/// Ticks of peace before the interval doubles.
const PEACE_TICKS: u64 = 32;

/// Ticks between two looks.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: u64,
    peace_ticks: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: 1, peace_ticks: 0 }
    }
}

impl Pace {
    /// Takes in whether there was nothing to decide in some ticks, and in how many the rings may be full.
    pub(crate) fn observe(&mut self, at_peace: bool, ticks_to_full: u64, is_nearly_idle: bool, ticks: u64) {
        if !at_peace {
            *self = Self::default();
            return;
        }
        self.peace_ticks += ticks;
        if self.peace_ticks >= PEACE_TICKS {
            *self = Self { interval: 2 * self.interval, peace_ticks: 0 };
        }
        let most = if is_nearly_idle { IDLE_INTERVAL } else { INTERVAL_MAX };
        self.interval = self.interval.min(most).min(ticks_to_full.max(1));
    }

    /// Ticks to the next look.
    pub(crate) fn interval(&self) -> u64 {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peace_slows_it_down_and_anything_else_wakes_it_up() {
        let mut pace = Pace::default();
        (0..3).for_each(|_| pace.observe(true, u64::MAX, false, PEACE_TICKS));
        assert_eq!(pace.interval(), 8);
        (0..10).for_each(|_| pace.observe(true, u64::MAX, false, PEACE_TICKS));
        assert_eq!(pace.interval(), INTERVAL_MAX);
        (0..2).for_each(|_| pace.observe(true, u64::MAX, true, PEACE_TICKS));
        assert_eq!(pace.interval(), IDLE_INTERVAL);
        pace.observe(true, 3, false, 1);
        assert_eq!(pace.interval(), 3);
        pace.observe(false, u64::MAX, false, 1);
        assert_eq!(pace.interval(), 1);
        pace.observe(true, u64::MAX, false, PEACE_TICKS - 1);
        assert_eq!(pace.interval(), 1);
    }
}
