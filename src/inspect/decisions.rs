//! `/decisions`, `/explain` and `/models`: what controllers did, why, and how well they foresaw.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::control::{Action, Calibration, Decision, ForecastSource, Mode, REALISED_BINS, Reason};
use crate::inspect::registry::Registry;

/// Decisions in one answer at most.
const LIMIT_MAX: usize = 1000;
/// And unless the request says how many.
const LIMIT: usize = 100;

/// Which decisions to list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Filter {
    pub(crate) channel: Option<String>,
    /// `changes` for all but `hold`.
    action: Option<String>,
    reason: Option<Reason>,
    /// Not before that, milliseconds since the Unix epoch.
    since_ms: Option<u64>,
    /// Not after that.
    until_ms: Option<u64>,
    /// Only those that stand behind this one in the list.
    before: Option<String>,
    limit: Option<usize>,
}

/// Decisions, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    version: u32,
    pub(crate) decisions: Vec<Decision>,
    /// The `before` of the request for those that follow, if any do.
    next: Option<String>,
}

/// So many places are cut down to those that are wanted.
const SORTED_AT: usize = 16 * LIMIT_MAX;

/// A decision's place in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at_unix_ms: u64,
    at_ns: u64,
    id: u64,
    channel: String,
}

impl Place {
    fn of(decision: &Decision) -> Self {
        Self {
            at_unix_ms: decision.at_unix_ms,
            at_ns: decision.at_ns,
            id: decision.id,
            channel: decision.channel.clone(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.at_unix_ms, self.at_ns, self.id, self.channel)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let [at_unix_ms, at_ns, id, channel] = text.splitn(4, '.').collect::<Vec<_>>().try_into().ok()?;
            let [at_unix_ms, at_ns, id] = [at_unix_ms, at_ns, id].map(|number| number.parse().ok());
            Some(Self { at_unix_ms: at_unix_ms?, at_ns: at_ns?, id: id?, channel: channel.into() })
        };
        parse().ok_or_else(|| format!("`before` is the `next` of an earlier answer, and not `{text}`"))
    }
}

/// Lists the decisions that pass.
///
/// # Errors
/// What the request asks for makes no sense.
pub(crate) fn list(registry: &Registry, filter: &Filter) -> Result<Listed, String> {
    let before: Option<Place> = filter.before.as_deref().map(str::parse).transpose()?;
    let limit = filter.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let actions = filter.actions()?;
    let passes = |decision: &&Decision| {
        actions.contains(&decision.action)
            && filter.passes(decision)
            && before.as_ref().is_none_or(|b| Place::of(decision) < *b)
    };
    // Those of controllers elsewhere stand in the order in which they were noted.
    let mut places: Vec<Place> =
        registry.elsewhere(|noted| noted.iter().map(|n| &n.decision).filter(passes).map(Place::of).collect());
    for state in registry.states() {
        let journal = state.journal.lock();
        // One more than is asked for, from each, tells whether there are more.
        places.extend(journal.decisions().rev().filter(passes).take(limit + 1).map(Place::of));
        drop(journal);
        if places.len() > SORTED_AT {
            keep_newest(&mut places, limit + 1);
        }
    }
    keep_newest(&mut places, limit + 1);
    let more = places.len() > limit;
    places.truncate(limit);
    let next = places.last().filter(|_| more).map(Place::to_string);
    let decisions = places.iter().filter_map(|place| at(registry, place)).collect();
    Ok(Listed { version: 1, decisions, next })
}

fn keep_newest(places: &mut Vec<Place>, most: usize) {
    places.sort_unstable_by(|one, other| other.cmp(one));
    places.truncate(most);
}

fn at(registry: &Registry, place: &Place) -> Option<Decision> {
    let is_it = |decision: &&Decision| decision.at_ns == place.at_ns && decision.id == place.id;
    let state = registry.state(&place.channel);
    let here = state.and_then(|state| state.journal.lock().decision(place.id).filter(is_it).cloned());
    here.or_else(|| elsewhere(registry, &place.channel, is_it))
}

fn elsewhere(registry: &Registry, channel: &str, is_it: impl Fn(&&Decision) -> bool) -> Option<Decision> {
    registry
        .elsewhere(|noted| noted.iter().rev().map(|n| &n.decision).find(|d| d.channel == channel && is_it(d)).cloned())
}

impl Filter {
    fn actions(&self) -> Result<Vec<Action>, String> {
        let Some(wanted) = self.action.as_deref() else { return Ok(Action::ALL.into()) };
        let is_wanted = |action: &Action| match wanted {
            "changes" => *action != Action::Hold,
            name => action.name() == name,
        };
        let actions: Vec<Action> = Action::ALL.into_iter().filter(is_wanted).collect();
        if actions.is_empty() {
            let known = Action::ALL.map(Action::name).join(", ");
            return Err(format!("`action` is {known} or changes, and not `{wanted}`"));
        }
        Ok(actions)
    }

    fn passes(&self, decision: &Decision) -> bool {
        self.channel.as_deref().is_none_or(|channel| channel == decision.channel)
            && self.reason.is_none_or(|reason| reason == decision.reason)
            && self.since_ms.is_none_or(|since_ms| decision.at_unix_ms >= since_ms)
            && self.until_ms.is_none_or(|until_ms| decision.at_unix_ms <= until_ms)
    }
}

/// Which decision to tell.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    pub(crate) channel: String,
    pub(crate) id: u64,
    /// When it was made, milliseconds since the Unix epoch: numbers begin anew with each controller. Without it the last of that
    /// number.
    at_unix_ms: Option<u64>,
}

/// A decision, told.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    version: u32,
    explanation: String,
    decision: Decision,
}

pub(crate) fn tell(registry: &Registry, which: &Which) -> Option<Told> {
    let is_it = |decision: &&Decision| {
        decision.id == which.id && which.at_unix_ms.is_none_or(|at_unix_ms| decision.at_unix_ms == at_unix_ms)
    };
    let state = registry.state(&which.channel);
    let here = state.and_then(|state| state.journal.lock().decision(which.id).filter(is_it).cloned());
    let found = here.or_else(|| elsewhere(registry, &which.channel, is_it));
    found.map(|decision| Told { version: 1, explanation: decision.explanation(), decision })
}

/// What forecasts each channel, and how it did.
#[derive(Debug, Serialize)]
pub(crate) struct Models {
    version: u32,
    models: Vec<Forecasting>,
}

#[derive(Debug, Serialize)]
struct Forecasting {
    channel: String,
    forecast: String,
    reason: String,
    tau: f64,
    judged: u64,
    within: u64,
    realised: Vec<RealisedBin>,
    /// Forecasts by what made them.
    forecasts: BTreeMap<&'static str, u64>,
    /// Whether they are those of whoever watches from here, and not of a controller.
    only_watched: bool,
}

#[derive(Debug, Serialize)]
struct RealisedBin {
    upto: Option<f64>,
    windows: u64,
}

impl Models {
    pub(crate) fn of(registry: &Registry) -> Self {
        let of = |state: std::sync::Arc<crate::control::ControllerState>| {
            let in_charge = state.journal.lock().forecasting().clone();
            let calibration = state.calibration.lock().clone();
            Forecasting {
                channel: in_charge.channel,
                forecast: in_charge.forecast,
                reason: in_charge.reason,
                tau: calibration.tau,
                judged: calibration.judged,
                within: calibration.within,
                realised: bins(&calibration),
                forecasts: ForecastSource::ALL
                    .map(ForecastSource::name)
                    .into_iter()
                    .zip(calibration.forecasts)
                    .collect(),
                only_watched: state.mode == Mode::Off,
            }
        };
        Self { version: 1, models: registry.states().into_iter().map(of).collect() }
    }
}

fn bins(calibration: &Calibration) -> Vec<RealisedBin> {
    let upto = |bin: usize| (bin + 1 < REALISED_BINS).then(|| (bin + 1) as f64 / 10.0);
    calibration.realised.iter().enumerate().map(|(bin, &windows)| RealisedBin { upto: upto(bin), windows }).collect()
}
