//! Tidegate beside every static configuration of itself, on workloads that change: the *regret* of a configuration on a
//! workload is the share by which it costs more there than the best static one.

mod clock;
mod configuration;
mod cost;
mod ends;
mod html;
mod report;
mod run;
mod store;
mod workloads;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::configuration::Configuration;
use crate::report::GauntletReport;
use crate::store::{Entry, Store};
use crate::workloads::{Lengths, Workload};

/// Compares Tidegate, with no knob touched, with every static configuration
#[derive(Debug, Parser)]
#[command(name = "gauntlet")]
struct Options {
    /// A short run, of less than ten minutes
    #[arg(long)]
    quick: bool,
    /// Prints JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Times that each workload is run in each configuration; 5 unless told, 3 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Runs only the workloads whose name has this text in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Runs only the configurations of these names, as adaptive,256KiB/spin_park
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    configurations: Vec<String>,
    /// Replays the recordings in this directory, too
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Keeps what was measured in this file, and goes on from what stands there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Writes a page with a heat map of the regrets
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// What this process does as the child of another
    #[arg(long, hide = true)]
    role: Option<String>,
}

impl Options {
    fn lengths(&self) -> Lengths {
        let ms = |ms: u64| ms * 1_000_000;
        if self.quick {
            Lengths { warm_ns: ms(150), window_ns: ms(200), phase_ns: ms(200) }
        } else {
            Lengths { warm_ns: ms(500), window_ns: ms(2000), phase_ns: ms(2000) }
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(role) = &options.role {
        let part: ends::Part = serde_json::from_str(role).context("--role is for the benchmark's own children")?;
        return part.run();
    }
    let (lengths, rounds) = (options.lengths(), options.rounds.unwrap_or(if options.quick { 3 } else { 5 }));
    let mut workloads = workloads::all(lengths, options.traces.as_deref())?;
    workloads.retain(|workload| options.only.as_ref().is_none_or(|only| workload.name.contains(only)));
    anyhow::ensure!(!workloads.is_empty(), "no workload has such a name");
    let mut store = Store::open(options.resume.as_deref(), lengths)?;
    let mut configurations = Configuration::all();
    let wanted = &options.configurations;
    configurations.retain(|configuration| wanted.is_empty() || wanted.contains(&configuration.to_string()));
    anyhow::ensure!(!configurations.is_empty(), "no configuration has such a name");
    measure(&workloads, &configurations, rounds, lengths, &mut store)?;
    let report = GauntletReport::new(&workloads, rounds, &store);
    if let Some(path) = &options.html {
        std::fs::write(path, html::page(&report)).with_context(|| format!("writing {}", path.display()))?;
    }
    report.print(options.json)?;
    anyhow::ensure!(report.lost == 0, "{} messages were lost or doubled", report.lost);
    Ok(())
}

/// Runs every workload in every configuration, in turns, but for what the store has.
fn measure(
    workloads: &[Workload],
    configurations: &[Configuration],
    rounds: u32,
    lengths: Lengths,
    store: &mut Store,
) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    for round in 1..=rounds {
        for workload in workloads {
            eprintln!("round {round} of {rounds}: {}", workload.name);
            // Who comes first is another one each time.
            let first = (round as usize * 7) % configurations.len();
            for &configuration in configurations[first..].iter().chain(&configurations[..first]) {
                if store.has(&workload.name, configuration, round) {
                    continue;
                }
                let run = run::run(workload, configuration, lengths.warm_ns, directory.path())
                    .with_context(|| format!("{}, {configuration}", workload.name))?;
                store.add(Entry::new(workload, configuration, round, run))?;
            }
        }
    }
    Ok(())
}
