//! What a decision depends on, and what it comes to.

use serde::{Deserialize, Serialize};

use crate::control::plan::{Bounds, Plan, WAIT_ARMS, Weights};
use crate::control::reasons::{Action, Blocker, Reason};

/// All that a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    /// The plan in force.
    pub plan: Plan,
    /// What may be chosen.
    pub bounds: Bounds,
    /// What costs what.
    pub weights: Weights,
    /// What a byte too few costs, in bytes too many. The quantile tau that is forecast is the size that costs least on average
    /// where this is tau / (1 - tau) (Arrow, Harris and Marschak, "Optimal inventory policy", 1951).
    pub overflow_to_memory: f64,
    /// Attached senders.
    pub senders: u32,
    /// Forecast of the largest backlog within the horizon, in the fullest ring, bytes.
    pub peak_backlog_bytes: f64,
    /// Backlog now, in the fullest ring, bytes.
    pub backlog_bytes: f64,
    /// Whether a sender waited for room in the last tick.
    pub overflowing: bool,
    /// Length of the receiver's waits for messages, mean, microseconds.
    pub gap_us: f64,
    /// Waits of the receiver a second.
    pub gaps_s: f64,
    /// What each of [`WAIT_ARMS`] would have cost lately, microseconds a second.
    pub wait_costs_us_s: [f64; WAIT_ARMS.len()],
    /// The same of the strategy in force.
    pub wait_cost_now_us_s: f64,
    /// Rings of that many bytes overflowed, and so have all larger ones since: whoever sends is slowed down by whoever receives,
    /// not by want of room.
    pub futile_since_bytes: Option<u64>,
    /// Smaller rings than this overflowed lately, bytes.
    pub floor_bytes: u64,
    /// Whether growing was futile so lately that it is not tried again.
    pub growth_barred: bool,
    /// What may be spent on larger rings, microseconds: what stalls have cost lately, and a little on trust.
    pub credit_us: f64,
    /// Bytes that the budget has left.
    pub free_bytes: u64,
    /// Whether a channel of the same budget was refused larger rings lately.
    pub budget_is_tight: bool,
    /// Ticks since the rings were last resized.
    pub ticks_since_resize: u64,
    /// Ticks for which a smaller ring would have done without a break.
    pub ticks_of_slack: u64,
    /// The largest ring that would have been chosen in those ticks, bytes.
    pub ring_bytes_sufficed: u64,
    /// Ticks since the wait strategy was last switched.
    pub ticks_since_switch: u64,
}

/// A plan that could be chosen, and what it is predicted to cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The plan.
    pub plan: Plan,
    /// Predicted cost, microseconds of added latency a second.
    pub cost_us_s: f64,
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The plan after it.
    pub plan: Plan,
    /// What keeps a cheaper plan away, if one was found and is not taken.
    pub blocker: Option<Blocker>,
    /// What was weighed, cheapest first.
    pub candidates: Vec<Candidate>,
}
