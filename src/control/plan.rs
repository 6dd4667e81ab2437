//! What a controller can choose, within which bounds, and what it weighs.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::WaitStrategy;

/// Everything about a channel that a controller sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Bytes of each sender's ring; a power of two.
    pub ring_bytes: u64,
    /// How endpoints wait.
    pub wait: WaitStrategy,
}

/// Hard limits that no decision leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Smallest ring, bytes.
    pub ring_bytes_min: u64,
    /// Largest ring, bytes.
    pub ring_bytes_max: u64,
}

/// What one unit of each cost is worth, in microseconds of added latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// A microsecond of CPU time.
    pub cpu_us: f64,
    /// A mebibyte of ring memory, a second.
    pub mebibyte_s: f64,
}

impl Weights {
    /// A microsecond of CPU is worth a tenth of one of latency, and 1 MiB of rings 1 ms of stall a second: for machines with cores
    /// to spare.
    pub const LATENCY: Self = Self { cpu_us: 0.1, mebibyte_s: 1_000.0 };
    /// A microsecond of CPU is worth one of latency, and 1 MiB of rings 10 ms of stall a second.
    pub const BALANCED: Self = Self { cpu_us: 1.0, mebibyte_s: 10_000.0 };
    /// A microsecond of CPU is worth ten of latency, and 1 MiB of rings 40 ms of stall a second: for machines that others share.
    pub const EFFICIENT: Self = Self { cpu_us: 10.0, mebibyte_s: 40_000.0 };
}

/// `latency`, `balanced` or `efficient`.
impl FromStr for Weights {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "latency" => Ok(Self::LATENCY),
            "balanced" => Ok(Self::BALANCED),
            "efficient" => Ok(Self::EFFICIENT),
            _ => Err(format!("`{name}` is none of latency, balanced and efficient")),
        }
    }
}

/// The strategies a controller picks from. Those that never sleep are not among them: a controller that dies leaves its
/// last choice behind, and that must not burn a core for ever.
pub const WAIT_ARMS: [WaitStrategy; 4] = [
    WaitStrategy::Park,
    WaitStrategy::SpinPark { budget_ns: 10_000 },
    WaitStrategy::SpinPark { budget_ns: 50_000 },
    WaitStrategy::SpinPark { budget_ns: 200_000 },
];

/// Ring sizes inside `bounds`: every power of two from the smallest to the largest.
pub fn ring_arms(bounds: Bounds) -> impl Iterator<Item = u64> + Clone {
    std::iter::successors(Some(bounds.ring_bytes_min.next_power_of_two()), |bytes| bytes.checked_mul(2))
        .take_while(move |&bytes| bytes <= bounds.ring_bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_arms_are_the_powers_of_two_inside_the_bounds() {
        let bounds = Bounds { ring_bytes_min: 5000, ring_bytes_max: 40_000 };
        assert_eq!(ring_arms(bounds).collect::<Vec<_>>(), [8192, 16384, 32768]);
    }
}
