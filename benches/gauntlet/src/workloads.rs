//! What is sent, when, and how fast it is received.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use tidegate_training::dataset::{read_directory, read_trace};
use tidegate_training::workload::{Due, ReplayParams, Service, ServiceRequest, Workload as Recorded};

/// Longest message, bytes: the default of a channel.
pub(crate) const MESSAGE_BYTES_MAX: u32 = 1024;
/// Bytes of each message that tell which it is, when it was sent and when it was due.
pub(crate) const HEAD_BYTES: u32 = 24;
/// Bytes of a small message.
const SMALL: u32 = 64;
/// A receiver that has nothing to do but receive.
const NO_WORK: Service = Service::PerMessage(0.0);

/// One of the workloads.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) traffic: Traffic,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) enum Traffic {
    /// Messages that are due at times of their own, by sender.
    Scheduled {
        senders: Vec<Vec<Due>>,
        service: Service,
        /// Length of a phase, if they change.
        phase_ns: Option<u64>,
    },
    /// As fast as can be.
    Flat { senders: usize, sizes: Vec<u32>, service: Service, window_ns: u64 },
    /// To and fro, as fast as can be.
    PingPong { bytes: u32, window_ns: u64 },
}

impl Traffic {
    /// Whether there is no schedule to be late for: what counts is the time that a message takes.
    pub(crate) fn is_closed(&self) -> bool {
        self.window_ns().is_some()
    }

    /// When the last message is due.
    pub(crate) fn span_ns(&self) -> u64 {
        let Self::Scheduled { senders, .. } = self else { return 0 };
        senders.iter().filter_map(|dues| dues.last()).map(|due| due.after_ns).max().unwrap_or(0)
    }

    /// How long what has no schedule goes on.
    pub(crate) fn window_ns(&self) -> Option<u64> {
        match self {
            Self::Scheduled { .. } => None,
            Self::Flat { window_ns, .. } | Self::PingPong { window_ns, .. } => Some(*window_ns),
        }
    }
}

/// How long a workload takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lengths {
    /// What comes before does not count, but where traffic changes in phases.
    pub(crate) warm_ns: u64,
    pub(crate) window_ns: u64,
    pub(crate) phase_ns: u64,
}

/// Every workload, those of the recordings in `traces` too.
pub(crate) fn all(lengths: Lengths, traces: Option<&Path>) -> anyhow::Result<Vec<Workload>> {
    let window_ns = lengths.window_ns;
    // What has a schedule keeps it before it counts, too.
    let span_ns = lengths.warm_ns + window_ns;
    let named = |name: &str, traffic| Workload { name: name.into(), traffic };
    let flat = |senders, sizes: &[u32], service| Traffic::Flat { senders, sizes: sizes.into(), service, window_ns };
    let steady = |gap_ns, service| scheduled(vec![every(gap_ns, 0, span_ns)], service, None);
    let mut workloads = vec![
        named("sparse", steady(1_000_000, NO_WORK)),
        named("steady", steady(20_000, Service::PerMessage(2_000.0))),
        named("bursts", scheduled(vec![bursts(span_ns)], Service::PerMessage(1_000.0), None)),
        named("ping-pong", Traffic::PingPong { bytes: SMALL, window_ns }),
        named("flat out", flat(1, &[SMALL], NO_WORK)),
        named("mixed sizes", flat(1, &[24, 1024, 64, 256, 24, 512], NO_WORK)),
        named("slow consumer", flat(1, &[SMALL], Service::PerMessage(3_000.0))),
        named("fan-in, 4 senders", flat(4, &[SMALL], NO_WORK)),
        named("phases, sparse and dense", phases(lengths, |_| 10_000)),
        named("phases, dense and bursts", phases(lengths, |i| if i % 400 < 200 { 1_000 } else { 19_000 })),
    ];
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packaged = |name: &str| -> PathBuf { packaged.join(name) };
    for (name, path, load) in [
        ("azure_llm_code, load .85", packaged("../../cli/traces/azure_llm_code.csv.gz"), 0.85),
        ("azure_llm_code, load 1.1", packaged("../../cli/traces/azure_llm_code.csv.gz"), 1.1),
        ("azure_llm_conv, load .5", packaged("traces/azure_llm_conv.csv.gz"), 0.5),
        ("mooncake, load .85", packaged("traces/mooncake_conversation.csv.gz"), 0.85),
        ("modbus, load .5", packaged("../../cli/traces/packets_modbus.csv.gz"), 0.5),
    ] {
        let trace = read_trace(&path).with_context(|| format!("reading {}", path.display()))?;
        workloads.push(named(name, recorded(&trace, load, span_ns)?));
    }
    for trace in traces.map(read_directory).transpose()?.into_iter().flatten() {
        workloads.push(named(&format!("{}, load .85", trace.name), recorded(&trace, 0.85, span_ns)?));
    }
    Ok(workloads)
}

fn scheduled(senders: Vec<Vec<Due>>, service: Service, phase_ns: Option<u64>) -> Traffic {
    Traffic::Scheduled { senders, service, phase_ns }
}

fn recorded(trace: &tidegate_training::dataset::ArrivalTrace, load: f64, span_ns: u64) -> anyhow::Result<Traffic> {
    let params = ReplayParams {
        speed: None,
        seconds: span_ns as f64 / 1e9,
        load: Some(load),
        service: ServiceRequest::ByLoad,
        message_bytes_max: MESSAGE_BYTES_MAX,
        head_bytes: HEAD_BYTES,
    };
    let made = Recorded::new(trace, &params).map_err(|what| anyhow!("{}: {what}", trace.name))?;
    Ok(scheduled(vec![made.dues], made.service, None))
}

fn every(gap_ns: u64, from_ns: u64, to_ns: u64) -> Vec<Due> {
    let count = (to_ns - from_ns) / gap_ns;
    (0..count).map(|i| Due { after_ns: from_ns + i * gap_ns, bytes: SMALL }).collect()
}

/// Thousands at once, then nothing: what a ring has to hold.
fn bursts(span_ns: u64) -> Vec<Due> {
    const PERIOD_NS: u64 = 20_000_000;
    const LONG: u32 = 256;
    let burst = |start_ns: u64| (0..6_000).map(move |i| Due { after_ns: start_ns + i * 300, bytes: LONG });
    (0..span_ns / PERIOD_NS).flat_map(|period| burst(period * PERIOD_NS)).collect()
}

/// A message a millisecond, and in every second phase one in `gap_ns`.
fn phases(lengths: Lengths, gap_ns: impl Fn(u64) -> u64) -> Traffic {
    const PHASES: u64 = 4;
    let phase_ns = lengths.phase_ns;
    let mut dues = Vec::new();
    for phase in 0..PHASES {
        let (from_ns, to_ns) = (phase * phase_ns, (phase + 1) * phase_ns);
        if phase.is_multiple_of(2) {
            dues.extend(every(1_000_000, from_ns, to_ns));
            continue;
        }
        let mut at_ns = from_ns;
        for i in 0.. {
            if at_ns >= to_ns {
                break;
            }
            dues.push(Due { after_ns: at_ns, bytes: SMALL });
            at_ns += gap_ns(i);
        }
    }
    scheduled(vec![dues], Service::PerMessage(1_000.0), Some(phase_ns))
}
