//! `tidegate demo`: recorded traffic between real processes, under four policies.

mod child;
mod picture;
mod report;
mod run;
mod schedule;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use tidegate::WaitStrategy;
use tidegate::inspect::{Address, Endpoint, Registry};

use crate::failure::Failure;
use crate::whole_file::WholeFile;
use run::{Policy, RunSetup};

pub(crate) use child::{ChildCommand, run as run_child};

/// `tidegate demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Print the results as one JSON object on stdout
    #[arg(long)]
    json: bool,
    /// Port on 127.0.0.1 of the page and the metrics; 0 picks a free one
    #[arg(long, default_value_t = 9464)]
    port: u16,
    /// Seconds of traffic in each of the four runs
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// A recorded trace (NAME.csv.gz) for each of the two producers, in place of the packaged ones
    #[arg(long = "trace", value_name = "FILE", num_args = 2)]
    traces: Vec<PathBuf>,
    /// Model file, in place of the packaged one
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// File to which the adaptive run's decisions are appended, as lines of JSON
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Picture to write: arrivals, capacity and forecast over time in the adaptive run
    #[arg(long, value_name = "FILE", default_value = "tidegate-demo.svg")]
    picture: PathBuf,
}

/// The runs: the same arrivals under each.
const POLICIES: [Policy; 4] = [
    Policy { name: "adaptive", ring_bytes: 1 << 16, wait: WaitStrategy::DEFAULT, controlled: true },
    Policy { name: "small_static", ring_bytes: 1 << 16, wait: WaitStrategy::DEFAULT, controlled: false },
    Policy { name: "large_static", ring_bytes: 1 << 24, wait: WaitStrategy::DEFAULT, controlled: false },
    Policy { name: "large_spinning", ring_bytes: 1 << 24, wait: WaitStrategy::Spin, controlled: false },
];

pub(crate) fn run(command: &Demo, interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    let traces = schedule::load(&command.traces)?;
    let model = crate::models::forecast_model(command.model.as_deref())?;
    crate::explain::check_journal(command.journal.as_deref())?;
    let picture = WholeFile::begin(&command.picture)?;
    let registry = Registry::default();
    let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], command.port)));
    let endpoint = Endpoint::serve(&address, registry.clone()).map_err(|e| {
        Failure::Environment(format!("cannot listen on {address}: {e}; choose another with --port, or 0 for any"))
    })?;
    eprintln!("watch it on {}", endpoint.address());
    let mut finished = Vec::new();
    for policy in POLICIES {
        let bar = progress(policy.name, command.seconds);
        let setup = RunSetup {
            policy,
            paths: &command.traces,
            traces: &traces,
            span: Duration::from_secs(command.seconds),
            model: &model,
            registry: &registry,
            journal: command.journal.as_deref(),
            interrupted,
        };
        let outcome = run::run(&setup, |share| bar.set_position((share * 1000.0) as u64));
        bar.finish();
        finished.push(outcome?);
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
    }
    let results: Vec<_> = finished.iter().map(|run| &run.result).collect();
    if command.json {
        report::print_json(&results)?
    } else {
        report::print_table(&results)
    }
    if let Some(history) = finished.first().and_then(|run| run.history.as_ref()) {
        picture::draw(picture, history)?;
        eprintln!("picture of the adaptive run: {}", command.picture.display());
    }
    if results.iter().all(|result| result.is_sound()) {
        Ok(())
    } else {
        Err(Failure::Corrupt("messages were lost, doubled or damaged; the table says how many".into()))
    }
}

fn progress(name: &'static str, seconds: u64) -> ProgressBar {
    let bar = crate::progress::bar(name, 1000);
    if bar.is_hidden() {
        eprintln!("{name}: {seconds} s of traffic");
    }
    bar
}
