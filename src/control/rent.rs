//! What larger rings cost, and what they may: no more than the stalls that they would have spared.

use crate::control::plan::Weights;

/// How long a ring stays at least, once it has grown, seconds: until slack is proven.
const HELD_S: f64 = 0.25;
/// What may be spent on a forecast alone, microseconds.
const ON_TRUST_US: f64 = 2_400.0;
/// Ticks in which half of what stalls have cost is forgotten.
const HALF_LIFE_TICKS: f64 = 1_000.0;

/// Rent of `bytes` more of rings, microseconds. To pay no more for them than what has been lost without is within twice what is
/// best in hindsight (Karlin, Manasse, Rudolph and Sleator, "Competitive snoopy caching", 1988).
pub(crate) fn rent_us(bytes: u64, weights: Weights) -> f64 {
    bytes as f64 / f64::from(1 << 20) * weights.mebibyte_s * HELD_S
}

/// What stalls have cost lately and was not spent yet.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    stalled_us: f64,
}

impl Credit {
    /// Takes in for how long senders stalled in some ticks.
    pub(crate) fn observe(&mut self, blocked_ns: u64, ticks: u64) {
        self.stalled_us *= (-(ticks as f64) / HALF_LIFE_TICKS).exp2();
        self.stalled_us += blocked_ns as f64 / 1e3;
    }

    /// Takes in that rings have grown for that rent.
    pub(crate) fn spend(&mut self, us: f64) {
        self.stalled_us = (self.stalled_us - us).max(0.0);
    }

    /// What may be spent, microseconds.
    pub(crate) fn us(&self) -> f64 {
        self.stalled_us + ON_TRUST_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_earn_room_and_are_forgotten() {
        let mut credit = Credit::default();
        assert_eq!(credit.us(), ON_TRUST_US);
        credit.observe(5_000_000, 1);
        assert_eq!(credit.us(), ON_TRUST_US + 5000.0);
        credit.observe(0, 1000);
        assert_eq!(credit.us(), ON_TRUST_US + 2500.0);
        credit.spend(rent_us(1 << 22, Weights::BALANCED));
        assert_eq!(credit.us(), ON_TRUST_US);
    }
}
