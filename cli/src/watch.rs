//! Every channel of the host directory, as they come and go, each with a controller or a watcher.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidegate::channel::Steered;
use tidegate::control::{Controller, ControllerOptions, Mode};
use tidegate::inspect::Registry;
use tidegate::{Channel, EntryState, Host, ShmError};

use crate::failure::Failure;

/// Between two looks into the directory.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a channel that is new is left to who made it.
const LEFT_ALONE: Duration = Duration::from_millis(300);

/// The channels of a host directory.
#[derive(Debug)]
pub(crate) struct Watch {
    host: Host,
    options: ControllerOptions,
    registry: Registry,
    met: BTreeMap<String, Met>,
    /// The directory could not be read when it was last looked at.
    is_blind: bool,
}

/// A channel that was met.
#[derive(Debug)]
struct Met {
    channel: Channel,
    since: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is controlled from here, or watched.
    Controlled { _controller: Controller },
    /// That process tunes it.
    Steered { pid: u32 },
    /// It is new: whoever made it may control it, too.
    New,
}

impl Watch {
    /// Controllers get `options`; what they see and do shows in `registry`.
    pub(crate) fn new(options: ControllerOptions, registry: Registry) -> Result<Self, Failure> {
        Ok(Self { host: Host::of_user()?, options, registry, met: BTreeMap::new(), is_blind: false })
    }

    /// The directory.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Looks who came and went; tells `say` of it.
    pub(crate) fn look(&mut self, say: &mut dyn FnMut(&str)) {
        let held = match self.held_by_others() {
            Ok(held) => held,
            Err(error) => {
                // What is held stays in sight, and others may mend it.
                if !std::mem::replace(&mut self.is_blind, true) {
                    say(&format!("{}: {error}; looks again", self.host.path().display()));
                }
                return;
            }
        };
        self.is_blind = false;
        let registry = &self.registry;
        self.met.retain(|name, met| {
            // A channel is not kept alive from here. Who looks lets go when all have left, who controls when nobody sends or receives.
            let stays = held.contains(name) && (met.channel.is_attended() || self.options.mode == Mode::Off);
            if !stays && !matches!(met.state, State::New) {
                say(&format!("{name}: nobody sends or receives any more"));
                registry.let_go(name);
            }
            stays
        });
        for name in held {
            // One that goes meanwhile is no longer there at the next look; one that nobody uses is let go again.
            if !self.met.contains_key(&name)
                && let Ok(channel) = Channel::open(&name)
                && (channel.is_attended() || self.options.mode == Mode::Off)
            {
                self.met.insert(name, Met { channel, since: Instant::now(), state: State::New });
            }
        }
        for (name, met) in &mut self.met {
            met.look(name, &self.options, &self.registry, say);
        }
    }

    /// Names of channels that other processes hold.
    fn held_by_others(&self) -> Result<Vec<String>, ShmError> {
        let own = std::process::id();
        let is_held = |state: &EntryState| match state {
            EntryState::Held { kind: "channel", pids, .. } => pids.iter().any(|pid| *pid != own),
            _ => false,
        };
        Ok(self.host.entries()?.into_iter().filter(|entry| is_held(&entry.state)).map(|entry| entry.name).collect())
    }
}

impl Met {
    /// Takes the channel if nobody has it, or only watches.
    fn look(&mut self, name: &str, options: &ControllerOptions, registry: &Registry, say: &mut dyn FnMut(&str)) {
        let only_looks = options.mode == Mode::Off;
        if matches!(self.state, State::Controlled { .. }) || (!only_looks && self.since.elapsed() < LEFT_ALONE) {
            return;
        }
        if options.mode == Mode::Active
            && let Err(Steered { pid }) = self.channel.try_steer()
        {
            if !matches!(self.state, State::Steered { pid: known } if known == pid) {
                say(&format!("{name}: process {pid} tunes it"));
            }
            self.state = State::Steered { pid };
            return;
        }
        let how = match self.state {
            State::Steered { pid } => format!("taken over from process {pid}"),
            _ if options.mode == Mode::Active => "controlled".into(),
            _ => "watched".into(),
        };
        say(&format!("{name}: {how}"));
        let controller = Controller::start(&self.channel, name, options.clone());
        registry.add(&self.channel, controller.state());
        self.state = State::Controlled { _controller: controller };
    }
}
