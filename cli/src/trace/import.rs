//! `tidegate trace import`.

use std::io::BufWriter;
use std::path::PathBuf;

use clap::Args;
use tidegate::telemetry::{Sample, TraceHeader, TraceWriter};
use tidegate_training::{open_unpacked, read_events};

use crate::failure::Failure;
use crate::whole_file::WholeFile;

/// Longest time between two arrivals, in ticks: more makes a trace of empty samples that fills the disk.
const TICKS_MAX: u64 = 100_000_000;

/// `tidegate trace import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Arrivals: CSV with the columns t_ns,bytes (ascending nanoseconds); gzip if the name ends in .gz
    arrivals: PathBuf,
    /// Trace file to write; without it the name of the arrivals, with the ending .tgtrace
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Microseconds that a sample covers
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    tick_us: u64,
}

pub(super) fn run(command: &Import) -> Result<(), Failure> {
    let path = &command.arrivals;
    let input = open_unpacked(path).map_err(|e| Failure::io("read", path, &e))?;
    let events = read_events(input).map_err(|what| Failure::Corrupt(format!("{}: {what}", path.display())))?;
    let (Some((first, _)), Some((last, _))) = (events.first(), events.last()) else { unreachable!("at least two") };
    let tick_ns = command.tick_us * 1000;
    let ticks = (last - first) / tick_ns + 1;
    if ticks > TICKS_MAX {
        return Err(Failure::Usage(format!("{ticks} ticks of {} us: choose a longer --tick-us", command.tick_us)));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default().to_owned();
    let output_path = command.output.clone().unwrap_or_else(|| path.with_file_name(format!("{name}.tgtrace")));
    let output = WholeFile::begin_of(path, &output_path)?;
    let header = TraceHeader { channel: name, tick_ns, began_unix_ns: 0 };
    let mut writer = TraceWriter::new(BufWriter::new(&output.file), &header)?;
    let mut events = events.iter().peekable();
    for tick in 0..ticks {
        let end_ns = first + (tick + 1) * tick_ns;
        let (mut messages, mut bytes) = (0u64, 0u64);
        while let Some((_, len)) = events.next_if(|(at_ns, _)| *at_ns < end_ns) {
            messages += 1;
            bytes += u64::from(*len);
        }
        writer.append(&received_at_once(end_ns, tick_ns, messages, bytes))?;
    }
    writer.flush()?;
    drop(writer);
    output.finish()?;
    println!("wrote {ticks} samples of {} us to {}", command.tick_us, output_path.display());
    Ok(())
}

/// A tick in which so much arrived and was received: of who received it the recording tells nothing.
fn received_at_once(at_ns: u64, tick_ns: u64, messages: u64, bytes: u64) -> Sample {
    Sample {
        at_ns,
        tick_ns,
        arrived_messages: messages,
        arrived_bytes: bytes,
        departed_messages: messages,
        departed_bytes: bytes,
        senders: 1,
        ..Sample::default()
    }
}
