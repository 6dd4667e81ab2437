//! `tidegate control`: a controller for every channel in the host directory that has none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tidegate::channel::Steered;
use tidegate::control::{Budget, Controller, ControllerOptions, Mode, Weights};
use tidegate::{Channel, EntryState, Host};

use crate::explain::check_journal;
use crate::failure::Failure;

/// Between two looks into the directory.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a channel that is new is left to who made it.
const LEFT_ALONE: Duration = Duration::from_millis(300);

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
    /// Change nothing: the journal says what would be done
    #[arg(long)]
    shadow: bool,
}

/// A channel that was met.
struct Met {
    channel: Channel,
    since: Instant,
    state: State,
}

enum State {
    /// It is controlled from here, or watched.
    Controlled { _controller: Controller },
    /// That process tunes it.
    Steered { pid: u32 },
    /// It is new: whoever made it may control it, too.
    New,
}

pub(crate) fn run(command: &Control, interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    check_journal(command.journal.as_deref())?;
    let options = ControllerOptions {
        mode: if command.shadow { Mode::Shadow } else { Mode::Active },
        weights: command.profile,
        budget: command.budget.map(|mebibytes| Arc::new(Budget::new(mebibytes << 20))),
        model: crate::models::forecast_model(command.model.as_deref())?,
        journal_file: command.journal.clone(),
        ..ControllerOptions::default()
    };
    let host = Host::of_user()?;
    let what = if command.shadow { "watches" } else { "controls" };
    println!("{what} the channels in {} that no other controller has", host.path().display());
    let mut met: BTreeMap<String, Met> = BTreeMap::new();
    while !interrupted.load(Ordering::Relaxed) {
        met.retain(|name, met| {
            let stays = met.channel.is_attended();
            if !stays && !matches!(met.state, State::New) {
                println!("{name}: nobody sends or receives any more");
            }
            stays
        });
        for name in held_by_others(&host)?.into_iter().filter(|name| !met.contains_key(name)).collect::<Vec<_>>() {
            // One that goes meanwhile is no longer there at the next look; one that nobody uses is let go again.
            if let Ok(channel) = Channel::open(&name)
                && channel.is_attended()
            {
                met.insert(name, Met { channel, since: Instant::now(), state: State::New });
            }
        }
        for (name, met) in &mut met {
            met.look(name, &options);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    println!("ends; the channels stay as they are");
    Ok(())
}

impl Met {
    /// Takes the channel if nobody has it.
    fn look(&mut self, name: &str, options: &ControllerOptions) {
        if matches!(self.state, State::Controlled { .. }) || self.since.elapsed() < LEFT_ALONE {
            return;
        }
        if options.mode == Mode::Active
            && let Err(Steered { pid }) = self.channel.try_steer()
        {
            if !matches!(self.state, State::Steered { pid: known } if known == pid) {
                println!("{name}: process {pid} tunes it");
            }
            self.state = State::Steered { pid };
            return;
        }
        let how = match self.state {
            State::Steered { pid } => format!("taken over from process {pid}"),
            _ if options.mode == Mode::Shadow => "watched".into(),
            _ => "controlled".into(),
        };
        println!("{name}: {how}");
        self.state = State::Controlled { _controller: Controller::start(&self.channel, name, options.clone()) };
    }
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
