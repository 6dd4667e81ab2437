//! The command line of a benchmark.

use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser};
use serde::de::DeserializeOwned;

/// How a benchmark is run.
#[derive(Debug, Clone, Parser)]
pub struct RunOptions {
    /// A short run: fewer rounds and a quarter of the time a case
    #[arg(long)]
    quick: bool,
    /// Prints JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Times that each case is measured; 7 unless told, 3 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Measures only the cases whose name has this text in it, and the reference
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Draws the ratios into this file, as an SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<std::path::PathBuf>,
    /// What this process does as the child of another
    #[arg(long, hide = true)]
    role: Option<String>,
}

impl RunOptions {
    /// Reads the arguments of the benchmark `name`; ends the process where they are wrong, or ask for help.
    pub fn from_args(name: &'static str, about: &'static str) -> Self {
        let matches = Self::command().name(name).about(about).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
    }

    /// What this process does as the child of another; `None` in the process that the user started.
    ///
    /// # Errors
    /// The hidden argument does not come from [`crate::child::Child::spawn`].
    pub fn role<R: DeserializeOwned>(&self) -> anyhow::Result<Option<R>> {
        let role = self.role.as_deref().map(serde_json::from_str).transpose();
        role.context("--role is for the benchmark's own children")
    }

    /// How long each case is measured in each round. Longer than the largest ring takes to be emptied.
    pub fn window(&self) -> Duration {
        Duration::from_millis(if self.quick { 50 } else { 200 })
    }

    /// Times that each case is measured.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 })
    }

    /// Whether the case of `system` and `setting` is wanted.
    pub fn wants(&self, system: &str, setting: &str) -> bool {
        self.only.as_ref().is_none_or(|only| format!("{system} {setting}").contains(only))
    }

    /// Where a picture is wanted.
    pub fn plot(&self) -> Option<&std::path::Path> {
        self.plot.as_deref()
    }

    /// Whether this is a short run.
    pub fn quick(&self) -> bool {
        self.quick
    }

    /// Whether a program reads the report.
    pub fn json(&self) -> bool {
        self.json
    }
}
