//! `tidegate record`: samples of a live channel into a trace file.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tidegate::Channel;
use tidegate::telemetry::record;

use crate::failure::Failure;

/// Between two looks whether those who are attached are alive.
const LOOK_FOR_THE_DEAD_EVERY: Duration = Duration::from_millis(200);

/// `tidegate record`.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Name of the channel
    channel: String,
    /// Trace file to write
    #[arg(short, long)]
    output: PathBuf,
    /// Microseconds between samples
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    tick_us: u64,
    /// Seconds to record; without it, until Ctrl-C or until every endpoint has gone or died
    #[arg(long)]
    seconds: Option<f64>,
    /// Overwrite the file if there is one
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(command: &Record, interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    let limit = match command.seconds.map(Duration::try_from_secs_f64) {
        Some(Ok(limit)) => limit,
        Some(Err(error)) => return Err(Failure::Usage(format!("--seconds: {error}"))),
        None => Duration::MAX,
    };
    let channel = Channel::open(&command.channel)?;
    if command.output.is_file() && !command.force {
        return Err(Failure::Usage(format!("{} is there: --force overwrites it", command.output.display())));
    }
    let file = File::create(&command.output).map_err(|e| Failure::io("write", &command.output, &e))?;
    let began = Instant::now();
    let mut looked = Instant::now();
    let tick = Duration::from_micros(command.tick_us);
    let mut met = false;
    let recorded = record(&channel, &command.channel, tick, BufWriter::new(file), |sample| {
        let mut present = sample.senders > 0 || !channel.view().receiver_pids.is_empty();
        if present && looked.elapsed() >= LOOK_FOR_THE_DEAD_EVERY {
            present = channel.is_attended();
            looked = Instant::now();
        }
        let over = met && !present;
        met |= present;
        !over && began.elapsed() < limit && !interrupted.load(Ordering::Relaxed)
    })?;
    println!(
        "recorded {} samples and {} messages of `{}` into {} ({} ticks missed)",
        recorded.samples,
        recorded.messages,
        command.channel,
        command.output.display(),
        recorded.ticks_missed
    );
    Ok(())
}
