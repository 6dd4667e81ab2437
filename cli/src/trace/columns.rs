//! A sample's fields as columns.

use tidegate::telemetry::Sample;

/// A column of whole numbers.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) of: fn(&Sample) -> u64,
}

const fn column(name: &'static str, of: fn(&Sample) -> u64) -> Column {
    Column { name, of }
}

/// All fields but the last, the wait strategy, which is text. What they mean says [`Sample`].
pub(super) const COLUMNS: [Column; 26] = [
    column("at_ns", |sample| sample.at_ns),
    column("tick_ns", |sample| sample.tick_ns),
    column("arrived_messages", |sample| sample.arrived_messages),
    column("arrived_bytes", |sample| sample.arrived_bytes),
    column("departed_messages", |sample| sample.departed_messages),
    column("departed_bytes", |sample| sample.departed_bytes),
    column("backlog_bytes", |sample| sample.backlog_bytes),
    column("backlog_bytes_max", |sample| sample.backlog_bytes_max),
    column("backlog_bytes_least", |sample| sample.backlog_bytes_least),
    column("backlog_bytes_most", |sample| sample.backlog_bytes_most),
    column("ring_bytes", |sample| sample.ring_bytes),
    column("senders", |sample| sample.senders.into()),
    column("epochs", |sample| sample.epochs),
    column("rejected", |sample| sample.rejected),
    column("rejected_bytes", |sample| sample.rejected_bytes),
    column("stalls", |sample| sample.stalls),
    column("blocked_ns", |sample| sample.blocked_ns),
    column("idles", |sample| sample.idles),
    column("idle_ns", |sample| sample.idle_ns),
    column("parks", |sample| sample.parks),
    column("wakes", |sample| sample.wakes),
    column("runnable", |sample| sample.runnable.into()),
    column("context_switches", |sample| sample.context_switches),
    column("waiting", |sample| sample.waiting.into()),
    column("blocked_p99_ns", |sample| sample.blocked_p99_ns),
    column("idle_p99_ns", |sample| sample.idle_p99_ns),
];

/// Name of the last column.
pub(super) const STRATEGY: &str = "strategy";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_column() {
        let channel = tidegate::Channel::options().create_anonymous().unwrap();
        let sample = tidegate::telemetry::Sampler::new(&channel).sample();
        let fields = serde_json::to_value(sample).unwrap();
        let mut fields: Vec<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns: Vec<_> = COLUMNS.iter().map(|column| column.name).chain([STRATEGY]).collect();
        fields.sort_unstable();
        columns.sort_unstable();
        assert_eq!(fields, columns);
    }
}
