//! What an endpoint shows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::channel::{Channel, ChannelView};
use crate::control::{Budget, ControllerState, Decision};
use crate::inspect::channels::Channels;

/// Channels that were let go and are shown still.
const GONE_MAX: usize = 16;
/// How long those are.
const GONE_SHOWN: Duration = Duration::from_secs(600);
/// Decisions of controllers elsewhere that are kept.
const ELSEWHERE_MAX: usize = 4096;

/// For how long what was told to one listener is told to others.
const TOLD_AGAIN: Duration = Duration::from_millis(500);

/// The channels that an endpoint shows, which may change while it does. Clones are handles on the same.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    inner: Arc<Mutex<Inner>>,
    told: Arc<Mutex<Option<Text>>>,
}

/// All channels as JSON, and when that was.
#[derive(Debug)]
struct Text {
    at: Instant,
    json: Arc<str>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<String, Entry>,
    budget: Option<Arc<Budget>>,
    elsewhere: VecDeque<Noted>,
    notes: u64,
}

#[derive(Debug)]
struct Entry {
    state: Arc<ControllerState>,
    found: Found,
}

#[derive(Debug, Clone)]
enum Found {
    Here(Channel),
    Gone { last: Box<ChannelView>, since: Instant },
}

/// A decision of a controller elsewhere, and the number of the note that told the most of it.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    pub(crate) note: u64,
    pub(crate) decision: Decision,
}

/// A channel as it is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) state: Arc<ControllerState>,
    pub(crate) view: ChannelView,
    pub(crate) presence: Presence,
    /// Process that tunes it.
    pub(crate) steered_by: Option<u32>,
}

/// Who is at a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Presence {
    /// An endpoint of a living process.
    Live,
    /// Nobody.
    Idle,
    /// It was let go.
    Gone,
}

impl Registry {
    /// Shows `channel` and what its controller sees and does, by the name that the controller has for it. Holds the channel
    /// until [`Registry::let_go`].
    pub fn add(&self, channel: &Channel, state: Arc<ControllerState>) {
        let entry = Entry { found: Found::Here(channel.clone()), state };
        let replaced = self.inner.lock().entries.insert(entry.state.name.clone(), entry);
        // Out of the lock, as the last handle unmaps the segment.
        drop(replaced);
    }

    /// Holds the channel no more. Its last numbers are shown for ten minutes.
    pub fn let_go(&self, name: &str) {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.entries.get_mut(name) else { return };
        let Found::Here(channel) = &entry.found else { return };
        let gone = Found::Gone { last: Box::new(without_endpoints(channel.view())), since: Instant::now() };
        let held = std::mem::replace(&mut entry.found, gone);
        inner.forget_old();
        drop(inner);
        drop(held);
    }

    /// Shows a budget also while no channel has any of it.
    pub fn set_budget(&self, budget: Arc<Budget>) {
        self.inner.lock().budget = Some(budget);
    }

    /// The budget that is shown: that which was set, or that of a channel.
    pub(crate) fn budget(&self) -> Option<Arc<Budget>> {
        let inner = self.inner.lock();
        let of_a_channel = || inner.entries.values().find_map(|entry| entry.state.budget.clone());
        inner.budget.clone().or_else(of_a_channel)
    }

    /// Enters a decision of a controller in another process, or tells more of one that was entered.
    pub fn note(&self, decision: Decision) {
        let mut inner = self.inner.lock();
        inner.notes += 1;
        let noted = Noted { note: inner.notes, decision };
        let is_same = |other: &Noted| {
            let identity = |noted: &Noted| (noted.decision.id, noted.decision.at_ns);
            identity(other) == identity(&noted) && other.decision.channel == noted.decision.channel
        };
        if let Some(at) = inner.elsewhere.iter().rposition(is_same) {
            inner.elsewhere[at] = noted;
            return;
        }
        if inner.elsewhere.len() == ELSEWHERE_MAX {
            inner.elsewhere.pop_front();
        }
        inner.elsewhere.push_back(noted);
    }

    /// Every channel as it is now, in numbers.
    pub fn channels(&self) -> Channels {
        let noted = self.elsewhere(|noted| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            noted.iter().for_each(|n| *counts.entry(n.decision.channel.clone()).or_default() += 1);
            counts
        });
        Channels::of(&self.look(), self.budget().as_deref(), &noted)
    }

    /// The same as JSON, as it was a moment ago: many listen, and it is made once for all.
    pub(crate) fn channels_text(&self) -> Arc<str> {
        let mut told = self.told.lock();
        if let Some(text) = told.as_ref().filter(|text| text.at.elapsed() < TOLD_AGAIN) {
            return Arc::clone(&text.json);
        }
        let json: Arc<str> = serde_json::to_string(&self.channels()).unwrap_or_default().into();
        *told = Some(Text { at: Instant::now(), json: Arc::clone(&json) });
        json
    }

    /// Calls `look` with the decisions of controllers elsewhere, oldest first.
    pub(crate) fn elsewhere<R>(&self, look: impl FnOnce(&VecDeque<Noted>) -> R) -> R {
        look(&self.inner.lock().elsewhere)
    }

    /// Controllers in order of their channels' names.
    pub(crate) fn states(&self) -> Vec<Arc<ControllerState>> {
        self.inner.lock().entries.values().map(|entry| Arc::clone(&entry.state)).collect()
    }

    /// The controller of the channel of that name.
    pub(crate) fn state(&self, name: &str) -> Option<Arc<ControllerState>> {
        self.inner.lock().entries.get(name).map(|entry| Arc::clone(&entry.state))
    }

    /// Every channel, as it is now.
    pub(crate) fn look(&self) -> Vec<Shown> {
        let mut inner = self.inner.lock();
        inner.forget_old();
        let found: Vec<_> = inner.entries.values().map(|e| (Arc::clone(&e.state), e.found.clone())).collect();
        drop(inner);
        let look = |(state, found)| match found {
            Found::Here(channel) => Shown {
                state,
                view: Channel::view(&channel),
                presence: Presence::of(&channel),
                steered_by: channel.steered_by(),
            },
            Found::Gone { last, .. } => Shown { state, view: *last, presence: Presence::Gone, steered_by: None },
        };
        found.into_iter().map(look).collect()
    }
}

impl Presence {
    fn of(channel: &Channel) -> Self {
        if channel.is_attended() { Self::Live } else { Self::Idle }
    }

    /// Its name in JSON and on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Gone => "gone",
        }
    }
}

/// What was seen last, of which nobody is there any more.
fn without_endpoints(mut view: ChannelView) -> ChannelView {
    view.receiver_pids.clear();
    view.receiver_waits.waiting = 0;
    for lane in &mut view.lanes {
        lane.sender_pid = None;
        lane.sender_waits.waiting = 0;
    }
    view
}

impl Inner {
    /// Forgets channels that went long ago, and the oldest of too many.
    fn forget_old(&mut self) {
        let mut gone: Vec<(Instant, String)> =
            self.entries.iter().filter_map(|(name, e)| Some((e.gone_since()?, name.clone()))).collect();
        gone.sort();
        let too_many = gone.len().saturating_sub(GONE_MAX);
        for (at, (since, name)) in gone.into_iter().enumerate() {
            if at < too_many || since.elapsed() > GONE_SHOWN {
                self.entries.remove(&name);
            }
        }
    }
}

impl Entry {
    fn gone_since(&self) -> Option<Instant> {
        match self.found {
            Found::Here(_) => None,
            Found::Gone { since, .. } => Some(since),
        }
    }
}
