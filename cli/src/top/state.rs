//! What is on the screen: channels, their rates, their course.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use tidegate::control::Decision;
use tidegate::inspect::{ChannelRow, Channels, Presence};

/// Rates kept of a channel: a minute of half seconds.
const COURSE_MAX: usize = 120;
/// Decisions kept.
const DECISIONS_MAX: usize = 100;

/// A key that does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    Sort,
}

/// In what order channels stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Name,
    Rate,
    Backlog,
}

/// A channel and what it did between the last two looks.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) row: ChannelRow,
    pub(crate) messages_s: f64,
    pub(crate) bytes_s: f64,
    pub(crate) waits_s: f64,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) directory: PathBuf,
    pub(crate) is_coloured: bool,
    pub(crate) order: Order,
    pub(crate) lines: Vec<Line>,
    pub(crate) decisions: VecDeque<Decision>,
    selected: Option<String>,
    courses: BTreeMap<String, VecDeque<u64>>,
    before: Option<Channels>,
}

impl Top {
    pub(crate) fn new(directory: &Path, is_coloured: bool) -> Self {
        Self {
            directory: directory.into(),
            is_coloured,
            order: Order::Name,
            lines: Vec::new(),
            decisions: VecDeque::new(),
            selected: None,
            courses: BTreeMap::new(),
            before: None,
        }
    }

    /// Takes a look at all channels in.
    pub(crate) fn take(&mut self, now: Channels) {
        let before = self.before.take();
        let seconds = before.as_ref().map_or(0.0, |before| (now.monotonic_ms - before.monotonic_ms) / 1e3);
        let past = |name: &str| before.as_ref()?.channels.iter().find(|row| row.name == name);
        self.lines = now.channels.iter().map(|row| Line::of(row, past(&row.name), seconds)).collect();
        for line in &self.lines {
            let course = self.courses.entry(line.row.name.clone()).or_default();
            course.push_back(line.messages_s as u64);
            if course.len() > COURSE_MAX {
                course.pop_front();
            }
        }
        self.courses.retain(|name, _| now.channels.iter().any(|row| row.name == *name));
        self.sort();
        self.before = Some(now);
    }

    /// Takes a decision in, or what came of it.
    pub(crate) fn decided(&mut self, decision: Decision) {
        let is_same =
            |d: &&mut Decision| (d.id, d.at_ns) == (decision.id, decision.at_ns) && d.channel == decision.channel;
        if let Some(known) = self.decisions.iter_mut().find(is_same) {
            *known = decision;
            return;
        }
        self.decisions.push_front(decision);
        self.decisions.truncate(DECISIONS_MAX);
    }

    pub(crate) fn press(&mut self, key: Key) {
        let last = self.lines.len().saturating_sub(1);
        match key {
            Key::Down => self.select((self.selected() + 1).min(last)),
            Key::Up => self.select(self.selected().saturating_sub(1)),
            Key::Sort => {
                self.order = match self.order {
                    Order::Name => Order::Rate,
                    Order::Rate => Order::Backlog,
                    Order::Backlog => Order::Name,
                };
                self.sort();
            }
        }
    }

    /// Place of the chosen channel.
    pub(crate) fn selected(&self) -> usize {
        let chosen = self.selected.as_deref();
        self.lines.iter().position(|line| Some(line.row.name.as_str()) == chosen).unwrap_or(0)
    }

    /// Messages a second of a channel, look by look.
    pub(crate) fn course(&self, name: &str) -> Vec<u64> {
        self.courses.get(name).map(|course| course.iter().copied().collect()).unwrap_or_default()
    }

    fn select(&mut self, at: usize) {
        self.selected = self.lines.get(at).map(|line| line.row.name.clone());
    }

    fn sort(&mut self) {
        match self.order {
            Order::Name => self.lines.sort_by(|a, b| a.row.name.cmp(&b.row.name)),
            Order::Rate => self.lines.sort_by(|a, b| b.messages_s.total_cmp(&a.messages_s)),
            Order::Backlog => self.lines.sort_by_key(|line| std::cmp::Reverse(line.row.backlog_bytes)),
        }
    }
}

/// A ring that is filled further than this is shown as full.
const FULL_PART: f64 = 0.8;

impl Line {
    /// Who is at it, or that its senders wait for room.
    pub(crate) fn state(&self) -> &'static str {
        match self.row.state {
            Presence::Live if self.row.sender_waits.waiting > 0 => "blocked",
            other => other.name(),
        }
    }

    /// Whether somebody should look at it.
    pub(crate) fn is_held_up(&self) -> bool {
        let is_full = self.row.backlog_bytes as f64 > self.row.capacity_bytes as f64 * FULL_PART;
        self.row.sender_waits.waiting > 0 || (is_full && self.row.capacity_bytes > 0)
    }

    fn of(row: &ChannelRow, before: Option<&ChannelRow>, seconds: f64) -> Self {
        let rate = |of: fn(&ChannelRow) -> u64| match before {
            Some(before) if seconds > 0.0 => of(row).saturating_sub(of(before)) as f64 / seconds,
            _ => 0.0,
        };
        Self {
            messages_s: rate(|row| row.sent_messages),
            bytes_s: rate(|row| row.sent_bytes),
            waits_s: rate(|row| row.sender_waits.waits),
            row: row.clone(),
        }
    }
}
