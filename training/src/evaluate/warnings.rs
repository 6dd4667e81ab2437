//! How well overflow is foretold, as events rather than as sizes.

use serde::Serialize;

use super::judged::Judged;

/// Warnings of one predictor. A row warns where the prediction exceeds the capacity; rows that exceed it already are not
/// asked.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Warnings {
    /// Share of rows after which the capacity is exceeded within the horizon: what guessing would have as its average
    /// precision.
    pub base_rate: f64,
    /// Area under precision against recall, stepwise, of rows ranked by what is predicted.
    pub average_precision: f64,
    /// Overflows: rows at which the backlog comes to exceed the capacity.
    pub overflows: usize,
    /// Share of them that were warned of at least the lead before and within the horizon.
    pub recall_at_lead: f64,
    /// Share of rows that warn of nothing that comes.
    pub false_alarms: f64,
}

pub(super) fn warnings(judged: &[&Judged<'_>], predictor: &str, lead_ticks: u32) -> Warnings {
    let mut ranked: Vec<(f64, bool)> = Vec::new();
    let (mut overflows, mut warned, mut false_alarms) = (0, 0, 0usize);
    for one in judged {
        let predictions = &one.predictions[predictor];
        let backlogs: Vec<f64> = one.backlogs().collect();
        for (row, (&peak, &predicted)) in one.peaks().iter().zip(predictions).enumerate() {
            if backlogs[row] > one.capacity {
                continue;
            }
            // Capacities differ from fold to fold: ranked by how much of it is predicted.
            ranked.push((predicted / one.capacity, peak > one.capacity));
            false_alarms += usize::from(predicted > one.capacity && peak <= one.capacity);
        }
        let lead = (lead_ticks as usize).div_ceil(one.series.stride);
        let horizon = (one.series.horizon_ticks as usize / one.series.stride).max(lead);
        for row in 1..backlogs.len() {
            if backlogs[row - 1] <= one.capacity && backlogs[row] > one.capacity {
                overflows += 1;
                let span = row.saturating_sub(horizon)..(row + 1).saturating_sub(lead);
                warned += usize::from(predictions[span].iter().any(|predicted| *predicted > one.capacity));
            }
        }
    }
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    Warnings {
        base_rate: share(ranked.iter().filter(|(_, came)| *came).count(), ranked.len()),
        average_precision: average_precision(&mut ranked),
        overflows,
        recall_at_lead: share(warned, overflows),
        false_alarms: share(false_alarms, ranked.len()),
    }
}

/// Sum over thresholds of precision times the recall gained; rows of equal rank share one threshold.
fn average_precision(ranked: &mut [(f64, bool)]) -> f64 {
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let events = ranked.iter().filter(|(_, came)| *came).count().max(1) as f64;
    let (mut seen, mut hits, mut area) = (0usize, 0usize, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let new = tied.iter().filter(|(_, came)| *came).count();
        seen += tied.len();
        hits += new;
        area += hits as f64 / seen as f64 * (new as f64 / events);
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_ranking_has_precision_one_and_a_constant_one_the_base_rate() {
        let mut perfect = vec![(0.1, false), (0.9, true), (0.8, true), (0.2, false)];
        assert_eq!(average_precision(&mut perfect), 1.0);
        let mut constant: Vec<(f64, bool)> = (0..100).map(|i| (0.5, i % 10 == 0)).collect();
        assert!((average_precision(&mut constant) - 0.1).abs() < 1e-12);
    }
}
