//! `/events`: what changes, as it does, as server-sent events (WHATWG HTML, "Server-sent events").

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::control::{ControllerState, Decision, HistoryPoint};
use crate::inspect::channels::Course;
use crate::inspect::clock::UnixClock;
use crate::inspect::registry::Registry;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks between two lists of all channels.
const CHANNELS_EVERY: u64 = 4;
/// Width of a point of the course.
const POINT_NS: u64 = 50_000_000;
/// Decisions without an outcome of one channel that are watched for it.
const PENDING_MAX: usize = 256;

/// Which channel's course is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    channel: Option<String>,
}

/// Who listens, and what was told already.
struct Listener {
    registry: Registry,
    channel: Option<String>,
    looks: Interval,
    looked: u64,
    told_ns: u64,
    /// By channel: the controller, the last decision told, and those told whose outcome was not known.
    told: HashMap<String, Told>,
    notes: u64,
    queue: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

struct Told {
    state: Arc<ControllerState>,
    last: u64,
    pending: VecDeque<u64>,
}

/// Tells `wanted` until the listener leaves; `place` is given back then.
pub(crate) fn stream(
    registry: Registry,
    wanted: Wanted,
    place: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listener = Listener {
        channel: wanted.channel,
        looks,
        looked: 0,
        told_ns: UnixClock::now().monotonic_ns(),
        told: HashMap::new(),
        notes: registry.elsewhere(|noted| noted.iter().map(|n| n.note).max().unwrap_or(0)),
        queue: VecDeque::new(),
        registry,
        _place: place,
    };
    // What was decided before is no news, but what comes of it.
    listener.told = listener.registry.states().iter().map(|state| (state.name.clone(), Told::all_of(state))).collect();
    let events = unfold(listener, |mut listener| async move {
        loop {
            if let Some(event) = listener.queue.pop_front() {
                return Some((Ok(event), listener));
            }
            listener.looks.tick().await;
            listener.look();
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Listener {
    fn look(&mut self) {
        if self.looked.is_multiple_of(CHANNELS_EVERY) {
            let channels = self.registry.channels_text();
            self.queue.push_back(Event::default().event("channels").data(&*channels));
        }
        self.looked += 1;
        self.look_at_course();
        self.look_at_decisions();
    }

    fn look_at_course(&mut self) {
        let Some(state) = self.channel.as_deref().and_then(|name| self.registry.state(name)) else { return };
        let history = state.history.lock();
        let Some(newest_ns) = history.newest().map(|point| point.at_ns) else { return };
        let points: Vec<HistoryPoint> = history.points_since(self.told_ns).collect();
        drop(history);
        let course = Course::of(&state.name, points, POINT_NS);
        self.told_ns = newest_ns;
        if !course.is_empty() {
            self.say("points", &course);
        }
    }

    fn look_at_decisions(&mut self) {
        let mut news: Vec<Decision> = Vec::new();
        let states = self.registry.states();
        self.told.retain(|name, _| states.iter().any(|state| state.name == *name));
        for state in states {
            let told = self.told.entry(state.name.clone()).or_insert_with(|| Told::nothing_of(&state));
            if !Arc::ptr_eq(&told.state, &state) {
                *told = Told::nothing_of(&state);
            }
            told.look(&mut news);
        }
        self.registry.elsewhere(|noted| {
            news.extend(noted.iter().filter(|n| n.note > self.notes).map(|n| n.decision.clone()));
            self.notes = noted.iter().map(|n| n.note).max().unwrap_or(self.notes);
        });
        news.iter().for_each(|decision| self.say("decision", decision));
    }

    fn say(&mut self, what: &'static str, data: &impl Serialize) {
        // None of what is told is a map with keys that are no strings, which is what can fail.
        if let Ok(event) = Event::default().event(what).json_data(data) {
            self.queue.push_back(event);
        }
    }
}

impl Told {
    fn nothing_of(state: &Arc<ControllerState>) -> Self {
        Self { state: Arc::clone(state), last: 0, pending: VecDeque::new() }
    }

    /// Knows of all decisions so far, and which of them have no outcome yet.
    fn all_of(state: &Arc<ControllerState>) -> Self {
        let journal = state.journal.lock();
        let recent = journal.decisions().rev().take(PENDING_MAX).filter(|decision| decision.outcome.is_none());
        let pending = recent.map(|decision| decision.id).collect();
        let last = journal.entered();
        drop(journal);
        Self { state: Arc::clone(state), last, pending }
    }

    /// Adds what is new, and those of which the outcome is.
    fn look(&mut self, news: &mut Vec<Decision>) {
        let journal = self.state.journal.lock();
        if journal.entered() == self.last && self.pending.is_empty() {
            return;
        }
        self.pending.retain(|id| match journal.decision(*id) {
            Some(decision) if decision.outcome.is_some() => {
                news.push(decision.clone());
                false
            }
            found => found.is_some(),
        });
        let new: Vec<&Decision> = journal.decisions().rev().take_while(|decision| decision.id > self.last).collect();
        for decision in new.into_iter().rev() {
            if decision.outcome.is_none() {
                self.pending.push_back(decision.id);
            }
            news.push(decision.clone());
        }
        while self.pending.len() > PENDING_MAX {
            self.pending.pop_front();
        }
        self.last = journal.entered();
    }
}
