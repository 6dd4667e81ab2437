//! `tidegate inspect`: one channel, looked at for a while.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tidegate::Channel;
use tidegate::control::{Controller, ControllerOptions, Mode};
use tidegate::inspect::{ChannelRow, EndpointRow, Registry};

use crate::failure::Failure;
use crate::settings::LOOKING_TICK;
use crate::table;
use crate::units::{bytes, count};

/// `tidegate inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Name of the channel
    channel: String,
    /// Seconds to look, for the rates
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Inspect) -> Result<(), Failure> {
    let span = Duration::try_from_secs_f64(command.seconds)
        .ok()
        .filter(|span| !span.is_zero() && *span <= Duration::from_secs(3600))
        .ok_or_else(|| Failure::Usage(format!("--seconds {}: above 0 and up to 3,600", command.seconds)))?;
    let channel = Channel::open(&command.channel)?;
    let options = ControllerOptions { mode: Mode::Off, tick: LOOKING_TICK, ..ControllerOptions::default() };
    let watcher = Controller::start(&channel, &command.channel, options);
    let registry = Registry::default();
    registry.add(&channel, watcher.state());
    let before = registry.channels();
    std::thread::sleep(span);
    let after = registry.channels();
    let seconds = (after.monotonic_ms - before.monotonic_ms) / 1e3;
    let gone = || Failure::Environment(format!("channel `{}` is gone", command.channel));
    let [before, row] = [&before, &after].map(|channels| channels.channels.first());
    let (before, row) = (before.ok_or_else(gone)?, row.ok_or_else(gone)?);
    let rate = |of: fn(&ChannelRow) -> u64| of(row).saturating_sub(of(before)) as f64 / seconds;
    let (messages_s, bytes_s) = (rate(|row| row.sent_messages), rate(|row| row.sent_bytes));
    if command.json {
        let rates = json!({ "seconds": seconds, "sent_messages": messages_s, "sent_bytes": bytes_s });
        println!("{}", json!({ "version": 1, "now_ms": after.now_ms, "channel": row, "rates": rates }));
        return Ok(());
    }
    let mut table = table::plain(&[]);
    let waits = |waits: &tidegate::inspect::WaitRow| {
        format!(
            "{} waits of {:.3} s together, {} sleeps, {} waiting",
            waits.waits, waits.seconds, waits.parks, waits.waiting
        )
    };
    let rows = [
        ("channel", format!("{}, {}", row.name, row.state.name())),
        ("senders", endpoints(&row.senders)),
        ("receivers", endpoints(&row.receivers)),
        ("sent", format!("{} messages, {}", row.sent_messages, bytes(row.sent_bytes as f64))),
        ("received", format!("{} messages", row.received_messages)),
        ("rate", format!("{} messages/s, {}/s", count(messages_s), bytes(bytes_s))),
        ("backlog", format!("{} messages, {}", row.backlog_messages, bytes(row.backlog_bytes as f64))),
        ("capacity", format!("{}, after {} rings", bytes(row.capacity_bytes as f64), row.ring_epochs)),
        ("forecast", forecast(row)),
        ("tuned by", row.controller_pid.map_or("nobody".into(), |pid| format!("process {pid}"))),
        ("waits by", row.strategy.clone()),
        ("for room", waits(&row.sender_waits)),
        ("for messages", waits(&row.receiver_waits)),
        ("refused", row.rejected.to_string()),
        ("dropped", row.dropped.to_string()),
    ];
    for (name, value) in rows {
        table.add_row([name, &value]);
    }
    println!("{table}");
    Ok(())
}

fn forecast(row: &ChannelRow) -> String {
    match row.forecast_bytes {
        0 => "none yet".into(),
        most => format!("at most {} ({})", bytes(most as f64), row.forecast),
    }
}

fn endpoints(of: &[EndpointRow]) -> String {
    let one = |end: &EndpointRow| match end.cpu {
        Some(cpu) => format!("{} on CPU {cpu}", end.pid),
        None => end.pid.to_string(),
    };
    if of.is_empty() { "none".into() } else { of.iter().map(one).collect::<Vec<_>>().join(", ") }
}
