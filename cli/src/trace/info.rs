//! `tidegate trace info`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tidegate::telemetry::Sample;

use crate::failure::Failure;

/// `tidegate trace info`.
#[derive(Debug, Args)]
pub(super) struct Info {
    /// Trace file
    trace: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a trace holds.
#[derive(Debug, Default, Serialize)]
struct Summary {
    channel: String,
    tick_ns: u64,
    began_unix_ns: u64,
    samples: u64,
    /// Time that the samples cover.
    covered_ns: u64,
    /// Longest tick: the recorder came late for it.
    tick_ns_max: u64,
    arrived_messages: u64,
    arrived_bytes: u64,
    departed_messages: u64,
    rejected: u64,
    backlog_bytes_peak: u64,
    ring_bytes_peak: u64,
    stalls: u64,
    blocked_ns: u64,
    idle_ns: u64,
    parks: u64,
    wakes: u64,
    rings_entered: u64,
    /// Ends inside a frame, as after a crash of its recorder.
    is_cut_short: bool,
}

impl Summary {
    fn add(&mut self, sample: &Sample) {
        self.samples += 1;
        self.tick_ns_max = self.tick_ns_max.max(sample.tick_ns);
        self.backlog_bytes_peak = self.backlog_bytes_peak.max(sample.backlog_bytes);
        self.ring_bytes_peak = self.ring_bytes_peak.max(sample.ring_bytes);
        for (sum, more) in [
            (&mut self.covered_ns, sample.tick_ns),
            (&mut self.arrived_messages, sample.arrived_messages),
            (&mut self.arrived_bytes, sample.arrived_bytes),
            (&mut self.departed_messages, sample.departed_messages),
            (&mut self.rejected, sample.rejected),
            (&mut self.stalls, sample.stalls),
            (&mut self.blocked_ns, sample.blocked_ns),
            (&mut self.idle_ns, sample.idle_ns),
            (&mut self.parks, sample.parks),
            (&mut self.wakes, sample.wakes),
            (&mut self.rings_entered, sample.epochs),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    fn print(&self) {
        let seconds = self.covered_ns as f64 / 1e9;
        let a_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        println!("channel     {}", self.channel);
        println!(
            "samples     {} of {} us each, the longest {} us",
            self.samples,
            self.tick_ns / 1000,
            self.tick_ns_max / 1000
        );
        println!("time        {seconds:.3} s");
        println!(
            "arrived     {} messages, {} bytes: {:.0} messages a second",
            self.arrived_messages,
            self.arrived_bytes,
            a_second(self.arrived_messages)
        );
        println!("departed    {} messages; {} refused", self.departed_messages, self.rejected);
        println!("backlog     at most {} bytes, in rings of at most {}", self.backlog_bytes_peak, self.ring_bytes_peak);
        println!(
            "waits       senders {} times, {:.3} s in all; receiver {:.3} s; {} sleeps, {} wakes",
            self.stalls,
            self.blocked_ns as f64 / 1e9,
            self.idle_ns as f64 / 1e9,
            self.parks,
            self.wakes
        );
        println!("rings       {} entered", self.rings_entered);
        if self.is_cut_short {
            println!("It ends inside a frame, as after a crash of its recorder: what comes before is whole.");
        }
    }
}

pub(super) fn run(command: &Info) -> Result<(), Failure> {
    let mut reader = super::open(&command.trace)?;
    let header = reader.header();
    let mut summary = Summary {
        channel: header.channel.clone(),
        tick_ns: header.tick_ns,
        began_unix_ns: header.began_unix_ns,
        ..Summary::default()
    };
    for sample in reader.by_ref() {
        summary.add(&sample.map_err(|error| super::of(&command.trace, &error))?);
    }
    summary.is_cut_short = reader.is_cut_short();
    if command.json {
        println!("{}", serde_json::to_string(&summary).map_err(|e| Failure::Corrupt(e.to_string()))?);
    } else {
        summary.print();
    }
    Ok(())
}
