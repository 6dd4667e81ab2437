//! `tidegate explain`: one decision of a controller, told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tidegate::control::{Blocker, Decision, JournalLines, read_journal};

use crate::failure::Failure;

/// `tidegate explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Number of the decision; without it, all that changed something, or would have (`control --shadow`), are listed, and with
    /// --json all, a line each
    id: Option<u64>,
    /// File that a controller has written (`tidegate control --journal`, `tidegate replay --journal`, `ControllerOptions::journal_file`)
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
    /// Name of the channel, where the file has several
    #[arg(long)]
    channel: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Whether a journal can be written there: a controller that cannot goes on without.
pub(crate) fn check_journal(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|e| Failure::io("write", path, &e))
}

pub(crate) fn run(command: &Explain) -> Result<(), Failure> {
    let path = &command.journal;
    let JournalLines { decisions, unreadable } = read_journal(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::InvalidData => Failure::Corrupt(format!("{}: {e}", path.display())),
        _ => Failure::io("read", path, &e),
    })?;
    if let Some(first) = unreadable.first() {
        let what =
            format!("{}: no decision in {} of its lines, first in line {first}", path.display(), unreadable.len());
        if decisions.is_empty() {
            return Err(Failure::Corrupt(format!("{what}: it is no journal")));
        }
        eprintln!("tidegate: {what}");
    }
    let is_wanted = |decision: &&Decision| command.channel.as_ref().is_none_or(|name| *name == decision.channel);
    if decisions.is_empty() {
        return Err(Failure::Usage(format!("{} has no decision yet", path.display())));
    }
    if let Some(name) = &command.channel
        && !decisions.iter().any(|decision| decision.channel == *name)
    {
        return Err(Failure::Usage(format!(
            "{} knows no channel {name}, but {}",
            path.display(),
            names(decisions.iter())
        )));
    }
    let mut decisions = decisions.iter().filter(is_wanted);
    let Some(id) = command.id else { return list(decisions, command.json) };
    let mut of_id: Vec<&Decision> = decisions.by_ref().filter(|decision| decision.id == id).collect();
    if let [first, .., last] = of_id.as_slice()
        && of_id.iter().all(|decision| decision.channel == first.channel)
    {
        eprintln!("tidegate: {} runs have a decision {id}: this is that of the last", of_id.len());
        of_id = vec![last];
    }
    match of_id.as_slice() {
        [] => Err(Failure::Usage(format!("{} has no decision {id}", path.display()))),
        [decision] if command.json => {
            print(decision);
            Ok(())
        }
        [decision] => {
            print!("{}", decision.explanation());
            Ok(())
        }
        several => {
            let names: Vec<&str> = several.iter().map(|decision| decision.channel.as_str()).collect();
            Err(Failure::Usage(format!(
                "several channels have a decision {id}: say --channel, one of {}",
                names.join(", ")
            )))
        }
    }
}

fn names<'a>(decisions: impl Iterator<Item = &'a Decision>) -> String {
    let names: BTreeSet<&str> = decisions.map(|decision| decision.channel.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn list<'a>(decisions: impl Iterator<Item = &'a Decision>, json: bool) -> Result<(), Failure> {
    for decision in decisions {
        if json {
            print(decision);
        } else if matches!(decision.blocker, None | Some(Blocker::Shadow)) {
            println!("{}\t{}\t{}", decision.id, decision.channel, decision.sentence);
        }
    }
    Ok(())
}

fn print(decision: &Decision) {
    // As `/explain` of the endpoint has it.
    println!("{}", json!({ "version": 1, "explanation": decision.explanation(), "decision": decision }));
}
