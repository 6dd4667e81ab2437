//! `tidegate control`: a controller for every channel in the host directory that has none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use tidegate::control::{Budget, Controller, ControllerOptions, ForecastModel, Mode, Weights};
use tidegate::{Channel, EntryState, Host};

use crate::failure::Failure;

/// Between two looks into the directory.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `tidegate control`.
#[derive(Debug, Args)]
pub(crate) struct Control {
    /// What costs what: latency, balanced or efficient
    #[arg(long, value_name = "PROFILE", default_value = "balanced")]
    profile: Weights,
    /// Mebibytes of rings that all channels may have together
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    budget: Option<u64>,
    /// Model file, in place of the packaged one
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// File to which decisions are appended, as lines of JSON that `tidegate explain` reads
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    shadow: bool,
}

/// A channel that is looked after.
struct Controlled {
    _controller: Controller,
    _channel: Channel,
}

pub(crate) fn run(command: &Control, interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    if let Some(path) = &command.journal {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|e| Failure::io("write", path, &e))?;
    }
    let options = ControllerOptions {
        mode: if command.shadow { Mode::Shadow } else { Mode::Active },
        weights: command.profile,
        budget: command.budget.map(|mebibytes| Arc::new(Budget::new(mebibytes << 20))),
        model: command.model.clone().map_or(ForecastModel::Packaged, ForecastModel::File),
        journal_file: command.journal.clone(),
        ..ControllerOptions::default()
    };
    let host = Host::of_user()?;
    println!("controls the channels in {}", host.path().display());
    let mut controlled: BTreeMap<String, Controlled> = BTreeMap::new();
    while !interrupted.load(Ordering::Relaxed) {
        let held = held_by_others(&host)?;
        controlled.retain(|name, _| {
            let stays = held.contains(name);
            if !stays {
                println!("{name}: nobody else has it any more");
            }
            stays
        });
        for name in held {
            if controlled.contains_key(&name) {
                continue;
            }
            // One that goes meanwhile is no longer there at the next look.
            let Ok(channel) = Channel::open(&name) else { continue };
            println!("{name}: controlled");
            let controller = Controller::start(&channel, &name, options.clone());
            controlled.insert(name, Controlled { _controller: controller, _channel: channel });
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Names of channels that other processes hold.
fn held_by_others(host: &Host) -> Result<Vec<String>, Failure> {
    let own = std::process::id();
    let is_held = |state: &EntryState| match state {
        EntryState::Held { kind: "channel", pids, .. } => pids.iter().any(|pid| *pid != own),
        _ => false,
    };
    Ok(host.entries()?.into_iter().filter(|entry| is_held(&entry.state)).map(|entry| entry.name).collect())
}
