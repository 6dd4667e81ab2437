//! Recording a live channel into a trace.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use crate::channel::Channel;
use crate::telemetry::{Sample, Sampler, TraceError, TraceHeader, TraceWriter};

/// How often what was recorded is handed on to the file: what a crash of the recorder can lose.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// Looks at the backlog in a tick, the sample at its end among them.
const LOOKS: u32 = 4;

/// A channel could not be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The trace could not be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The tick is zero.
    #[error("a tick of 0 ns cannot be sampled: choose at least 1")]
    NoTick,
}

/// What a recording came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Samples written.
    pub samples: u64,
    /// Ticks that the recorder came too late for; the sample after them covers their time too.
    pub ticks_missed: u64,
    /// Messages committed to the channel meanwhile.
    pub messages: u64,
}

/// Samples `channel` every `tick` into `output`, until `go_on` says no; `go_on` sees each sample.
///
/// Samples are written as they are taken, so memory is bounded by `output`'s own buffer.
///
/// # Errors
/// The tick is zero, or the output cannot be written.
pub fn record(
    channel: &Channel,
    name: &str,
    tick: Duration,
    output: impl Write,
    mut go_on: impl FnMut(&Sample) -> bool,
) -> Result<Recorded, RecordError> {
    if tick.is_zero() {
        return Err(RecordError::NoTick);
    }
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let header =
        TraceHeader { channel: name.into(), tick_ns: tick.as_nanos() as u64, began_unix_ns: began.as_nanos() as u64 };
    let mut writer = TraceWriter::new(output, &header)?;
    let mut recorded = Recorded::default();
    let mut sampler = Sampler::new(channel);
    let mut due = Instant::now() + tick;
    let mut flushed = Instant::now();
    loop {
        for left in (1..LOOKS).rev() {
            let at = due.checked_sub(tick / LOOKS * left).unwrap_or(due);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            sampler.look();
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sample = sampler.sample();
        writer.append(&sample)?;
        recorded.samples += 1;
        recorded.messages += sample.arrived_messages;
        if !go_on(&sample) {
            writer.flush()?;
            return Ok(recorded);
        }
        if flushed.elapsed() >= FLUSH_EVERY {
            writer.flush()?;
            flushed = Instant::now();
        }
        due += tick;
        let late = Instant::now().saturating_duration_since(due);
        let missed = (late.as_nanos() / tick.as_nanos()) as u32;
        due += tick * missed;
        recorded.ticks_missed += u64::from(missed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TraceReader;

    #[test]
    fn a_recording_accounts_for_every_message() {
        let channel = Channel::options().create_anonymous().unwrap();
        let mut sender = channel.sender().unwrap();
        let mut bytes = Vec::new();
        let mut ticks = 0;
        let recorded = record(&channel, "test", Duration::from_micros(100), &mut bytes, |_| {
            sender.send(b"one a tick").unwrap();
            ticks += 1;
            ticks < 20
        })
        .unwrap();
        let reader = TraceReader::new(&bytes[..]).unwrap();
        let samples: Vec<Sample> = reader.collect::<Result<_, _>>().unwrap();
        assert_eq!((recorded.samples, recorded.messages), (20, 19));
        assert_eq!(samples.iter().map(|s| s.arrived_messages).sum::<u64>(), 19);
    }
}
