//! The channels in Prometheus' text format, read from shared memory at each scrape.
//!
//! Names and units follow "Metric and label naming" of Prometheus' documentation: base units, `_total` for what only grows.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::WaitStrategy;
use crate::channel::{LaneView, WaitView};
use crate::control::{Action, Budget, ForecastSource, Reason};
use crate::inspect::registry::{Presence, Shown};

/// A number that a channel has.
struct Figure {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    of: fn(&Shown) -> f64,
}

fn lanes(shown: &Shown, count: fn(&LaneView) -> u64) -> f64 {
    shown.view.total(count) as f64
}

const fn counter(name: &'static str, help: &'static str, of: fn(&Shown) -> f64) -> Figure {
    Figure { name, help, kind: MetricType::COUNTER, of }
}

const fn gauge(name: &'static str, help: &'static str, of: fn(&Shown) -> f64) -> Figure {
    Figure { name, help, kind: MetricType::GAUGE, of }
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

/// Renders all of it.
pub(crate) fn render(shown: &[Shown], budget: Option<&Budget>) -> String {
    let mut families: Vec<MetricFamily> = FIGURES
        .iter()
        .map(|figure| {
            let metrics = shown.iter().map(|shown| number(figure.kind, labels(shown, &[]), (figure.of)(shown)));
            family((figure.name, figure.help), figure.kind, metrics.collect())
        })
        .collect();
    families.extend(by_role(shown));
    families.push(decisions(shown));
    families.push(forecasts(shown));
    families.extend(budget.into_iter().flat_map(of_budget));
    // A family without members is no family to the encoder.
    families.retain(|family| !family.get_metric().is_empty());
    let mut text = String::with_capacity(shown.len() * BYTES_A_CHANNEL);
    match TextEncoder::new().encode_utf8(&families, &mut text) {
        Ok(()) => text,
        Err(error) => format!("# {}\n", error.to_string().replace('\n', " ")),
    }
}

/// Those who send on a channel, or those who receive.
struct Side<'a> {
    shown: &'a Shown,
    role: &'static str,
    waits: WaitView,
    endpoints: usize,
}

impl<'a> Side<'a> {
    fn both(shown: &'a Shown) -> [Self; 2] {
        let view = &shown.view;
        let senders = view.lanes.iter().filter(|lane| lane.sender_pid.is_some()).count();
        let (receivers, waits) = (view.receiver_pids.len(), view.receiver_waits.clone());
        [
            Self { shown, role: "sender", waits: view.sender_waits(), endpoints: senders },
            Self { shown, role: "receiver", waits, endpoints: receivers },
        ]
    }

    fn labels(&self) -> Vec<LabelPair> {
        labels(self.shown, &[("role", self.role)])
    }
}

/// What senders and receivers have each.
fn by_role(shown: &[Shown]) -> Vec<MetricFamily> {
    let sides: Vec<Side<'_>> = shown.iter().flat_map(Side::both).collect();
    let numbers = |name, help, kind, of: fn(&Side<'_>) -> f64| {
        let metrics = sides.iter().map(|side| number(kind, side.labels(), of(side)));
        family((name, help), kind, metrics.collect())
    };
    let (count, level) = (MetricType::COUNTER, MetricType::GAUGE);
    let waiting = "Endpoints that wait now, for longer than a first burst of polls.";
    let waits = "Waits that have ended, of those that outlasted a first burst of polls: of senders for room, of receivers for \
                 messages.";
    let ongoing = "How long the endpoints that wait now have waited together.";
    let histograms = sides.iter().map(|side| histogram(side.labels(), &side.waits));
    vec![
        numbers("tidegate_endpoints", "Attached endpoints.", level, |side| side.endpoints as f64),
        numbers("tidegate_waiting_endpoints", waiting, level, |side| side.waits.waiting.into()),
        numbers("tidegate_waiting_seconds", ongoing, level, |side| side.waits.ongoing_ns as f64 / 1e9),
        numbers("tidegate_parks_total", "Sleeps.", count, |side| side.waits.parks as f64),
        numbers("tidegate_wakes_total", "Wakes through the kernel.", count, |side| side.waits.wakes as f64),
        family(("tidegate_wait_seconds", waits), MetricType::HISTOGRAM, histograms.collect()),
    ]
}

fn histogram(labels: Vec<LabelPair>, waits: &WaitView) -> Metric {
    let mut below = 0u64;
    let mut buckets = Vec::new();
    for (bucket, count) in waits.histogram.iter().enumerate() {
        below = below.saturating_add(*count);
        let is_last = bucket + 1 == waits.histogram.len();
        if bucket >= FIRST_BUCKET && bucket % 2 == 0 && !is_last {
            let mut bound = Bucket::default();
            bound.set_upper_bound((1u64 << bucket) as f64 / 1e9);
            bound.set_cumulative_count(below);
            buckets.push(bound);
        }
    }
    let mut histogram = Histogram::default();
    histogram.set_sample_count(below);
    // What goes on is not counted yet, either; and it is over when its process dies.
    histogram.set_sample_sum(waits.wait_ns.saturating_sub(waits.ongoing_ns) as f64 / 1e9);
    histogram.set_bucket(buckets);
    let mut metric = Metric::from_label(labels);
    metric.set_histogram(histogram);
    metric
}

fn decisions(shown: &[Shown]) -> MetricFamily {
    let of = |shown: &Shown| {
        let counts: Vec<_> = shown.state.journal.lock().counts().collect();
        let one = |((action, reason), count): ((Action, Reason), u64)| {
            let labels = labels(shown, &[("action", action.name()), ("reason", reason.name())]);
            number(MetricType::COUNTER, labels, count as f64)
        };
        counts.into_iter().map(one).collect::<Vec<_>>()
    };
    let metrics = shown.iter().flat_map(of).collect();
    family(("tidegate_decisions_total", "Entries in the journal."), MetricType::COUNTER, metrics)
}

fn forecasts(shown: &[Shown]) -> MetricFamily {
    let of = |shown: &Shown| {
        let counts = shown.state.calibration.lock().forecasts;
        ForecastSource::ALL
            .into_iter()
            .zip(counts)
            .map(|(source, count)| {
                number(MetricType::COUNTER, labels(shown, &[("reason", source.name())]), count as f64)
            })
            .collect::<Vec<_>>()
    };
    let metrics = shown.iter().flat_map(of).collect();
    let help = "Forecasts, by what made them and why.";
    family(("tidegate_forecasts_total", help), MetricType::COUNTER, metrics)
}

fn of_budget(budget: &Budget) -> Vec<MetricFamily> {
    let gauge = |name, help, of: fn(&Budget) -> u64| {
        family((name, help), MetricType::GAUGE, vec![number(MetricType::GAUGE, Vec::new(), of(budget) as f64)])
    };
    vec![
        gauge("tidegate_budget_bytes", "Memory that all controlled channels share.", Budget::bytes),
        gauge("tidegate_budget_used_bytes", "What they have of it, or have asked for.", Budget::used),
    ]
}

fn family((name, help): (&str, &str), kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn number(kind: MetricType, labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut metric = Metric::from_label(labels);
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn labels(shown: &Shown, more: &[(&str, &str)]) -> Vec<LabelPair> {
    let channel = pair("channel", &shown.state.name);
    std::iter::once(channel).chain(more.iter().map(|(name, value)| pair(name, value))).collect()
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.into());
    pair.set_value(value.into());
    pair
}
