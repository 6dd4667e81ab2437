//! `tidegate ls` and `tidegate clean`: what is in the host directory, and what of it is stale.

use clap::Args;
use comfy_table::CellAlignment;
use serde_json::json;
use tidegate::{Entry, EntryState, Host};

use crate::failure::Failure;
use crate::table;

/// `tidegate ls`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Prints JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// `tidegate clean`.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Removes what is listed; without it nothing is changed
    #[arg(long)]
    yes: bool,
}

pub(crate) fn list(command: &List) -> Result<(), Failure> {
    let host = Host::of_user()?;
    let entries = host.entries()?;
    if command.json {
        let entries: Vec<_> = entries.iter().map(as_json).collect();
        println!("{}", json!({ "version": 1, "directory": host.path(), "entries": entries }));
        return Ok(());
    }
    if entries.is_empty() {
        println!("nothing in {}", host.path().display());
        return Ok(());
    }
    let mut table = table::plain(&["NAME", "KIND", "MEMORY KIB", "PROCESSES"]);
    for Entry { name, state, .. } in &entries {
        let (kind, bytes, who) = match state {
            EntryState::Held { kind, pids, resident_bytes } => (*kind, Some(*resident_bytes), list_of(pids)),
            EntryState::Stale { pids } => ("stale", None, format!("dead: {}", list_of(pids))),
            EntryState::Foreign { why } => ("foreign", None, why.clone()),
            _ => ("unknown", None, String::new()),
        };
        table.add_row([name.clone(), kind.into(), bytes.map_or("-".into(), |b| (b / 1024).to_string()), who]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    Ok(())
}

fn list_of(pids: &[u32]) -> String {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    pids.join(", ")
}

fn as_json(Entry { name, state, file_bytes, .. }: &Entry) -> serde_json::Value {
    let mut value = match state {
        EntryState::Held { kind, pids, resident_bytes } => {
            json!({ "state": "held", "kind": kind, "pids": pids, "resident_bytes": resident_bytes })
        }
        EntryState::Stale { pids } => json!({ "state": "stale", "pids": pids }),
        EntryState::Foreign { why } => json!({ "state": "foreign", "why": why }),
        _ => json!({ "state": "unknown" }),
    };
    value["name"] = json!(name);
    value["file_bytes"] = json!(file_bytes);
    value
}

pub(crate) fn clean(command: &Clean) -> Result<(), Failure> {
    let host = Host::of_user()?;
    let mut bytes = 0;
    let mut names = 0;
    for Entry { name, state, file_bytes, .. } in host.entries()? {
        match state {
            EntryState::Stale { pids } => {
                if command.yes && !host.remove_stale(&name)? {
                    println!("kept {name}: it is held again");
                    continue;
                }
                let done = if command.yes { "removed" } else { "would remove" };
                println!("{done} {name}: every process that held it is dead ({})", list_of(&pids));
                (bytes, names) = (bytes + file_bytes, names + 1);
            }
            EntryState::Foreign { why } => println!("left alone {name}: {why}"),
            _ => {}
        }
    }
    let done = if command.yes { "removed" } else { "stale" };
    let noun = if names == 1 { "name" } else { "names" };
    println!("{names} {noun} {done}, {} KiB, in {}", bytes / 1024, host.path().display());
    if names > 0 && !command.yes {
        println!("nothing was changed: `tidegate clean --yes` removes them");
    }
    Ok(())
}
