//! What was measured, kept in a file as it comes, so that a run that was stopped can go on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tidegate::control::Action;
use tidegate_benches::machine::Machine;
use tidegate_benches::report::Summary;

use crate::configuration::Configuration;
use crate::cost::Measured;
use crate::run::Run;
use crate::workloads::{Lengths, Traffic, Workload};

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) workload: String,
    pub(crate) configuration: String,
    pub(crate) round: u32,
    pub(crate) measured: Measured,
    /// Where the traffic changes in phases.
    pub(crate) phases: Option<Phases>,
}

/// How the plan has followed the phases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Phases {
    /// From a change of the traffic to the last switch of the wait strategy behind it, median of the phases with one,
    /// milliseconds.
    pub(crate) settled_ms: Option<f64>,
    /// Most switches in a phase.
    pub(crate) switches_max: usize,
}

/// What the first line of a file says: runs of one length, of one commit, on one machine.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Heading {
    lengths: Lengths,
    commit: String,
    cpu_model: String,
}

/// Every run so far.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) entries: Vec<Entry>,
    file: Option<File>,
}

impl Entry {
    pub(crate) fn new(workload: &Workload, configuration: Configuration, round: u32, run: Run) -> Self {
        let phases = match workload.traffic {
            Traffic::Scheduled { phase_ns: Some(phase_ns), .. } if !configuration.is_static() => {
                Some(Phases::of(&run.changes, phase_ns))
            }
            _ => None,
        };
        Self {
            workload: workload.name.clone(),
            configuration: configuration.to_string(),
            round,
            measured: run.measured,
            phases,
        }
    }
}

impl Phases {
    /// The first phase is where the channel comes to know its traffic: it is not looked at.
    fn of(changes: &[(u64, Action)], phase_ns: u64) -> Self {
        let mut by_phase: Vec<Vec<u64>> = Vec::new();
        for (at_ns, action) in changes {
            let phase = (at_ns / phase_ns) as usize;
            by_phase.resize(by_phase.len().max(phase + 1), Vec::new());
            if *action == Action::SwitchWait {
                by_phase[phase].push(at_ns % phase_ns);
            }
        }
        let later = by_phase.get(1..).unwrap_or_default();
        let settled: Vec<f64> =
            later.iter().filter_map(|switches| switches.iter().max()).map(|ns| *ns as f64 / 1e6).collect();
        let settled_ms = Summary::of(&settled).map(|summary| summary.median);
        Self { settled_ms, switches_max: later.iter().map(Vec::len).max().unwrap_or(0) }
    }
}

impl Store {
    /// What stands in the file at `path`, if one is given.
    pub(crate) fn open(path: Option<&Path>, lengths: Lengths) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self { entries: Vec::new(), file: None }) };
        let machine = Machine::here();
        let heading = Heading { lengths, commit: machine.commit, cpu_model: machine.cpu_model };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut lines = BufReader::new(&file).lines();
        let mut entries = Vec::new();
        match lines.next().transpose()? {
            None => writeln!(file, "{}", serde_json::to_string(&heading)?)?,
            Some(line) => {
                let found: Heading = serde_json::from_str(&line).context("it does not begin as such a file does")?;
                ensure!(found == heading, "{} was measured otherwise: {found:?}, not {heading:?}", path.display());
                for line in lines {
                    // A last line that was cut is measured again.
                    entries.extend(serde_json::from_str::<Entry>(&line?));
                }
            }
        }
        Ok(Self { entries, file: Some(file) })
    }

    pub(crate) fn has(&self, workload: &str, configuration: Configuration, round: u32) -> bool {
        let configuration = configuration.to_string();
        let is_it = |e: &Entry| e.workload == workload && e.configuration == configuration && e.round == round;
        self.entries.iter().any(is_it)
    }

    pub(crate) fn add(&mut self, entry: Entry) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", serde_json::to_string(&entry)?)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The runs of a workload in a configuration.
    pub(crate) fn of<'a>(&'a self, workload: &'a str, configuration: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| e.workload == workload && e.configuration == configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_phase_and_other_changes_do_not_count() {
        let ms = |ms: u64| ms * 1_000_000;
        let switch = |at| (ms(at), Action::SwitchWait);
        let changes = [switch(50), switch(130), (ms(190), Action::Grow), switch(220), switch(240), switch(310)];
        let phases = Phases::of(&changes, ms(100));
        assert_eq!(phases, Phases { settled_ms: Some(30.0), switches_max: 2 });
        assert_eq!(Phases::of(&[], ms(100)), Phases { settled_ms: None, switches_max: 0 });
    }
}
