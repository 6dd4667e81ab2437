//! Cases, measured in turns.

use serde::Serialize;

use crate::cpu;

/// What is measured, in nanoseconds; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Time a message of a one-way load takes: the inverse of the throughput.
    Message,
    /// Median time of a message and its answer.
    RoundTripP50,
    /// 99th percentile of it.
    RoundTripP99,
    /// 99.9th percentile of the time that a send takes.
    SendP999,
    /// CPU time that a message of a round trip takes, of all processes, their start and end included.
    CpuRoundTrip,
    /// CPU time a message takes, of all processes, their start and end included.
    Cpu,
    /// No time: the ratio of the time a message takes with something to that without it, measured in pairs.
    Slowdown,
    /// No time: the messages that were sent in all, by which CPU time is divided.
    Messages,
}

/// A figure measured in one round.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What it is a figure of.
    pub quantity: Quantity,
    /// The figure.
    pub ns: f64,
}

impl Sample {
    /// The messages that were sent in all.
    pub fn messages(messages: u64) -> Self {
        Self { quantity: Quantity::Messages, ns: messages as f64 }
    }
}

/// Something to measure once a round.
pub struct Case {
    /// What is measured.
    pub system: &'static str,
    /// How: message size, ring size.
    pub setting: String,
    /// Measures it, and yields the same quantities each time.
    pub measure: Box<dyn FnMut() -> anyhow::Result<Vec<Sample>>>,
}

/// What a row of figures is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowKey {
    /// [`Case::system`]
    pub system: &'static str,
    /// [`Case::setting`]
    pub setting: String,
    /// [`Sample::quantity`]
    pub quantity: Quantity,
}

/// The figures of one quantity of one case, one a round.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What they are about.
    #[serde(flatten)]
    pub key: RowKey,
    /// Figures in the order of the rounds.
    pub rounds_ns: Vec<f64>,
}

/// Measures every case once a round.
///
/// # Errors
/// Those of a case, with its name.
pub fn run(rounds: u32, cases: &mut [Case]) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for case in &mut *cases {
            let context = |e: anyhow::Error| e.context(format!("{}, {}", case.system, case.setting));
            let before = cpu::used()?;
            let mut samples = (case.measure)().map_err(context)?;
            let used_ns = (cpu::used()? - before).as_nanos() as f64;
            let is_round_trip = samples.iter().any(|sample| sample.quantity == Quantity::RoundTripP50);
            let quantity = if is_round_trip { Quantity::CpuRoundTrip } else { Quantity::Cpu };
            for sample in samples.iter_mut().filter(|sample| sample.quantity == Quantity::Messages) {
                *sample = Sample { quantity, ns: used_ns / sample.ns };
            }
            for Sample { quantity, ns } in samples {
                let key = RowKey { system: case.system, setting: case.setting.clone(), quantity };
                match rows.iter_mut().find(|row| row.key == key) {
                    Some(row) => row.rounds_ns.push(ns),
                    None => rows.push(Row { key, rounds_ns: vec![ns] }),
                }
            }
        }
    }
    Ok(rows)
}
