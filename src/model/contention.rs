//! Which way of waiting for a lock costs least: one linear model an arm, fitted on the machine at hand.

use serde::{Deserialize, Serialize};

use crate::LockStrategy;

/// The ways of waiting that are chosen from.
pub const LOCK_ARMS: [LockStrategy; 5] = [
    LockStrategy::Spin,
    LockStrategy::Queue,
    LockStrategy::SpinPark { budget_ns: 5_000 },
    LockStrategy::SpinPark { budget_ns: 40_000 },
    LockStrategy::Park,
];

/// Who wants a lock, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Contention {
    /// Threads that want it, over all processes; at least 1.
    pub contenders: u32,
    /// CPUs that they share; at least 1.
    pub cpus: u32,
    /// Nanoseconds that each holds it.
    pub hold_ns: u32,
    /// Nanoseconds that each then does without it.
    pub think_ns: u32,
}

/// Terms of the linear models.
pub const CONTENTION_TERMS: usize = 21;

/// Time that a lock changes hands in, nanoseconds: what is added to a hold so that the logarithm of none is finite.
const HANDOVER_NS: f64 = 100.0;

/// Weights of [`Contention::terms`], of one linear model.
pub type ArmWeights = [f64; CONTENTION_TERMS];
/// A figure of each of [`LOCK_ARMS`].
pub type ArmCosts = [f64; LOCK_ARMS.len()];

/// Number of the arm that costs least; of equals the first.
pub fn cheapest(costs: &ArmCosts) -> usize {
    (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(0)
}

/// Number of the arm that costs least, if that is `margin` less than what `default` costs; else `default`. Costs and margin are
/// logarithms: a margin of 0.05 is some 5 %.
///
/// Where arms cost about the same, a prediction's error would choose among them, and be paid for.
pub fn cheaper_by(margin: f64, costs: &ArmCosts, default: usize) -> usize {
    let arm = cheapest(costs);
    if costs[default] - costs[arm] < margin { default } else { arm }
}

impl Contention {
    /// What a linear model for each arm predicts: the logarithm of its cost.
    pub fn log_costs(&self, weights: &[ArmWeights; LOCK_ARMS.len()]) -> ArmCosts {
        let terms = self.terms();
        weights.each_ref().map(|of_arm| of_arm.iter().zip(&terms).map(|(weight, term)| weight * term).sum())
    }

    /// What a linear model of the logarithm of the cost is made of: the situation's logarithms, their squares and products.
    pub fn terms(&self) -> [f64; CONTENTION_TERMS] {
        let contenders = f64::from(self.contenders.max(1));
        let hold = f64::from(self.hold_ns) + HANDOVER_NS;
        let think = f64::from(self.think_ns) + HANDOVER_NS;
        let logs = [
            contenders.ln(),
            (contenders / f64::from(self.cpus.max(1))).max(1.0).ln(),
            (hold / HANDOVER_NS).ln(),
            (think / HANDOVER_NS).ln(),
            // The share of time that the lock is wanted, more than 1 where they queue.
            (contenders * hold / (hold + think)).ln(),
        ];
        let mut terms = [1.0; CONTENTION_TERMS];
        let mut next = 1;
        for i in 0..logs.len() {
            terms[next] = logs[i];
            next += 1;
            for j in i..logs.len() {
                terms[next] = logs[i] * logs[j];
                next += 1;
            }
        }
        terms
    }
}
