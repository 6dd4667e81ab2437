//! `tidegate serve`: the page and the metrics of every channel in the host directory, also of those whose processes hang.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use tidegate::inspect::{Endpoint, Registry};

use crate::failure::Failure;
use crate::follow::Follower;
use crate::settings::{Flags, ServingFlags, Settings, watcher};
use crate::watch::{LOOK_EVERY, Watch};

const PATHS: &str = "\
Paths, all answered with JSON but the first two:
  /           the page
  /metrics    Prometheus' text format
  /channels   every channel: who is at it, what it holds, how it waits
  /history    the course of one: ?channel=NAME, &seconds= back, in &points=
  /decisions  newest first: ?channel=, ?action= (an action, or changes), ?reason=, ?since_ms=, ?until_ms=, ?limit=,
              ?before= with the `next` of the answer before
  /explain    one decision in words: ?channel=NAME&id=N, and &at_unix_ms= where numbers began anew
  /models     which forecast is in charge of each channel and why, and how its forecasts did
  /events     what changes, as server-sent events; the course of ?channel= among it
  /healthz    ok";

/// `tidegate serve`.
#[derive(Debug, Args)]
#[command(after_long_help = PATHS)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: ServingFlags,
    /// File that a controller writes (`ControllerOptions::journal_file`, `tidegate control --journal`): its decisions are shown,
    /// as they are made
    #[arg(long = "journal", value_name = "FILE")]
    journals: Vec<PathBuf>,
}

/// Opens the endpoint and says where it is.
pub(crate) fn listen(settings: &Settings, registry: &Registry) -> Result<Endpoint, Failure> {
    let address = settings.address()?;
    let endpoint = Endpoint::serve(&address, registry.clone()).map_err(|error| {
        Failure::Environment(format!("cannot listen on {address}: {error}; --listen names another place"))
    })?;
    eprintln!("page and metrics on {}", endpoint.address());
    Ok(endpoint)
}

pub(crate) fn run(command: &Serve, interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    let settings = Flags::from(command.flags.clone()).settings()?;
    let options = watcher(&settings)?;
    let mut followers: Vec<Follower> = command.journals.iter().map(|path| Follower::new(path)).collect();
    let registry = Registry::default();
    let mut watch = Watch::new(options, registry.clone())?;
    let _endpoint = listen(&settings, &registry)?;
    while !interrupted.load(Ordering::Relaxed) {
        watch.look(&mut |line| eprintln!("{line}"));
        for follower in &mut followers {
            follower.look(|decision| registry.note(decision))?;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
