//! `/channels` and `/history`: what each channel is and does, and its course.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::channel::{LaneView, Order, WaitView};
use crate::control::{Budget, ControllerState, HistoryPoint, Mode};
use crate::inspect::clock::UnixClock;
use crate::inspect::registry::{Presence, Shown};

/// Seconds of history in one answer at most.
const SECONDS_MAX: f64 = 3600.0;
/// Points in one answer at most.
const POINTS_MAX: usize = 5000;

/// All channels, as `/channels` tells them.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Channels {
    /// Of the schema.
    pub version: u32,
    /// When it was, milliseconds since the Unix epoch.
    pub now_ms: f64,
    /// The same on CLOCK_MONOTONIC, for the time between two.
    pub monotonic_ms: f64,
    /// Memory that they share, if they do.
    pub budget: Option<BudgetUse>,
    /// In order of their names.
    pub channels: Vec<ChannelRow>,
}

/// How much of a budget is used.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct BudgetUse {
    /// All of it, bytes.
    pub bytes: u64,
    /// What channels have of it, or have asked for, bytes.
    pub used: u64,
}

/// One channel. What only grows counts from when the channel was made.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ChannelRow {
    /// Its name.
    pub name: String,
    /// Who is at it.
    pub state: Presence,
    /// What the controller that was asked may do.
    pub mode: Mode,
    /// The process that tunes it, if one does.
    pub controller_pid: Option<u32>,
    /// How endpoints wait.
    pub strategy: String,
    /// `per_sender` or `global`.
    pub order: &'static str,
    /// Attached senders.
    pub senders: Vec<EndpointRow>,
    /// Attached receivers.
    pub receivers: Vec<EndpointRow>,
    /// Bytes of the rings that attached senders write to.
    pub capacity_bytes: u64,
    /// Bytes of them committed and not released.
    pub backlog_bytes: u64,
    /// Messages committed and not released.
    pub backlog_messages: u64,
    /// Forecast of the largest backlog within the horizon, bytes; 0 while there is none.
    pub forecast_bytes: u64,
    /// Messages committed.
    pub sent_messages: u64,
    /// Ring bytes of these: headers, payload and padding.
    pub sent_bytes: u64,
    /// Messages released, or taken by one of several receivers.
    pub received_messages: u64,
    /// Ring bytes of these.
    pub received_bytes: u64,
    /// Waits of senders for room that outlasted a first burst of polls.
    pub stalls: u64,
    /// Sends refused for want of room.
    pub rejected: u64,
    /// Messages dropped to make room.
    pub dropped: u64,
    /// Rings entered by senders: what resizes came to.
    pub ring_epochs: u64,
    /// The senders' waits for room.
    pub sender_waits: WaitRow,
    /// The receivers' waits for messages.
    pub receiver_waits: WaitRow,
    /// Entries in its journal, of the controller that was asked and those of others that are known here.
    pub decisions: u64,
    /// How the model was fitted that forecasts, or `rule_of_thumb`.
    pub forecast: String,
}

/// A process at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointRow {
    /// The process.
    pub pid: u32,
    /// The CPU on which it ran last, if that can be seen.
    pub cpu: Option<u32>,
}

/// Waits that outlasted a first burst of polls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WaitRow {
    /// How many.
    pub waits: u64,
    /// Sleeps in them.
    pub parks: u64,
    /// Wakes through the kernel.
    pub wakes: u64,
    /// How long they took together, seconds.
    pub seconds: f64,
    /// Endpoints that wait now.
    pub waiting: u32,
}

impl Channels {
    pub(crate) fn of(shown: &[Shown], budget: Option<&Budget>, noted: &BTreeMap<String, u64>) -> Self {
        let clock = UnixClock::now();
        Self {
            version: 1,
            now_ms: clock.now_ms(),
            monotonic_ms: clock.monotonic_ns() as f64 / 1e6,
            budget: budget.map(|budget| BudgetUse { bytes: budget.bytes(), used: budget.used() }),
            channels: shown.iter().map(|shown| ChannelRow::of(shown, noted)).collect(),
        }
    }
}

impl ChannelRow {
    fn of(Shown { state, view, presence, steered_by }: &Shown, noted: &BTreeMap<String, u64>) -> Self {
        let journal = state.journal.lock();
        let (decisions, forecast) = (journal.entered(), journal.forecasting().forecast.clone());
        drop(journal);
        let sum = |count: fn(&LaneView) -> u64| view.total(count);
        let rows = |pids: Vec<u32>| pids.into_iter().map(EndpointRow::of).collect();
        Self {
            name: state.name.clone(),
            state: *presence,
            mode: state.mode,
            controller_pid: *steered_by,
            strategy: view.strategy.to_string(),
            order: if view.order == Order::Global { "global" } else { "per_sender" },
            senders: rows(view.lanes.iter().filter_map(|lane| lane.sender_pid).collect()),
            receivers: rows(view.receiver_pids.clone()),
            capacity_bytes: view.ring_bytes(),
            backlog_bytes: view.backlog_bytes(),
            backlog_messages: sum(LaneView::backlog_messages),
            forecast_bytes: if *presence == Presence::Gone { 0 } else { newest_forecast(state) },
            sent_messages: sum(|lane| lane.sent_messages),
            sent_bytes: sum(|lane| lane.sent_bytes),
            received_messages: sum(|lane| lane.received_messages),
            received_bytes: sum(|lane| lane.received_bytes),
            stalls: sum(|lane| lane.sender_waits.waits),
            rejected: sum(|lane| lane.rejected),
            dropped: sum(|lane| lane.dropped),
            ring_epochs: sum(|lane| lane.epoch),
            sender_waits: WaitRow::of(&view.sender_waits()),
            receiver_waits: WaitRow::of(&view.receiver_waits),
            decisions: decisions + noted.get(&state.name).copied().unwrap_or(0),
            forecast,
        }
    }
}

fn newest_forecast(state: &ControllerState) -> u64 {
    state.history.lock().newest().map_or(0, |point| point.forecast_bytes)
}

impl EndpointRow {
    fn of(pid: u32) -> Self {
        Self { pid, cpu: last_cpu(pid) }
    }
}

/// The CPU on which a process ran last: field 39 of `/proc/PID/stat` (proc_pid_stat(5)).
fn last_cpu(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, in which anything may stand.
    let third_on = stat.rsplit_once(')')?.1;
    third_on.split_whitespace().nth(39 - 3)?.parse().ok()
}

impl WaitRow {
    fn of(waits: &WaitView) -> Self {
        Self {
            waits: waits.waits,
            parks: waits.parks,
            wakes: waits.wakes,
            seconds: waits.wait_ns as f64 / 1e9,
            waiting: waits.waiting,
        }
    }
}

/// Which part of a channel's course is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) channel: String,
    #[serde(default = "a_minute")]
    seconds: f64,
    #[serde(default = "a_screen")]
    points: usize,
}

fn a_minute() -> f64 {
    60.0
}

fn a_screen() -> usize {
    600
}

impl Span {
    /// Seconds that are looked at, and the width of a point.
    pub(crate) fn widths_ns(&self) -> (u64, u64) {
        let seconds = if self.seconds.is_finite() { self.seconds.clamp(0.1, SECONDS_MAX) } else { SECONDS_MAX };
        let span_ns = (seconds * 1e9) as u64;
        (span_ns, span_ns / self.points.clamp(1, POINTS_MAX) as u64)
    }
}

/// A channel's course, a column for each quantity.
#[derive(Debug, Serialize)]
pub(crate) struct Course {
    version: u32,
    channel: String,
    strategies: Vec<String>,
    points: Columns,
}

#[derive(Debug, Default, Serialize)]
struct Columns {
    t_ms: Vec<f64>,
    span_ms: Vec<f64>,
    arrived_bytes_s: Vec<f64>,
    backlog_bytes: Vec<u64>,
    capacity_bytes: Vec<u64>,
    forecast_bytes: Vec<u64>,
    sender_wait_share: Vec<f64>,
    receiver_wait_share: Vec<f64>,
    strategy: Vec<usize>,
}

impl Course {
    /// Of these, in points of `width_ns` or more but for the last.
    pub(crate) fn of(channel: &str, points: Vec<HistoryPoint>, width_ns: u64) -> Self {
        let clock = UnixClock::of_process();
        let mut course =
            Self { version: 1, channel: channel.into(), strategies: Vec::new(), points: Columns::default() };
        let mut open: Option<HistoryPoint> = None;
        for point in points {
            let merged = open.map_or(point, |open| open.merged(&point));
            open = Some(merged).filter(|merged| merged.span_ns < width_ns);
            if open.is_none() {
                course.push(&merged, clock);
            }
        }
        if let Some(open) = open {
            course.push(&open, clock);
        }
        course
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points.t_ms.is_empty()
    }

    fn push(&mut self, point: &HistoryPoint, clock: UnixClock) {
        let name = point.strategy.to_string();
        let strategy = self.strategies.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.strategies.push(name);
            self.strategies.len() - 1
        });
        let seconds = point.span_ns.max(1) as f64 / 1e9;
        let share = |ns: u64| ns as f64 / 1e9 / seconds;
        let columns = &mut self.points;
        columns.t_ms.push(clock.ms_of(point.at_ns));
        columns.span_ms.push(point.span_ns as f64 / 1e6);
        columns.arrived_bytes_s.push((point.arrived_bytes as f64 / seconds).round());
        columns.backlog_bytes.push(point.backlog_bytes);
        columns.capacity_bytes.push(point.ring_bytes);
        columns.forecast_bytes.push(point.forecast_bytes);
        columns.sender_wait_share.push(share(point.blocked_ns));
        columns.receiver_wait_share.push(share(point.idle_ns));
        columns.strategy.push(strategy);
    }
}
