//! The recent course of a channel, look by look, for those who look at it.

use std::collections::VecDeque;

use serde::Serialize;

/// Points kept: 65 s at a look a millisecond, more while they are rarer.
const POINTS_MAX: usize = 1 << 16;

/// What was seen of a controlled channel at one look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HistoryPoint {
    /// When, nanoseconds on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Bytes committed since the last look.
    pub arrived_bytes: u64,
    /// Bytes waiting at its end.
    pub backlog_bytes: u64,
    /// Bytes of the rings in use.
    pub ring_bytes: u64,
    /// Forecast of the largest backlog within the horizon, bytes; 0 while nothing can be said.
    pub forecast_bytes: u64,
}

/// The last points, oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    points: VecDeque<HistoryPoint>,
}

impl History {
    pub(crate) fn push(&mut self, point: HistoryPoint) {
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &HistoryPoint> {
        self.points.iter()
    }

    /// Largest backlog since `since_ns`, bytes.
    pub(crate) fn peak_since(&self, since_ns: u64) -> u64 {
        let recent = self.points.iter().rev().take_while(|p| p.at_ns > since_ns);
        recent.map(|p| p.backlog_bytes).max().unwrap_or(0)
    }
}
