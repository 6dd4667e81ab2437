//! `tidegate trace`: what recorded traces hold, and their way to and from other tools.

mod columns;
mod export;
mod import;
mod info;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use clap::{Args, Subcommand};
use tidegate::telemetry::TraceReader;

use crate::failure::Failure;

/// `tidegate trace`.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a trace is of and what happened in it
    Info(info::Info),
    /// Write a trace's samples as CSV or Parquet, a column for each field
    Export(export::Export),
    /// Make a trace of arrivals recorded elsewhere
    Import(import::Import),
}

pub(crate) fn run(trace: &Trace) -> Result<(), Failure> {
    match &trace.command {
        Command::Info(command) => info::run(command),
        Command::Export(command) => export::run(command),
        Command::Import(command) => import::run(command),
    }
}

fn open(path: &Path) -> Result<TraceReader<BufReader<File>>, Failure> {
    let file = File::open(path).map_err(|e| Failure::io("read", path, &e))?;
    TraceReader::new(BufReader::new(file)).map_err(|error| of(path, &error))
}

fn of(path: &Path, error: &tidegate::telemetry::TraceError) -> Failure {
    let line = format!("{}: {error}", path.display());
    if matches!(error, tidegate::telemetry::TraceError::Io(_)) {
        Failure::Environment(line)
    } else {
        Failure::Corrupt(line)
    }
}
