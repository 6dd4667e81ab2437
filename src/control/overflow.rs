//! What a sample says of want of room.

use crate::telemetry::Sample;

/// Whether a sender had to wait, or was refused.
pub(crate) fn is_overflowing(sample: &Sample) -> bool {
    sample.stalls > 0 || sample.rejected > 0 || sample.blocked_ns > sample.tick_ns / 10
}

/// In how many of its ticks, at least one if in any.
pub(crate) fn overflow_ticks(sample: &Sample, ticks: u64) -> u64 {
    let of_all = sample.blocked_ns.saturating_mul(ticks) / sample.tick_ns.max(1);
    of_all.clamp(u64::from(is_overflowing(sample)), ticks)
}

/// For how long senders had no room; a tick in which one was refused counts as a whole one.
pub(crate) fn stalled_ns(sample: &Sample) -> u64 {
    if sample.rejected > 0 { sample.blocked_ns.max(sample.tick_ns) } else { sample.blocked_ns }
}
