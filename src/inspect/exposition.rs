//! The channels in Prometheus' text format, read from shared memory at each scrape.
//!
//! The format is version 0.0.4 of "Exposition formats" in Prometheus' documentation; names and units follow "Metric and label
//! naming" there: base units, `_total` for what only grows. It is written line by line, since a thousand channels are a
//! hundred thousand samples, and a tree of them costs more than the text.

use std::fmt::Write;

use crate::WaitStrategy;
use crate::channel::{LaneView, WaitView};
use crate::control::{Budget, ForecastSource};
use crate::inspect::registry::{Presence, Shown};
use crate::sync::wait::WAIT_BUCKETS;

/// A number that a channel has.
struct Figure {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    of: fn(&Shown) -> f64,
}

fn lanes(shown: &Shown, count: fn(&LaneView) -> u64) -> f64 {
    shown.view.total(count) as f64
}

const fn counter(name: &'static str, help: &'static str, of: fn(&Shown) -> f64) -> Figure {
    Figure { name, help, kind: Kind::Counter, of }
}

const fn gauge(name: &'static str, help: &'static str, of: fn(&Shown) -> f64) -> Figure {
    Figure { name, help, kind: Kind::Gauge, of }
}

const FIGURES: [Figure; 15] = [
    counter("tidegate_sent_messages_total", "Messages committed.", |s| lanes(s, |l| l.sent_messages)),
    counter("tidegate_sent_bytes_total", "Ring bytes committed: headers, payload and padding.", |s| {
        lanes(s, |l| l.sent_bytes)
    }),
    counter("tidegate_received_messages_total", "Messages released, or taken by one of several receivers.", |s| {
        lanes(s, |l| l.received_messages)
    }),
    counter("tidegate_received_bytes_total", "Ring bytes released, or taken by one of several receivers.", |s| {
        lanes(s, |l| l.received_bytes)
    }),
    counter("tidegate_rejected_total", "Sends refused for want of room.", |s| lanes(s, |l| l.rejected)),
    counter("tidegate_dropped_messages_total", "Messages dropped to make room.", |s| lanes(s, |l| l.dropped)),
    counter("tidegate_stalls_total", "Waits of senders for room that outlasted a first burst of polls.", |s| {
        lanes(s, |l| l.sender_waits.waits)
    }),
    counter("tidegate_ring_epochs_total", "Rings entered by senders: what resizes came to.", |s| lanes(s, |l| l.epoch)),
    gauge("tidegate_backlog_bytes", "Ring bytes committed and not released.", |s| s.view.backlog_bytes() as f64),
    gauge("tidegate_backlog_messages", "Messages committed and not released.", |s| {
        lanes(s, LaneView::backlog_messages)
    }),
    gauge("tidegate_capacity_bytes", "Bytes of the rings that attached senders write to.", |s| {
        s.view.ring_bytes() as f64
    }),
    gauge(
        "tidegate_forecast_bytes",
        "Forecast of the largest backlog within the horizon; 0 while there is none.",
        |s| {
            let history = s.state.history.lock();
            history.newest().map_or(0.0, |point| point.forecast_bytes as f64)
        },
    ),
    gauge("tidegate_spin_seconds", "How long endpoints spin before they sleep; +Inf if they never do.", |s| {
        spin_seconds(s.view.strategy)
    }),
    gauge("tidegate_attended", "1 while an endpoint of a living process is attached.", |s| {
        f64::from(u8::from(s.presence == Presence::Live))
    }),
    gauge("tidegate_model_in_charge", "1 while a model forecasts, 0 while a rule of thumb does.", |s| {
        f64::from(u8::from(s.state.journal.lock().forecasting().is_model()))
    }),
];

fn spin_seconds(strategy: WaitStrategy) -> f64 {
    match strategy {
        WaitStrategy::Park => 0.0,
        WaitStrategy::SpinPark { budget_ns } => f64::from(budget_ns) / 1e9,
        WaitStrategy::Spin | WaitStrategy::SpinYield => f64::INFINITY,
    }
}

/// About what the text of a channel takes.
const BYTES_A_CHANNEL: usize = 5000;
/// Buckets of waits: a bound for every second power of two, from a quarter of a microsecond on.
const FIRST_BUCKET: usize = 8;

/// What a family of samples is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Renders all of it.
pub(crate) fn render(shown: &[Shown], budget: Option<&Budget>) -> String {
    let mut text = Exposition(String::with_capacity(shown.len() * BYTES_A_CHANNEL));
    let labelled: Vec<(String, &Shown)> = shown.iter().map(|s| (label("channel", &s.state.name), s)).collect();
    if !shown.is_empty() {
        for Figure { name, help, kind, of } in &FIGURES {
            text.family(name, help, *kind);
            labelled.iter().for_each(|(labels, shown)| text.sample(name, labels, of(shown)));
        }
        by_role(&labelled, &mut text);
        decisions(&labelled, &mut text);
        forecasts(&labelled, &mut text);
    }
    if let Some(budget) = budget {
        of_budget(budget, &mut text);
    }
    text.0
}

/// The text as it grows.
struct Exposition(String);

impl Exposition {
    /// Begins a family, whose samples follow.
    fn family(&mut self, name: &str, help: &str, kind: Kind) {
        self.push(&["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind.name(), "\n"]);
    }

    /// A sample with labels, which are escaped already and may be none.
    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        if labels.is_empty() {
            self.push(&[name, " "]);
        } else {
            self.push(&[name, "{", labels, "} "]);
        }
        self.number(value);
        self.push(&["\n"]);
    }

    fn number(&mut self, value: f64) {
        // Most are counts, which are written much faster than fractions.
        let count = value as u64;
        let written = if value == f64::INFINITY {
            self.0.write_str("+Inf")
        } else if count as f64 == value {
            write!(self.0, "{count}")
        } else {
            write!(self.0, "{value}")
        };
        written.expect("a string takes all");
    }

    fn push(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.0.push_str(part));
    }
}

/// A label; what would end its value is escaped.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("{name}=\"{value}\"")
}

/// Those who send on a channel, or those who receive.
struct Side {
    labels: String,
    waits: WaitView,
    endpoints: usize,
}

impl Side {
    fn both((channel, shown): &(String, &Shown)) -> [Self; 2] {
        let view = &shown.view;
        let senders = view.lanes.iter().filter(|lane| lane.sender_pid.is_some()).count();
        let labels = |role| format!("{channel},{}", label("role", role));
        let waits = view.receiver_waits.clone();
        [
            Self { labels: labels("sender"), waits: view.sender_waits(), endpoints: senders },
            Self { labels: labels("receiver"), waits, endpoints: view.receiver_pids.len() },
        ]
    }
}

/// What senders and receivers have each.
fn by_role(labelled: &[(String, &Shown)], text: &mut Exposition) {
    let sides: Vec<Side> = labelled.iter().flat_map(Side::both).collect();
    let mut numbers = |name, help, kind, of: fn(&Side) -> f64| {
        text.family(name, help, kind);
        sides.iter().for_each(|side| text.sample(name, &side.labels, of(side)));
    };
    let waiting = "Endpoints that wait now, for longer than a first burst of polls.";
    let ongoing = "How long the endpoints that wait now have waited together.";
    numbers("tidegate_endpoints", "Attached endpoints.", Kind::Gauge, |side| side.endpoints as f64);
    numbers("tidegate_waiting_endpoints", waiting, Kind::Gauge, |side| side.waits.waiting.into());
    numbers("tidegate_waiting_seconds", ongoing, Kind::Gauge, |side| side.waits.ongoing_ns as f64 / 1e9);
    numbers("tidegate_parks_total", "Sleeps.", Kind::Counter, |side| side.waits.parks as f64);
    numbers("tidegate_wakes_total", "Wakes through the kernel.", Kind::Counter, |side| side.waits.wakes as f64);
    wait_seconds(&sides, text);
}

fn wait_seconds(sides: &[Side], text: &mut Exposition) {
    let help = "Waits that have ended, of those that outlasted a first burst of polls: of senders for room, of receivers for \
                messages.";
    text.family("tidegate_wait_seconds", help, Kind::Histogram);
    let bounds: [Option<String>; WAIT_BUCKETS] = std::array::from_fn(bound);
    for Side { labels, waits, .. } in sides {
        let mut below = 0u64;
        for (bound, count) in bounds.iter().zip(waits.histogram) {
            below = below.saturating_add(count);
            if let Some(bound) = bound {
                text.push(&["tidegate_wait_seconds_bucket{", labels, ",", bound, "} "]);
                text.number(below as f64);
                text.push(&["\n"]);
            }
        }
        // What goes on is not counted yet, either; and it is over when its process dies.
        let seconds = waits.wait_ns.saturating_sub(waits.ongoing_ns) as f64 / 1e9;
        text.sample("tidegate_wait_seconds_sum", labels, seconds);
        text.sample("tidegate_wait_seconds_count", labels, below as f64);
    }
}

/// The label of a bucket that is shown; the last one is without end.
fn bound(bucket: usize) -> Option<String> {
    if bucket + 1 == WAIT_BUCKETS {
        return Some(label("le", "+Inf"));
    }
    let is_shown = bucket >= FIRST_BUCKET && bucket.is_multiple_of(2);
    is_shown.then(|| label("le", &((1u64 << bucket) as f64 / 1e9).to_string()))
}

fn decisions(labelled: &[(String, &Shown)], text: &mut Exposition) {
    let name = "tidegate_decisions_total";
    text.family(name, "Entries in the journal.", Kind::Counter);
    for (channel, shown) in labelled {
        let journal = shown.state.journal.lock();
        for ((action, reason), count) in journal.counts() {
            let labels = format!("{channel},{},{}", label("action", action.name()), label("reason", reason.name()));
            text.sample(name, &labels, count as f64);
        }
    }
}

fn forecasts(labelled: &[(String, &Shown)], text: &mut Exposition) {
    let name = "tidegate_forecasts_total";
    text.family(name, "Forecasts, by what made them and why.", Kind::Counter);
    let reasons = ForecastSource::ALL.map(|source| label("reason", source.name()));
    for (channel, shown) in labelled {
        let counts = shown.state.calibration.lock().forecasts;
        for (reason, count) in reasons.iter().zip(counts) {
            text.sample(name, &format!("{channel},{reason}"), count as f64);
        }
    }
}

fn of_budget(budget: &Budget, text: &mut Exposition) {
    let mut gauge = |name, help, value: u64| {
        text.family(name, help, Kind::Gauge);
        text.sample(name, "", value as f64);
    };
    gauge("tidegate_budget_bytes", "Memory that all controlled channels share.", budget.bytes());
    gauge("tidegate_budget_used_bytes", "What they have of it, or have asked for.", budget.used());
}
