//! The course of a channel for those who look at it: each look of late, and the longer ago, the fewer points.

use std::collections::VecDeque;

use serde::Serialize;

use crate::WaitStrategy;
use crate::telemetry::Sample;

/// Points kept of each coarseness.
const POINTS_MAX: usize = 1024;
/// Points of one coarseness that make one of the next.
const MERGED: u32 = 8;
/// Coarsenesses: at a look a millisecond the last is of half a second, and goes back nine minutes.
const TIERS: usize = 4;

/// What was seen of a channel since the point before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HistoryPoint {
    /// When it ends, nanoseconds on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Nanoseconds that it is of.
    pub span_ns: u64,
    /// Bytes committed.
    pub arrived_bytes: u64,
    /// Messages committed.
    pub arrived_messages: u64,
    /// The largest backlog at the end of a look, bytes.
    pub backlog_bytes: u64,
    /// The most bytes of rings in use at the end of a look.
    pub ring_bytes: u64,
    /// The largest forecast of the largest backlog within the horizon, bytes; 0 while nothing can be said.
    pub forecast_bytes: u64,
    /// Nanoseconds that senders waited for room, summed over them.
    pub blocked_ns: u64,
    /// Nanoseconds that receivers waited for messages, summed over them.
    pub idle_ns: u64,
    /// The wait strategy at its end.
    pub strategy: WaitStrategy,
}

impl HistoryPoint {
    pub(crate) fn of(sample: &Sample, forecast_bytes: u64) -> Self {
        Self {
            at_ns: sample.at_ns,
            span_ns: sample.tick_ns,
            arrived_bytes: sample.arrived_bytes,
            arrived_messages: sample.arrived_messages,
            backlog_bytes: sample.backlog_bytes,
            ring_bytes: sample.ring_bytes,
            forecast_bytes,
            blocked_ns: sample.blocked_ns,
            idle_ns: sample.idle_ns,
            strategy: sample.strategy,
        }
    }

    /// One point of this one and a `later` one.
    #[must_use]
    pub fn merged(self, later: &Self) -> Self {
        Self {
            at_ns: later.at_ns,
            span_ns: self.span_ns.saturating_add(later.span_ns),
            arrived_bytes: self.arrived_bytes.saturating_add(later.arrived_bytes),
            arrived_messages: self.arrived_messages.saturating_add(later.arrived_messages),
            backlog_bytes: self.backlog_bytes.max(later.backlog_bytes),
            ring_bytes: self.ring_bytes.max(later.ring_bytes),
            forecast_bytes: self.forecast_bytes.max(later.forecast_bytes),
            blocked_ns: self.blocked_ns.saturating_add(later.blocked_ns),
            idle_ns: self.idle_ns.saturating_add(later.idle_ns),
            strategy: later.strategy,
        }
    }
}

/// Points of one coarseness, and those that come of it.
#[derive(Debug, Clone, Default)]
struct Tier {
    points: VecDeque<HistoryPoint>,
    /// The next point of the next coarseness, and of how many it is so far.
    merging: Option<(HistoryPoint, u32)>,
}

/// The course of a channel.
#[derive(Debug, Clone, Default)]
pub struct History {
    tiers: [Tier; TIERS],
    looks: u64,
}

impl History {
    pub(crate) fn push(&mut self, point: HistoryPoint) {
        self.looks += 1;
        let mut entering = Some(point);
        for tier in &mut self.tiers {
            let Some(point) = entering.take() else { break };
            entering = tier.push(point);
        }
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl Iterator<Item = HistoryPoint> {
        self.tiers.iter().rev().flat_map(|tier| {
            let merging = tier.merging.map(|(point, _)| point);
            merging.into_iter().chain(tier.points.iter().copied())
        })
    }

    /// The points that end after `since_ns`, oldest first.
    pub fn points_since(&self, since_ns: u64) -> impl Iterator<Item = HistoryPoint> {
        self.points().skip_while(move |point| point.at_ns <= since_ns)
    }

    /// The last point.
    pub fn newest(&self) -> Option<&HistoryPoint> {
        self.tiers[0].points.back()
    }

    /// Looks so far.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Largest backlog since `since_ns`, bytes.
    pub(crate) fn peak_since(&self, since_ns: u64) -> u64 {
        let newest_first = self.tiers.iter().flat_map(|tier| tier.points.iter().rev());
        newest_first.take_while(|p| p.at_ns > since_ns).map(|p| p.backlog_bytes).max().unwrap_or(0)
    }
}

impl Tier {
    /// Enters a point; yields a coarser one when points that left have made it up.
    fn push(&mut self, point: HistoryPoint) -> Option<HistoryPoint> {
        let left = if self.points.len() == POINTS_MAX { self.points.pop_front() } else { None };
        self.points.push_back(point);
        let left = left?;
        let (merged, count) = match self.merging.take() {
            Some((merging, count)) => (merging.merged(&left), count + 1),
            None => (left, 1),
        };
        if count == MERGED {
            return Some(merged);
        }
        self.merging = Some((merged, count));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: u64) -> HistoryPoint {
        HistoryPoint {
            at_ns: at,
            span_ns: 1,
            arrived_bytes: 10,
            arrived_messages: 1,
            backlog_bytes: at % 100,
            ring_bytes: at,
            forecast_bytes: 0,
            blocked_ns: 0,
            idle_ns: 0,
            strategy: WaitStrategy::DEFAULT,
        }
    }

    #[test]
    fn nothing_that_came_is_lost_while_points_grow_coarser() {
        let mut history = History::default();
        let looks = 20_000;
        (1..=looks).for_each(|at| history.push(point(at)));
        let points: Vec<HistoryPoint> = history.points().collect();
        assert!(points.len() < 4 * POINTS_MAX, "{}", points.len());
        assert_eq!(points.iter().map(|p| p.arrived_bytes).sum::<u64>(), looks * 10);
        assert_eq!(points.iter().map(|p| p.span_ns).sum::<u64>(), looks);
        assert!(points.is_sorted_by(|a, b| a.at_ns + b.span_ns == b.at_ns), "without gaps");
        assert_eq!(history.points_since(looks - 3).count(), 3);
        assert_eq!(history.peak_since(looks - 50), 99);
        assert_eq!(history.looks(), looks);
    }

    #[test]
    fn what_is_oldest_goes() {
        let mut history = History::default();
        let looks = 3 * POINTS_MAX as u64 * u64::from(MERGED.pow(TIERS as u32 - 1));
        (1..=looks).for_each(|at| history.push(point(at)));
        assert!(history.points().count() <= TIERS * (POINTS_MAX + 1));
        assert!(history.points().next().unwrap().at_ns > looks / 3);
    }
}
