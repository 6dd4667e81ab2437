//! From measurements to a linear model an arm.

use std::collections::BTreeMap;

use ndarray::Array2;
use tidegate::model::{ArmCosts, ArmWeights, CONTENTION_TERMS, Contention, LOCK_ARMS, cheaper_by, cheapest};

use super::Measured;
use crate::TrainError;
use crate::fit::{Design, fit_ridge};

/// What a nanosecond of the 99th percentile counts: the share of the waits that are longer.
pub(super) const TAIL_WEIGHT: f64 = 0.01;
/// What a nanosecond of CPU time counts, as for a controller (`Weights::BALANCED`).
pub(super) const CPU_WEIGHT: f64 = 1.0;
/// A section costs this at least: of less a clock cannot tell one arm from another.
const LEAST_NS: f64 = 100.0;
/// Ridge penalties that are tried.
const PENALTIES: [f64; 9] = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0];

/// An arm's cost differs from the default's by so much at most, as a logarithm: what is far worse is not chosen, however far, and
/// would bend the fit where the choice is close.
const DIFFERENCE_MAX: f64 = 0.5;
/// Margins that are tried.
const MARGINS: [f64; 8] = [0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4];

/// What chooses an arm.
#[derive(Debug, Clone)]
pub(super) struct Chooser {
    pub(super) arms: Arms,
    /// The one that costs least over all.
    pub(super) default_arm: usize,
    /// What another is to be predicted to save.
    pub(super) margin: f64,
}

impl Chooser {
    pub(super) fn choose(&self, contention: &Contention) -> usize {
        cheaper_by(self.margin, &contention.log_costs(&self.arms), self.default_arm)
    }
}

/// A model an arm.
type Arms = [ArmWeights; LOCK_ARMS.len()];

/// The log cost of every arm in every situation, median over rounds: what else the machine does in one of them decides nothing.
pub(super) type Cells = BTreeMap<Contention, ArmCosts>;

/// What a critical section has cost, nanoseconds: holding the lock and all that comes on top of the work, a share of the tail of
/// the waits, and CPU time.
///
/// The time per lock of every contender and not the median wait: a lock that lets its owner come back again and again has a
/// median of zero, and says nothing of those who starve. Where CPUs are scarce, waiting for one is in it under every arm.
pub(super) fn cost_ns(measured: &Measured) -> f64 {
    let hold_ns = f64::from(measured.contention.hold_ns);
    LEAST_NS
        + hold_ns
        + measured.beyond_work_ns
        + TAIL_WEIGHT * measured.wait_p99_ns
        + CPU_WEIGHT * (hold_ns + measured.cpu_ns)
}

/// The median of each cell's log costs over the rounds that `wanted` picks.
pub(super) fn cells(measured: &[Measured], wanted: impl Fn(u32) -> bool) -> Cells {
    let mut rounds: BTreeMap<Contention, [Vec<f64>; LOCK_ARMS.len()]> = BTreeMap::new();
    for one in measured.iter().filter(|one| wanted(one.round)) {
        rounds.entry(one.contention).or_default()[one.arm].push(cost_ns(one).ln());
    }
    rounds.into_iter().map(|(contention, rounds)| (contention, rounds.map(median))).collect()
}

/// The middle one, or the mean of the two in the middle; no number of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.get(values.len().saturating_sub(1) / 2), values.get(values.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// Fits every arm, with the penalty and the margin whose choices cost least where regions of `cells` are held out in turn.
///
/// # Errors
/// linfa fails.
pub(super) fn fit(cells: &Cells) -> Result<Chooser, TrainError> {
    let mut best = (f64::INFINITY, PENALTIES[0], MARGINS[0]);
    for penalty in PENALTIES {
        let mut excess = [0.0; MARGINS.len()];
        for region in regions(cells) {
            let (held_out, rest) = split(cells, region);
            let default_arm = cheapest_arm(&rest);
            let mut chooser = Chooser { arms: fit_arms(&rest, default_arm, penalty)?, default_arm, margin: 0.0 };
            for (margin, excess) in MARGINS.into_iter().zip(&mut excess) {
                chooser.margin = margin;
                *excess += held_out.iter().map(|(of, costs)| costs[chooser.choose(of)] - least(costs)).sum::<f64>();
            }
        }
        for (margin, excess) in MARGINS.into_iter().zip(excess) {
            if excess < best.0 {
                best = (excess, penalty, margin);
            }
        }
    }
    let (_, penalty, margin) = best;
    let default_arm = cheapest_arm(cells);
    Ok(Chooser { arms: fit_arms(cells, default_arm, penalty)?, default_arm, margin })
}

/// The one arm that costs least over all.
pub(super) fn cheapest_arm(cells: &Cells) -> usize {
    let excess = |arm: usize| cells.values().map(|costs| costs[arm] - least(costs)).sum();
    cheapest(&std::array::from_fn(excess))
}

/// Ridge regressions on the situation's terms: of the log cost of `default_arm`, and of how far each other arm's differs from that.
fn fit_arms(cells: &Cells, default_arm: usize, penalty: f64) -> Result<Arms, TrainError> {
    let rows: Vec<[f64; CONTENTION_TERMS]> = cells.keys().map(Contention::terms).collect();
    let count = rows.len() as f64;
    // The first term is the constant.
    let column = |i: usize| rows.iter().map(move |row| row[i]);
    let mean: [f64; CONTENTION_TERMS] = std::array::from_fn(|i| column(i).sum::<f64>() / count);
    let scale: [f64; CONTENTION_TERMS] =
        std::array::from_fn(|i| (column(i).map(|x| (x - mean[i]).powi(2)).sum::<f64>() / count).sqrt().max(1e-6));
    let columns = Array2::from_shape_fn((rows.len(), CONTENTION_TERMS - 1), |(row, i)| {
        (rows[row][i + 1] - mean[i + 1]) / scale[i + 1]
    });
    let mut design = Design { columns, labels: Vec::new(), nearer: Vec::new() };
    let mut fit_to = |label: &dyn Fn(&ArmCosts) -> f64| -> Result<ArmWeights, TrainError> {
        design.labels = cells.values().map(label).collect();
        let fitted = fit_ridge(&design, penalty)?;
        let mut weights = [0.0; CONTENTION_TERMS];
        weights[0] = fitted.intercept;
        for (i, weight) in fitted.of_features.iter().enumerate() {
            weights[i + 1] = weight / scale[i + 1];
            weights[0] -= weight * mean[i + 1] / scale[i + 1];
        }
        Ok(weights)
    };
    let of_default = fit_to(&|costs| costs[default_arm])?;
    let mut arms = [of_default; LOCK_ARMS.len()];
    for (arm, weights) in arms.iter_mut().enumerate().filter(|(arm, _)| *arm != default_arm) {
        let difference = |costs: &ArmCosts| costs[arm] - costs[default_arm];
        let of_difference = fit_to(&|costs| difference(costs).clamp(-DIFFERENCE_MAX, DIFFERENCE_MAX))?;
        weights.iter_mut().zip(of_difference).for_each(|(weight, more)| *weight += more);
    }
    Ok(arms)
}

pub(super) fn least(costs: &ArmCosts) -> f64 {
    costs.iter().copied().fold(f64::INFINITY, f64::min)
}

/// What is held out together: all situations of so many contenders that hold the lock so long.
pub(super) type Region = (u32, u32);

fn region_of(contention: &Contention) -> Region {
    (contention.contenders, contention.hold_ns)
}

pub(super) fn regions(cells: &Cells) -> Vec<Region> {
    let mut regions: Vec<Region> = cells.keys().map(region_of).collect();
    regions.dedup();
    regions
}

/// The cells of a region, and the others.
pub(super) fn split(cells: &Cells, region: Region) -> (Cells, Cells) {
    cells.iter().partition(|(contention, _)| region_of(contention) == region)
}
