//! Every decision, with what was seen, predicted and done, and what then happened.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::control::explain::bytes;
use crate::control::forecast_model::InCharge;
use crate::control::forecaster::Prediction;
use crate::control::plan::Plan;
use crate::control::reasons::{Action, Blocker, Reason};
use crate::control::situation::{Candidate, Situation};

/// Decisions kept; older ones are dropped, and counted.
const DECISIONS_MAX: usize = 4096;

/// A feature's share in a forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The feature.
    pub feature: Cow<'static, str>,
    /// Its value as the model saw it, log1p scale.
    pub value: f64,
    /// How far it moved the forecast from its mean, log1p scale.
    pub moved: f64,
}

/// What happened after a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Nanoseconds that were looked at.
    pub span_ns: u64,
    /// Largest backlog of all lanes in that time, bytes.
    pub peak_backlog_bytes: u64,
    /// Forecast less what came, bytes; negative where too little was forecast.
    pub forecast_error_bytes: i64,
    /// Waits of senders for room in that time.
    pub stalls: u64,
    /// Whether what came would have overflowed the plan before the decision.
    pub would_have_overflowed: bool,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Counts from 1.
    pub id: u64,
    /// When, nanoseconds on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// Name of the channel.
    pub channel: String,
    /// Rings entered by all senders until then.
    pub epoch: u64,
    /// What was seen.
    pub situation: Situation,
    /// What was predicted.
    pub prediction: Prediction,
    /// The features that moved the forecast most.
    pub contributions: Vec<Contribution>,
    /// What was weighed, cheapest first.
    pub candidates: Vec<Candidate>,
    /// What was done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The same as a sentence.
    pub sentence: String,
    /// The plan decided for.
    pub plan: Plan,
    /// What kept it from being put in force, if anything.
    pub blocker: Option<Blocker>,
    /// How long putting it in force took, nanoseconds.
    pub duration_ns: u64,
    /// What then happened, once the horizon has passed.
    pub outcome: Option<Outcome>,
}

/// The decisions of one controller, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    decisions: VecDeque<Decision>,
    entered: u64,
    counts: BTreeMap<(Action, Reason), u64>,
    forecasting: InCharge,
    pub(crate) file_error: Option<String>,
}

impl Journal {
    pub(crate) fn file_failed(&mut self, written: Option<std::io::Result<()>>) {
        if let Some(Err(error)) = written {
            self.file_error = Some(error.to_string());
        }
    }

    /// Why decisions are not written to a file any more, if they were to be.
    pub fn file_error(&self) -> Option<&str> {
        self.file_error.as_deref()
    }

    pub(crate) fn in_charge(&mut self, forecasting: InCharge) {
        self.forecasting = forecasting;
    }

    /// What forecasts, and why: a model that was refused stands here with the reason. [`Prediction::source`] tells for each
    /// decision whether it was asked.
    pub fn forecasting(&self) -> &InCharge {
        &self.forecasting
    }

    /// Enters a decision; its id is set here and returned.
    pub(crate) fn enter(&mut self, mut decision: Decision) -> u64 {
        self.entered += 1;
        *self.counts.entry((decision.action, decision.reason)).or_default() += 1;
        decision.id = self.entered;
        if self.decisions.len() == DECISIONS_MAX {
            self.decisions.pop_front();
        }
        self.decisions.push_back(decision);
        self.entered
    }

    /// Sets the outcome of the decision with that id, and yields it, if it is kept still.
    pub(crate) fn set_outcome(&mut self, id: u64, outcome: Outcome) -> Option<&Decision> {
        let at = self.decisions.binary_search_by_key(&id, |decision| decision.id).ok()?;
        let decision = self.decisions.get_mut(at)?;
        decision.outcome = Some(outcome);
        Some(decision)
    }

    /// The decisions kept, oldest first.
    pub fn decisions(&self) -> impl DoubleEndedIterator<Item = &Decision> + ExactSizeIterator {
        self.decisions.iter()
    }

    /// The decision with that id, if it is kept still.
    pub fn decision(&self, id: u64) -> Option<&Decision> {
        let at = self.decisions.binary_search_by_key(&id, |decision| decision.id).ok()?;
        self.decisions.get(at)
    }

    /// Decisions for `action` entered so far, with those dropped since.
    pub fn count(&self, action: Action) -> u64 {
        self.counts().filter(|((counted, _), _)| *counted == action).map(|(_, count)| count).sum()
    }

    /// Decisions entered so far by action and reason, with those dropped since.
    pub fn counts(&self) -> impl Iterator<Item = ((Action, Reason), u64)> {
        self.counts.iter().map(|(of, count)| (*of, *count))
    }

    /// Decisions entered so far, with those dropped since.
    pub fn entered(&self) -> u64 {
        self.entered
    }
}

/// A decision in words: what was wanted, and what kept it from being done, if anything.
pub(crate) fn sentence(
    wanted: Action,
    reason: Reason,
    blocker: Option<Blocker>,
    (before, after): (Plan, Plan),
    forecast_bytes: u64,
) -> String {
    let forecast = bytes(forecast_bytes as f64);
    let why = match reason {
        Reason::PlanFits => "the plan in force is the cheapest".to_owned(),
        Reason::OverflowNow => "a sender waits for room".to_owned(),
        Reason::OverflowForecast => format!("up to {forecast} in the fullest ring are forecast"),
        Reason::SlackProven => {
            format!("no more than {forecast} is believed to come into the fullest ring, and less has sufficed for long")
        }
        Reason::GrowthFutile => {
            "larger rings have been as full, since the receiver is slower than who sends".to_owned()
        }
        Reason::Fixed => "it is the only plan of the policy".to_owned(),
        Reason::ShortGaps => "the receiver's waits are short, and spinning beats being woken".to_owned(),
        Reason::LongGaps => "the receiver's waits are long, and sleeping beats spinning".to_owned(),
    };
    let change = |done: bool| {
        let way = |did: &'static str, would: &'static str| if done { did } else { would };
        let [from, to] = [before, after].map(|plan| bytes(plan.ring_bytes as f64));
        match wanted {
            Action::Hold => "Held the plan".to_owned(),
            Action::Grow => format!("{} the rings from {from} to {to}", way("Grew", "grow")),
            Action::Shrink => format!("{} the rings from {from} to {to}", way("Shrank", "shrink")),
            Action::SwitchWait => {
                format!("{} waiting from {} to {}", way("Switched", "switch"), before.wait, after.wait)
            }
        }
    };
    match blocker {
        None => format!("{}: {why}.", change(true)),
        Some(blocker) if wanted == Action::Hold => format!("Held the plan, although {why}: {}.", blocker.sentence()),
        Some(blocker) => format!("Would {}, since {why}, but did not: {}.", change(false), blocker.sentence()),
    }
}
