//! The demo's child processes: two producers and a consumer.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use hdrhistogram::Histogram;
use rustix::time::ClockId;
use serde::{Deserialize, Serialize};
use tidegate::Channel;
use tidegate::channel::RecvError;

use crate::demo::schedule;
use crate::failure::Failure;
use crate::message::{self, Head};
use crate::tally::Tally;
use crate::worker::{Sent, now_ns, say, start_ns};

/// Latencies above a minute are counted as a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// A child process of the demo.
#[derive(Debug, Args)]
pub(crate) struct ChildCommand {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Produce { channel: String, producer: usize, span_ns: u64, traces: Vec<PathBuf> },
    Consume { channel: String, service_ns_a_byte: f64, span_ns: u64 },
}

/// What the consumer saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Consumed {
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) cpu_ns: u64,
}

pub(crate) fn run(command: &ChildCommand) -> Result<(), Failure> {
    match &command.role {
        Role::Produce { channel, producer, span_ns, traces } => produce(channel, *producer, *span_ns, traces),
        Role::Consume { channel, service_ns_a_byte, span_ns } => consume(channel, *service_ns_a_byte, *span_ns),
    }
}

fn produce(channel: &str, producer: usize, span_ns: u64, paths: &[PathBuf]) -> Result<(), Failure> {
    let traces = schedule::load(paths)?;
    let trace = traces.get(producer).ok_or_else(|| Failure::Usage(format!("there is no producer {producer}")))?;
    let dues = schedule::schedule(trace, span_ns);
    let channel = Channel::open(channel)?;
    let mut sender = channel.sender()?;
    let start_ns = start_ns()?;
    let mut messages = 0;
    for due in dues {
        let due_ns = start_ns + due.after_ns;
        std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(now_ns(ClockId::Monotonic))));
        let mut claim = sender.claim(due.bytes).map_err(|e| Failure::Environment(e.to_string()))?;
        message::write(&mut claim, Head { producer: producer as u64, sequence: messages, at_ns: due_ns });
        claim.commit();
        messages += 1;
    }
    drop(sender);
    say(&Sent { messages, cpu_ns: now_ns(ClockId::ProcessCPUTime) })
}

fn consume(channel: &str, service_ns_a_byte: f64, span_ns: u64) -> Result<(), Failure> {
    let channel = Channel::open(channel)?;
    let mut receiver = channel.receiver()?;
    let start_ns = start_ns()?;
    let mut seen = Consumed::default();
    let mut latencies = Histogram::<u64>::new_with_max(LATENCY_NS_MAX, 3)
        .map_err(|e| Failure::Environment(format!("no histogram: {e}")))?;
    loop {
        let message = match receiver.recv() {
            Ok(message) => message,
            Err(RecvError::Disconnected) => break,
            Err(error) => return Err(Failure::Environment(error.to_string())),
        };
        let arrived_ns = now_ns(ClockId::Monotonic);
        if let Some(head) = seen.tally.count(&message) {
            latencies.saturating_record(arrived_ns.saturating_sub(head.at_ns));
        }
        let share = arrived_ns.saturating_sub(start_ns) as f64 / span_ns as f64;
        let service_ns = message.len() as f64 * service_ns_a_byte * schedule::slowness(share);
        while now_ns(ClockId::Monotonic) - arrived_ns < service_ns as u64 {
            std::hint::spin_loop();
        }
    }
    seen.p50_ns = latencies.value_at_quantile(0.5);
    seen.p99_ns = latencies.value_at_quantile(0.99);
    seen.p999_ns = latencies.value_at_quantile(0.999);
    seen.cpu_ns = now_ns(ClockId::ProcessCPUTime);
    say(&seen)
}
