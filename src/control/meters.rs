//! What the controller tells the `metrics` facade. Without a recorder installed it goes nowhere.

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::control::reasons::{Action, Reason};
use crate::control::waits::middle_us;
use crate::telemetry::{Sample, WaitTimes};

/// Waits of one length that a look tells of at most: recorders take them one by one, and any process may have counted them.
const RECORDED_MAX: usize = 10_000;

/// Handles on a channel's metrics. Install the recorder before the controller is made: handles are bound once.
pub(crate) struct Meters {
    channel: String,
    sent_messages: Counter,
    received_messages: Counter,
    sent_bytes: Counter,
    stalls: Counter,
    rejected: Counter,
    parks: Counter,
    blocked_ns: Counter,
    idle_ns: Counter,
    waits: [Histogram; 2],
    backlog_bytes: Gauge,
    ring_bytes: Gauge,
    forecast_bytes: Gauge,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Meters {
    pub(crate) fn new(channel: &str) -> Self {
        describe();
        let count = |name: &'static str| counter!(name, "channel" => channel.to_owned());
        let waits =
            |role: &'static str| histogram!("tidegate_wait_seconds", "channel" => channel.to_owned(), "role" => role);
        let level = |name: &'static str| gauge!(name, "channel" => channel.to_owned());
        Self {
            channel: channel.into(),
            sent_messages: count("tidegate_sent_messages_total"),
            received_messages: count("tidegate_received_messages_total"),
            sent_bytes: count("tidegate_sent_bytes_total"),
            stalls: count("tidegate_stalls_total"),
            rejected: count("tidegate_rejected_total"),
            parks: count("tidegate_parks_total"),
            blocked_ns: count("tidegate_blocked_nanoseconds_total"),
            idle_ns: count("tidegate_idle_nanoseconds_total"),
            waits: ["receiver", "sender"].map(waits),
            backlog_bytes: level("tidegate_backlog_bytes"),
            ring_bytes: level("tidegate_capacity_bytes"),
            forecast_bytes: level("tidegate_forecast_bytes"),
        }
    }

    /// Whether a model forecasts, or the rule of thumb.
    pub(crate) fn in_charge(&self, is_model: bool) {
        gauge!("tidegate_model_in_charge", "channel" => self.channel.clone()).set(f64::from(u8::from(is_model)));
    }

    pub(crate) fn record(&self, sample: &Sample, times: &WaitTimes, forecast_bytes: u64) {
        self.sent_messages.increment(sample.arrived_messages);
        self.received_messages.increment(sample.departed_messages);
        self.sent_bytes.increment(sample.arrived_bytes);
        self.stalls.increment(sample.stalls);
        self.rejected.increment(sample.rejected);
        self.parks.increment(sample.parks);
        self.blocked_ns.increment(sample.blocked_ns);
        self.idle_ns.increment(sample.idle_ns);
        for (histogram, counts) in self.waits.iter().zip([&times.receivers, &times.senders]) {
            let ended = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            ended.for_each(|(bucket, count)| {
                histogram.record_many(middle_us(bucket) / 1e6, RECORDED_MAX.min(*count as usize))
            });
        }
        self.backlog_bytes.set(sample.backlog_bytes as f64);
        self.ring_bytes.set(sample.ring_bytes as f64);
        self.forecast_bytes.set(forecast_bytes as f64);
    }

    pub(crate) fn decided(&self, action: Action, reason: Reason) {
        counter!(
            "tidegate_decisions_total",
            "channel" => self.channel.clone(),
            "action" => action.name(),
            "reason" => reason.name()
        )
        .increment(1);
    }
}

/// Tells the recorder what each is, and in which unit.
fn describe() {
    let counters = [
        ("tidegate_sent_messages_total", Unit::Count, "Messages committed."),
        ("tidegate_received_messages_total", Unit::Count, "Messages released, or taken by one of several receivers."),
        ("tidegate_sent_bytes_total", Unit::Bytes, "Ring bytes committed: headers, payload and padding."),
        ("tidegate_stalls_total", Unit::Count, "Waits of senders for room that outlasted a first burst of polls."),
        ("tidegate_rejected_total", Unit::Count, "Sends refused for want of room."),
        ("tidegate_parks_total", Unit::Count, "Sleeps of senders and receivers."),
        (
            "tidegate_blocked_nanoseconds_total",
            Unit::Nanoseconds,
            "Time that senders waited for room, those that wait now included.",
        ),
        ("tidegate_idle_nanoseconds_total", Unit::Nanoseconds, "Time that receivers waited for messages."),
        ("tidegate_decisions_total", Unit::Count, "Entries in the journal."),
    ];
    counters.into_iter().for_each(|(name, unit, what)| describe_counter!(name, unit, what));
    let gauges = [
        ("tidegate_backlog_bytes", Unit::Bytes, "Ring bytes committed and not released."),
        ("tidegate_capacity_bytes", Unit::Bytes, "Bytes of the rings that attached senders write to."),
        ("tidegate_forecast_bytes", Unit::Bytes, "Forecast of the largest backlog within the horizon."),
        ("tidegate_model_in_charge", Unit::Count, "1 while a model forecasts, 0 while a rule of thumb does."),
    ];
    gauges.into_iter().for_each(|(name, unit, what)| describe_gauge!(name, unit, what));
    describe_histogram!(
        "tidegate_wait_seconds",
        Unit::Seconds,
        "Waits that outlasted a first burst of polls: of senders for room, of receivers for messages."
    );
}
