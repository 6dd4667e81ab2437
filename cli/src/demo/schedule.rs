//! From a recorded trace to what a producer sends when.

use std::path::PathBuf;

use tidegate_training::dataset::{ArrivalTrace, parse_trace};
use tidegate_training::read_trace;

use crate::failure::Failure;
use crate::message::{BYTES_MAX, HEAD_BYTES};

/// The packaged traces; `cli/traces/README.md` gives their origin.
const PACKAGED: [(&str, &[u8]); 2] = [
    ("azure_llm_code", include_bytes!("../../traces/azure_llm_code.csv.gz")),
    ("packets_modbus", include_bytes!("../../traces/packets_modbus.csv.gz")),
];
/// The run begins calm: this share of the time ...
const CALM_TIME: f64 = 0.3;
/// ... carries this share of the trace.
const CALM_TRACE: f64 = 0.03;
/// Load that the busy part has on average, in multiples of the consumer's service.
const BUSY_LOAD: f64 = 0.35;
/// From and to when the consumer is slower, in shares of the run, and by which factor.
const SLOW: (f64, f64, f64) = (0.6, 0.75, 2.0);

/// One message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Nanoseconds from the start of the run.
    pub(crate) after_ns: u64,
    /// Its length.
    pub(crate) bytes: usize,
}

/// The traces of both producers: those at `paths`, or the packaged ones.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<ArrivalTrace>, Failure> {
    if paths.is_empty() {
        let packaged = PACKAGED.iter().map(|(name, packed)| parse_trace(name, packed));
        return packaged.collect::<Result<_, _>>().map_err(Failure::Corrupt);
    }
    Ok(paths.iter().map(|path| read_trace(path)).collect::<Result<_, _>>()?)
}

/// A trace sped up to `span_ns`: calm first, then busy. A record longer than a message is sent as several at once.
pub(crate) fn schedule(trace: &ArrivalTrace, span_ns: u64) -> Vec<Due> {
    let first = trace.events.first().map_or(0, |event| event.0);
    let length = trace.events.last().map_or(0, |event| event.0 - first).max(1) as f64;
    let mut dues = Vec::new();
    for &(t_ns, bytes) in &trace.events {
        let after_ns = (warp((t_ns - first) as f64 / length) * span_ns as f64) as u64;
        let mut left = (bytes as usize).max(1);
        while left > 0 {
            let body = left.min(BYTES_MAX - HEAD_BYTES);
            dues.push(Due { after_ns, bytes: body + HEAD_BYTES });
            left -= body;
        }
    }
    dues
}

/// Where in the run what is at `share` of the trace happens.
fn warp(share: f64) -> f64 {
    if share < CALM_TRACE {
        share / CALM_TRACE * CALM_TIME
    } else {
        CALM_TIME + (share - CALM_TRACE) / (1.0 - CALM_TRACE) * (1.0 - CALM_TIME)
    }
}

/// Nanoseconds that the consumer takes for a byte, so that both producers together load it as intended.
pub(crate) fn service_ns_a_byte(traces: &[ArrivalTrace], span_ns: u64) -> f64 {
    let bytes: usize = traces.iter().flat_map(|trace| schedule(trace, span_ns)).map(|due| due.bytes).sum();
    BUSY_LOAD * (1.0 - CALM_TIME) * span_ns as f64 / bytes.max(1) as f64
}

/// How much slower than usual the consumer is at `share` of the run.
pub(crate) fn slowness(share: f64) -> f64 {
    if (SLOW.0..SLOW.1).contains(&share) { SLOW.2 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_traces_are_sound_and_fill_the_run() {
        for trace in load(&[]).unwrap() {
            let dues = schedule(&trace, 1_000_000_000);
            assert!(dues.is_sorted_by_key(|due| due.after_ns));
            assert!(dues.iter().all(|due| (HEAD_BYTES + 1..=BYTES_MAX).contains(&due.bytes)));
            assert_eq!(dues.last().unwrap().after_ns, 1_000_000_000);
            let sent: usize = dues.iter().map(|due| due.bytes - HEAD_BYTES).sum();
            let recorded: usize = trace.events.iter().map(|event| (event.1 as usize).max(1)).sum();
            assert_eq!(sent, recorded, "{}", trace.name);
        }
    }
}
