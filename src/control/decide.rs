//! The decision itself: a pure function of what was seen and predicted. No clock, no I/O, no atomics.

use crate::WaitStrategy;
use crate::control::plan::{Plan, WAIT_ARMS, ring_arms};
use crate::control::reasons::{Action, Blocker, Reason};
use crate::control::rent::rent_us;
use crate::control::situation::{Candidate, Situation, Verdict};

/// A dearer plan is kept while the cheapest is cheaper by less than this share: the dead band.
const DEAD_BAND: f64 = 0.25;
/// Ticks after a move in which no ring grows again: about what a move takes to show.
const GROW_DWELL_TICKS: u64 = 2;
/// Ticks of unbroken slack before a ring shrinks.
const SHRINK_DWELL_TICKS: u64 = 250;
/// The same while others of the same budget need the room.
const TIGHT_DWELL_TICKS: u64 = 64;
/// The same share of a way to wait, which is changed at once and at no cost.
const WAIT_DEAD_BAND: f64 = 0.1;
/// What it has to save, microseconds a second: less is lost in what is not known.
const WAIT_SAVING_MIN_US_S: f64 = 15_000.0;
/// Ticks between switches of the wait strategy.
const WAIT_DWELL_TICKS: u64 = 16;
/// Room that is planned beyond the forecast.
pub(crate) const HEADROOM: f64 = 1.25;

/// Decides on rings first, then on waits: at most one change a tick, so that each outcome has one cause.
pub fn decide(situation: &Situation) -> Verdict {
    let rings = decide_rings(situation);
    if rings.action != Action::Hold {
        return rings;
    }
    let waits = decide_waits(situation);
    if waits.action != Action::Hold || rings.blocker.is_none() { waits } else { rings }
}

/// The size that the forecast asks for, before any guard rail.
pub(crate) fn ring_bytes_wanted(situation: &Situation) -> u64 {
    ring_candidates(situation).first().map_or(situation.plan.ring_bytes, |best| best.plan.ring_bytes)
}

fn decide_rings(situation: &Situation) -> Verdict {
    let candidates = ring_candidates(situation);
    let current = situation.plan.ring_bytes;
    let mut verdict = hold(situation, candidates);
    let Some(best) = verdict.candidates.first().copied() else { return verdict };
    let wanted = best.plan.ring_bytes;
    if let Some(ring_bytes) = situation.futile_since_bytes.filter(|bytes| *bytes < current) {
        verdict.reason = Reason::GrowthFutile;
        return enact(verdict, Action::Shrink, Plan { ring_bytes, ..situation.plan });
    }
    if wanted > current {
        verdict.reason = if situation.overflowing { Reason::OverflowNow } else { Reason::OverflowForecast };
        let paid = ring_arms(situation.bounds).filter(|arm| (current + 1..=wanted).contains(arm));
        let paid = paid.filter(|arm| growth_rent_us(situation, *arm) <= situation.credit_us);
        let is_free = |arm: &u64| arm.saturating_mul(situation.senders.max(1).into()) <= situation.free_bytes;
        // If no size is free, the least of them is asked for, so that others learn of it.
        let asked = paid.clone().filter(is_free).last().or_else(|| paid.clone().next());
        verdict.blocker = if situation.growth_barred {
            Some(Blocker::Futile)
        } else if asked.is_none() {
            Some(Blocker::Rent)
        } else {
            (situation.ticks_since_resize < GROW_DWELL_TICKS).then_some(Blocker::Dwell)
        };
        let plan = Plan { ring_bytes: asked.unwrap_or(current), ..situation.plan };
        return enact(verdict, Action::Grow, plan);
    }
    if wanted.max(situation.floor_bytes) < current {
        verdict.reason = Reason::SlackProven;
        let dwell_ticks = if situation.budget_is_tight { TIGHT_DWELL_TICKS } else { SHRINK_DWELL_TICKS };
        let slack_proven = situation.ticks_of_slack.min(situation.ticks_since_resize) >= dwell_ticks;
        verdict.blocker = if !slack_proven {
            Some(Blocker::Dwell)
        } else {
            (!clearly_cheaper(best.cost_us_s, ring_cost(situation, current))).then_some(Blocker::DeadBand)
        };
        let sufficed = situation.ring_bytes_sufficed.max(situation.floor_bytes);
        let plan = Plan { ring_bytes: sufficed.clamp(wanted, current / 2), ..situation.plan };
        return enact(verdict, Action::Shrink, plan);
    }
    verdict
}

/// What it costs that all rings grow to `ring_bytes`.
pub(crate) fn growth_rent_us(situation: &Situation, ring_bytes: u64) -> f64 {
    let more = ring_bytes.saturating_sub(situation.plan.ring_bytes);
    rent_us(more.saturating_mul(situation.senders.max(1).into()), situation.weights)
}

fn decide_waits(situation: &Situation) -> Verdict {
    let candidate = |(wait, cost_us_s)| Candidate { plan: Plan { wait, ..situation.plan }, cost_us_s };
    let mut candidates: Vec<_> = WAIT_ARMS.into_iter().zip(situation.wait_costs_us_s).map(candidate).collect();
    sort(&mut candidates);
    let mut verdict = hold(situation, candidates);
    let Some(best) = verdict.candidates.first().copied() else { return verdict };
    let now = situation.wait_cost_now_us_s;
    // Without waits nothing was learned about them.
    if best.plan.wait == situation.plan.wait || now == 0.0 {
        return verdict;
    }
    let calmer = spin_budget_ns(best.plan.wait) < spin_budget_ns(situation.plan.wait);
    verdict.reason = if calmer { Reason::LongGaps } else { Reason::ShortGaps };
    verdict.blocker = if now - best.cost_us_s <= (now * WAIT_DEAD_BAND).max(WAIT_SAVING_MIN_US_S) {
        Some(Blocker::DeadBand)
    } else {
        (situation.ticks_since_switch < WAIT_DWELL_TICKS).then_some(Blocker::Dwell)
    };
    enact(verdict, Action::SwitchWait, best.plan)
}

fn hold(situation: &Situation, candidates: Vec<Candidate>) -> Verdict {
    Verdict { action: Action::Hold, reason: Reason::PlanFits, plan: situation.plan, blocker: None, candidates }
}

fn enact(mut verdict: Verdict, action: Action, plan: Plan) -> Verdict {
    if verdict.blocker.is_none() {
        verdict.action = action;
        verdict.plan = plan;
    }
    verdict
}

fn clearly_cheaper(candidate: f64, current: f64) -> bool {
    candidate < current * (1.0 - DEAD_BAND)
}

fn ring_candidates(situation: &Situation) -> Vec<Candidate> {
    let candidate = |ring_bytes| Candidate {
        plan: Plan { ring_bytes, ..situation.plan },
        cost_us_s: ring_cost(situation, ring_bytes),
    };
    let mut candidates: Vec<_> = ring_arms(situation.bounds).map(candidate).collect();
    sort(&mut candidates);
    candidates
}

/// Bytes too few at the price of overflow, bytes too many at the price of memory.
fn ring_cost(situation: &Situation, ring_bytes: u64) -> f64 {
    let forecast = situation.peak_backlog_bytes.max(situation.backlog_bytes) * HEADROOM;
    // A full ring hides how much more would have come: it counts as half of what is needed.
    let hidden = if situation.overflowing { 2.0 * situation.plan.ring_bytes as f64 } else { 0.0 };
    let off = ring_bytes as f64 - forecast.max(hidden);
    let bytes = if off < 0.0 { -off * situation.overflow_to_memory } else { off };
    bytes * f64::from(situation.senders.max(1)) / f64::from(1 << 20) * situation.weights.mebibyte_s
}

/// How long a strategy spins before it sleeps.
fn spin_budget_ns(wait: WaitStrategy) -> u32 {
    match wait {
        WaitStrategy::Park => 0,
        WaitStrategy::SpinPark { budget_ns } => budget_ns,
        WaitStrategy::Spin | WaitStrategy::SpinYield => u32::MAX,
    }
}

/// Cheapest first; of equals the smaller, which stands first.
fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| a.cost_us_s.total_cmp(&b.cost_us_s));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::plan::{Bounds, Weights};

    fn situation() -> Situation {
        Situation {
            overflow_to_memory: 99.0,
            plan: Plan { ring_bytes: 1 << 16, wait: WaitStrategy::SpinPark { budget_ns: 50_000 } },
            bounds: Bounds { ring_bytes_min: 1 << 12, ring_bytes_max: 1 << 24 },
            weights: Weights::BALANCED,
            senders: 2,
            peak_backlog_bytes: 40_000.0,
            backlog_bytes: 0.0,
            overflowing: false,
            gap_us: 10.0,
            gaps_s: 0.0,
            wait_costs_us_s: [0.0; WAIT_ARMS.len()],
            wait_cost_now_us_s: 0.0,
            futile_since_bytes: None,
            floor_bytes: 0,
            growth_barred: false,
            credit_us: 1e6,
            free_bytes: u64::MAX,
            budget_is_tight: false,
            ticks_since_resize: 1000,
            ticks_of_slack: 0,
            ring_bytes_sufficed: 0,
            ticks_since_switch: 1000,
        }
    }

    #[test]
    fn a_forecast_that_fits_changes_nothing() {
        let verdict = decide(&situation());
        assert_eq!((verdict.action, verdict.reason, verdict.blocker), (Action::Hold, Reason::PlanFits, None));
    }

    #[test]
    fn a_forecast_that_does_not_fit_grows_the_rings_at_once_and_as_far_as_it_takes() {
        let verdict = decide(&Situation { peak_backlog_bytes: 700_000.0, ..situation() });
        assert_eq!((verdict.action, verdict.reason), (Action::Grow, Reason::OverflowForecast));
        assert_eq!(verdict.plan.ring_bytes, 1 << 20);
        assert_eq!(verdict.candidates[0].plan, verdict.plan);
        assert!(verdict.candidates.is_sorted_by(|a, b| a.cost_us_s <= b.cost_us_s));
    }

    #[test]
    fn a_forecast_alone_buys_little_room_and_stalls_buy_more() {
        let needy = Situation { peak_backlog_bytes: 7e6, senders: 1, credit_us: 2_400.0, ..situation() };
        assert_eq!(decide(&needy).plan.ring_bytes, 1 << 20);
        let plan = Plan { ring_bytes: 1 << 20, ..needy.plan };
        let dear = decide(&Situation { plan, ..needy });
        assert_eq!((dear.action, dear.blocker), (Action::Hold, Some(Blocker::Rent)));
        assert_eq!(decide(&Situation { plan, credit_us: 8_000.0, ..needy }).plan.ring_bytes, 1 << 22);
    }

    #[test]
    fn a_full_ring_doubles_whatever_the_forecast() {
        let verdict = decide(&Situation { peak_backlog_bytes: 0.0, overflowing: true, ..situation() });
        assert_eq!((verdict.action, verdict.reason), (Action::Grow, Reason::OverflowNow));
        assert_eq!(verdict.plan.ring_bytes, 1 << 17);
    }

    #[test]
    fn no_ring_leaves_its_bounds() {
        let bounds = Bounds { ring_bytes_min: 1 << 16, ring_bytes_max: 1 << 17 };
        let above = decide(&Situation { peak_backlog_bytes: 1e12, bounds, ..situation() });
        assert_eq!(above.plan.ring_bytes, 1 << 17);
        let below = decide(&Situation { peak_backlog_bytes: 0.0, ticks_of_slack: 1000, bounds, ..situation() });
        assert_eq!(below.action, Action::Hold);
    }

    #[test]
    fn a_ring_shrinks_to_what_sufficed_and_only_after_proven_slack() {
        let slack = Situation { peak_backlog_bytes: 1000.0, ring_bytes_sufficed: 1 << 14, ..situation() };
        let early = decide(&Situation { ticks_of_slack: 249, ..slack });
        assert_eq!((early.action, early.blocker), (Action::Hold, Some(Blocker::Dwell)));
        let proven = decide(&Situation { ticks_of_slack: 250, ..slack });
        assert_eq!((proven.action, proven.reason), (Action::Shrink, Reason::SlackProven));
        assert_eq!(proven.plan.ring_bytes, 1 << 14);
        let floored = decide(&Situation { ticks_of_slack: 250, floor_bytes: 1 << 15, ..slack });
        assert_eq!(floored.plan.ring_bytes, 1 << 15);
        assert_eq!(decide(&Situation { ticks_of_slack: 250, floor_bytes: 1 << 16, ..slack }).action, Action::Hold);
    }

    #[test]
    fn growth_waits_until_the_last_move_can_show() {
        let verdict = decide(&Situation { peak_backlog_bytes: 1e6, ticks_since_resize: 1, ..situation() });
        assert_eq!((verdict.action, verdict.blocker), (Action::Hold, Some(Blocker::Dwell)));
    }

    #[test]
    fn the_cheapest_way_to_wait_is_taken_if_it_is_clearly_cheaper() {
        let costs = |costs: [f64; 4]| {
            let wait_costs_us_s = costs.map(|cost| cost * 1000.0);
            Situation { wait_costs_us_s, wait_cost_now_us_s: 100_000.0, ..situation() }
        };
        let long = decide(&costs([50.0, 60.0, 100.0, 200.0]));
        assert_eq!(
            (long.action, long.reason, long.plan.wait),
            (Action::SwitchWait, Reason::LongGaps, WaitStrategy::Park)
        );
        let short = decide(&costs([500.0, 300.0, 100.0, 80.0]));
        assert_eq!(
            (short.action, short.reason, short.plan.wait),
            (Action::SwitchWait, Reason::ShortGaps, WAIT_ARMS[3])
        );
        let near = decide(&costs([91.0, 300.0, 100.0, 100.0]));
        assert_eq!((near.action, near.blocker), (Action::Hold, Some(Blocker::DeadBand)));
        let little = Situation { wait_costs_us_s: [100.0; 4], wait_cost_now_us_s: 15_000.0, ..situation() };
        assert_eq!(decide(&little).blocker, Some(Blocker::DeadBand));
        let soon = decide(&Situation { ticks_since_switch: 15, ..costs([50.0; 4]) });
        assert_eq!((soon.action, soon.blocker), (Action::Hold, Some(Blocker::Dwell)));
    }

    #[test]
    fn growth_that_was_futile_is_taken_back_and_not_tried_again_at_once() {
        let full = Situation { overflowing: true, ..situation() };
        let back = decide(&Situation { futile_since_bytes: Some(1 << 14), ..full });
        assert_eq!((back.action, back.reason, back.plan.ring_bytes), (Action::Shrink, Reason::GrowthFutile, 1 << 14));
        let barred = decide(&Situation { growth_barred: true, ..full });
        assert_eq!((barred.action, barred.blocker), (Action::Hold, Some(Blocker::Futile)));
    }
}
