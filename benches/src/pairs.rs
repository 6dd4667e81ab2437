//! With something and without it, turn by turn: for a cost that is less than what two measurements differ by.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::load::{Arrivals, Load};
use crate::report::Summary;
use crate::rounds::{Quantity, Sample};

/// Pairs of a turn with and one without in a window.
const PAIRS: u32 = 64;
/// How long a turn is measured.
const TURN: Duration = Duration::from_millis(5);
/// How long messages flow before that, until the turn before has no effect any more.
const SETTLE: Duration = Duration::from_millis(2);

/// How long all turns take: the window of the load.
pub const WINDOW: Duration = TURN.saturating_add(SETTLE).saturating_mul(2 * PAIRS);

/// As [`crate::load::consume`], where `switch` turns on or off what is to be measured: yields the time a message takes
/// with it, and the ratio of that to the time without, each the median of all pairs.
///
/// # Errors
/// Those of `receive`, and a message that was lost, torn or out of order.
pub fn consume(
    load: &Load,
    mut switch: impl FnMut(bool),
    receive: impl FnMut() -> anyhow::Result<u64>,
) -> anyhow::Result<Vec<Sample>> {
    let mut arrivals = Arrivals::of(load, receive)?;
    let (mut times_ns, mut ratios) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let [mut without_ns, mut with_ns] = [0.0; 2];
        // Each second pair the other way round, so that what drifts favours neither.
        for is_with in [pair % 2 == 0, pair % 2 != 0] {
            switch(is_with);
            arrivals.time(SETTLE)?;
            *(if is_with { &mut with_ns } else { &mut without_ns }) = arrivals.time(TURN)?;
        }
        times_ns.push(with_ns);
        ratios.push(with_ns / without_ns);
    }
    ensure!(!arrivals.have_ended(), "the load has ended before the last turn");
    let median = |figures: &[f64]| anyhow::Ok(Summary::of(figures).context("no turn")?.median);
    Ok(vec![
        Sample { quantity: Quantity::Message, ns: median(&times_ns)? },
        Sample { quantity: Quantity::Slowdown, ns: median(&ratios)? },
        Sample::messages(arrivals.finish()?),
    ])
}
