//! The controller of one channel: an agent that takes one duty cycle a call, and the thread that calls it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::channel::{Channel, ResizeError};
use crate::control::budget::Share;
use crate::control::decide::{HEADROOM, growth_rent_us, ring_bytes_wanted};
use crate::control::driver::Driven;
use crate::control::floor::Floor;
use crate::control::forecaster::{ForecastSource, Forecaster, Prediction};
use crate::control::history::HistoryPoint;
use crate::control::journal::{Decision, Outcome, sentence};
use crate::control::journal_file::JournalFile;
use crate::control::meters::Meters;
use crate::control::options::{ControllerOptions, ControllerState, Mode};
use crate::control::overflow::{is_overflowing, overflow_ticks, stalled_ns};
use crate::control::pace::{IDLE_INTERVAL, Pace};
use crate::control::peak::RecentPeak;
use crate::control::plan::{Bounds, Plan};
use crate::control::plant::{LivePlant, Plant};
use crate::control::reasons::{Action, Blocker, Reason};
use crate::control::rent::Credit;
use crate::control::saturation::Saturation;
use crate::control::situation::{Situation, Verdict};
use crate::control::waits::WaitCosts;
use crate::model::{TICK_NS, nominal_ticks};
use crate::prim::step;
use crate::telemetry::Sample;

/// Ticks between two looks for rings that the receiver has passed.
const RECLAIM_TICKS: u64 = 16;
/// The same, once no sender has moved for long.
const RECLAIM_SETTLED_TICKS: u64 = 1024;
/// How many ticks that is.
const SETTLED_TICKS: u64 = 4096;
/// Ticks after which larger rings are there, and smaller ones given back, if that comes at all.
const RESIZED_TICKS: u64 = 64;
/// A forecast is believed up to this multiple of the largest backlog of late.
const BELIEVED_MAX: f64 = 2.0;
/// Ticks between two looks while rings are too small and not to grow.
const STUCK_INTERVAL: u64 = 4;
/// Waits a second below which there is nothing to gain by another way to wait.
const IDLE_GAPS_S: f64 = 100.0;
/// Rings that are filled to less than this part are far from full.
const RELIEVED_PART: u64 = 4;

/// A channel's controller, until this is dropped; the channel goes on with its last plan. All controllers of a process share one
/// thread.
#[derive(Debug)]
pub struct Controller {
    state: Arc<ControllerState>,
    _driven: Driven,
}

/// The controller's work, one tick a call: [`ControlAgent::step`].
#[derive(Debug)]
pub struct ControlAgent<P = LivePlant> {
    plant: P,
    name: String,
    options: ControllerOptions,
    bounds: Bounds,
    forecaster: Forecaster,
    meters: Meters,
    state: Arc<ControllerState>,
    journal_file: JournalFile,
    plan: Plan,
    prediction: Option<Prediction>,
    waits: WaitCosts,
    saturation: Saturation,
    credit: Credit,
    share: Share,
    floor: Floor,
    /// Backlog.
    peak: RecentPeak,
    /// Arrivals in a tick.
    arrivals: RecentPeak,
    pace: Pace,
    /// Nominal ticks so far.
    tick: u64,
    reclaimed_tick: u64,
    resized_tick: u64,
    moved_tick: u64,
    switched_tick: u64,
    ticks_of_slack: u64,
    ring_bytes_sufficed: u64,
    stalls: u64,
    blocked_by: Option<Blocker>,
    /// Decisions whose horizon has not passed: id, when it has, stalls before, bytes of all rings before.
    pending: Vec<(u64, u64, u64, u64)>,
}

impl Controller {
    /// Starts controlling `channel`, which shows as `name` in the journal and the metrics.
    pub fn start(channel: &Channel, name: &str, options: ControllerOptions) -> Self {
        let tick = options.tick;
        let agent = ControlAgent::new(channel, name, options);
        Self { state: agent.state(), _driven: Driven::start(agent, tick) }
    }

    /// What it has seen and done.
    pub fn state(&self) -> Arc<ControllerState> {
        Arc::clone(&self.state)
    }
}

impl ControlAgent {
    /// An agent for `channel` that has not yet run.
    pub fn new(channel: &Channel, name: &str, options: ControllerOptions) -> Self {
        let mut plant = LivePlant::new(channel);
        if options.mode == Mode::Active {
            // Before somebody else does that looks after channels without a controller.
            let _asked_again_later = plant.may_set();
        }
        Self::of(plant, name, options)
    }
}

impl<P: Plant> ControlAgent<P> {
    /// An agent for `plant` that has not yet run.
    pub fn of(plant: P, name: &str, options: ControllerOptions) -> Self {
        let (ring_bytes_min, ring_bytes_max) = plant.ring_bytes_bounds();
        let ring_bytes_max = options.ring_bytes_max.unwrap_or(ring_bytes_max).clamp(ring_bytes_min, ring_bytes_max);
        let (model, in_charge) = options.model.load(name);
        let meters = Meters::new(name);
        meters.in_charge(model.is_some());
        let forecaster = Forecaster::new(model);
        let state = Arc::new(ControllerState::new(name, &options, forecaster.tau()));
        state.journal.lock().in_charge(in_charge);
        let mut share = Share::of(options.budget.clone());
        share.observe(plant.held_bytes(), 0);
        let journal_file = JournalFile::open(options.journal_file.as_deref());
        state.journal.lock().file_error = journal_file.as_ref().err().map(ToString::to_string);
        Self {
            bounds: Bounds { ring_bytes_min, ring_bytes_max },
            forecaster,
            meters,
            state,
            journal_file: journal_file.unwrap_or_default(),
            plan: Plan { ring_bytes: plant.ring_bytes(), wait: plant.wait_strategy() },
            prediction: None,
            waits: WaitCosts::default(),
            saturation: Saturation::default(),
            credit: Credit::default(),
            share,
            floor: Floor::default(),
            peak: RecentPeak::default(),
            arrivals: RecentPeak::default(),
            pace: Pace::default(),
            tick: 0,
            reclaimed_tick: 0,
            resized_tick: 0,
            moved_tick: 0,
            switched_tick: 0,
            ticks_of_slack: 0,
            ring_bytes_sufficed: 0,
            stalls: 0,
            blocked_by: None,
            pending: Vec::new(),
            plant,
            name: name.into(),
            options,
        }
    }

    /// What others may look at.
    pub fn state(&self) -> Arc<ControllerState> {
        Arc::clone(&self.state)
    }

    /// What it controls.
    pub fn plant(&mut self) -> &mut P {
        &mut self.plant
    }

    /// What it controlled.
    pub fn into_plant(self) -> P {
        self.plant
    }

    /// One duty cycle: samples, forecasts, decides, applies. Returns the number of changes put in force. The next is due after
    /// [`ControlAgent::ticks_to_next`].
    pub fn step(&mut self) -> usize {
        let sample = self.plant.sample();
        let ticks = nominal_ticks(&sample);
        self.tick += ticks;
        self.stalls = self.stalls.wrapping_add(sample.stalls);
        let (times, endpoints) = (self.plant.wait_times(), sample.senders as usize + 1);
        self.waits.observe((&sample, &times), self.options.weights, (endpoints, crate::channel::cpus()));
        self.credit.observe(stalled_ns(&sample), ticks);
        self.observe_share(&sample);
        let relieved = sample.backlog_bytes_max.saturating_mul(RELIEVED_PART) < self.plant.ring_bytes();
        self.saturation.observe(overflow_ticks(&sample, ticks), relieved, ticks);
        if is_overflowing(&sample) && !self.saturation.is_barred() {
            self.floor.overflowed(self.plant.ring_bytes(), self.tick);
        }
        self.peak.observe(sample.backlog_bytes_most, ticks);
        self.arrivals.observe(sample.arrived_bytes / ticks, ticks);
        self.prediction = self.forecaster.observe(&sample);
        self.plan = Plan { ring_bytes: self.plant.ring_bytes(), wait: sample.strategy };
        self.record(&sample);
        self.settle(&sample);
        if sample.epochs > 0 {
            self.moved_tick = self.tick;
        }
        let is_moving = self.tick - self.moved_tick.max(self.resized_tick) <= SETTLED_TICKS;
        let reclaim_ticks = if is_moving { RECLAIM_TICKS } else { RECLAIM_SETTLED_TICKS };
        let is_due = self.tick - self.reclaimed_tick >= reclaim_ticks;
        // Who only looks leaves it to those who act.
        if is_due && self.options.mode == Mode::Active && self.plant.may_set() {
            self.reclaimed_tick = self.tick;
            // Memory that cannot be given back now is tried again; it is only memory.
            let _tried_again_later = self.plant.reclaim();
        }
        let mut changes = 0;
        if let Some(prediction) = self.prediction.filter(|_| self.options.mode != Mode::Off) {
            let mut situation = self.situation(&sample, prediction);
            self.learn_slack(ring_bytes_wanted(&situation), ticks);
            situation.ticks_of_slack = self.ticks_of_slack;
            situation.ring_bytes_sufficed = self.ring_bytes_sufficed;
            let verdict = self.options.policy.decide(&situation);
            step("decision.made");
            changes = self.act(&sample, situation, prediction, verdict);
            if self.blocked_by == Some(Blocker::Budget) {
                // How to wait is another matter.
                let without = self.options.policy.decide(&Situation { growth_barred: true, ..situation });
                if without.action == Action::SwitchWait {
                    changes += self.act(&sample, situation, prediction, without);
                }
            }
        }
        let at_peace = changes == 0 && (!is_overflowing(&sample) || self.is_stuck());
        self.pace.observe(at_peace, self.ticks_to_full(&sample), self.is_nearly_idle(), ticks);
        changes
    }

    /// In how many ticks the rings may be full, if what has come lately comes again and nothing is received. What they have held
    /// lately with room to spare they will hold again.
    fn ticks_to_full(&self, sample: &Sample) -> u64 {
        if self.peak.bytes() as f64 * HEADROOM <= self.plan.ring_bytes as f64 {
            return u64::MAX;
        }
        if self.is_stuck() {
            return STUCK_INTERVAL;
        }
        self.plan.ring_bytes.saturating_sub(sample.backlog_bytes_max) / self.arrivals.bytes().max(1)
    }

    /// Whether larger rings are refused for a reason that lasts.
    fn is_stuck(&self) -> bool {
        matches!(self.blocked_by, Some(Blocker::Futile | Blocker::Rent | Blocker::Budget))
    }

    /// Whether so little goes on that a look in a long while will do.
    fn is_nearly_idle(&self) -> bool {
        let in_a_while = self.arrivals.bytes().saturating_mul(IDLE_INTERVAL * RELIEVED_PART);
        in_a_while < self.plan.ring_bytes && self.waits.gaps_s < IDLE_GAPS_S
    }

    /// Ticks of [`ControllerOptions::tick`] to the next duty cycle: more than one while the channel is at peace.
    pub fn ticks_to_next(&self) -> u32 {
        let wanted_ns = self.pace.interval().saturating_mul(TICK_NS);
        let ticks = wanted_ns / (self.options.tick.as_nanos() as u64).max(1);
        ticks.clamp(1, u32::MAX.into()) as u32
    }

    fn learn_slack(&mut self, wanted: u64, ticks: u64) {
        if wanted < self.plan.ring_bytes {
            self.ticks_of_slack += ticks;
            self.ring_bytes_sufficed = self.ring_bytes_sufficed.max(wanted);
        } else {
            self.forget_slack();
        }
    }

    fn forget_slack(&mut self) {
        self.ticks_of_slack = 0;
        self.ring_bytes_sufficed = 0;
    }

    fn situation(&self, sample: &Sample, prediction: Prediction) -> Situation {
        let senders = sample.senders.max(1);
        // The fullest lane's share of what comes; even shares while nothing waits.
        let share = if sample.backlog_bytes > 0 {
            sample.backlog_bytes_max as f64 / sample.backlog_bytes as f64
        } else {
            1.0 / f64::from(senders)
        };
        let believed = self.peak.bytes() as f64 * BELIEVED_MAX;
        Situation {
            plan: self.plan,
            bounds: self.bounds,
            weights: self.options.weights,
            overflow_to_memory: self.forecaster.overflow_to_memory(),
            senders,
            peak_backlog_bytes: prediction.peak_backlog_bytes.min(believed) * share,
            backlog_bytes: sample.backlog_bytes_max as f64,
            overflowing: is_overflowing(sample),
            gap_us: self.waits.gap_us,
            gaps_s: self.waits.gaps_s,
            wait_costs_us_s: self.waits.arms_us_s,
            wait_cost_now_us_s: self.waits.now_us_s,
            futile_since_bytes: self.saturation.futile_since_bytes(),
            floor_bytes: self.floor.bytes(self.tick),
            growth_barred: self.saturation.is_barred(),
            credit_us: self.credit.us(),
            free_bytes: self.share.free(),
            budget_is_tight: self.share.is_tight(sample.at_ns),
            ticks_since_resize: self.tick - self.resized_tick,
            ticks_of_slack: self.ticks_of_slack,
            ring_bytes_sufficed: self.ring_bytes_sufficed,
            ticks_since_switch: self.tick - self.switched_tick,
        }
    }

    fn record(&mut self, sample: &Sample) {
        let forecast_bytes = self.prediction.map_or(0, |p| p.peak_backlog_bytes as u64);
        self.meters.record(sample, &self.plant.wait_times(), forecast_bytes);
        self.state.history.lock().push(HistoryPoint::of(sample, forecast_bytes));
        let forecast = self.prediction.map(|p| (p, self.forecaster.horizon_ticks()));
        let came = (sample.backlog_bytes_most, sample.arrived_bytes);
        self.state.calibration.lock().observe(sample.at_ns, came, forecast);
    }

    fn act(&mut self, sample: &Sample, situation: Situation, prediction: Prediction, verdict: Verdict) -> usize {
        let began = Instant::now();
        let blocker = match verdict.action {
            Action::Hold => verdict.blocker,
            _ if self.options.mode == Mode::Shadow => Some(Blocker::Shadow),
            _ if !self.plant.may_set() => Some(Blocker::Steered),
            Action::SwitchWait => {
                self.plant.set_wait_strategy(verdict.plan.wait);
                self.switched_tick = self.tick;
                None
            }
            Action::Grow | Action::Shrink => self.resize(sample.at_ns, &situation, &verdict),
        };
        step("decision.applied");
        let repeated = blocker.is_some() && blocker == self.blocked_by;
        self.blocked_by = blocker;
        // A streak of the same obstacle is one entry; holding without one is none.
        if repeated || (verdict.action == Action::Hold && blocker.is_none()) {
            return 0;
        }
        let action = if blocker.is_some() { Action::Hold } else { verdict.action };
        let duration_ns = began.elapsed().as_nanos() as u64;
        self.meters.decided(action, verdict.reason);
        let wanted = verdict.action;
        self.enter(sample, situation, prediction, (wanted, Verdict { action, blocker, ..verdict }), duration_ns);
        step("decision.entered");
        usize::from(action != Action::Hold)
    }

    /// What the rings are that senders have, or will have with their next message.
    fn observe_share(&mut self, sample: &Sample) {
        let asked = self.plant.ring_bytes().saturating_mul(sample.senders.into());
        self.share.observe(sample.ring_bytes.max(asked), self.tick);
    }

    /// Larger rings are paid from the budget. The old ones are there until they are read.
    fn resize(&mut self, at_ns: u64, situation: &Situation, verdict: &Verdict) -> Option<Blocker> {
        let senders = u64::from(situation.senders.max(1));
        let growth = if verdict.action == Action::Grow { verdict.plan.ring_bytes.saturating_mul(senders) } else { 0 };
        if growth > 0 && !self.share.try_take(growth, (self.tick, RESIZED_TICKS), at_ns, situation.credit_us) {
            return Some(Blocker::Budget);
        }
        let blocker = match self.plant.resize(verdict.plan.ring_bytes) {
            Ok(outcome) if outcome.busy > 0 && outcome.offered == 0 => Some(Blocker::Busy),
            Ok(_) => None,
            Err(ResizeError::OutOfBounds { .. } | ResizeError::ReceiveOnly) => Some(Blocker::NotAllowed),
            Err(ResizeError::Shm(_)) => Some(Blocker::NoMemory),
        };
        if blocker.is_some() {
            self.share.give_back(growth);
            return blocker;
        }
        self.resized_tick = self.tick;
        self.forget_slack();
        if verdict.reason == Reason::GrowthFutile {
            self.saturation.taken_back();
            self.floor.forget();
        } else if verdict.action == Action::Grow {
            self.saturation.grew(self.plan.ring_bytes);
            self.credit.spend(growth_rent_us(situation, verdict.plan.ring_bytes));
        }
        None
    }

    fn enter(
        &mut self,
        sample: &Sample,
        situation: Situation,
        prediction: Prediction,
        (wanted, verdict): (Action, Verdict),
        duration_ns: u64,
    ) {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let forecast_bytes = situation.peak_backlog_bytes as u64;
        let plans = (situation.plan, verdict.plan);
        let by_model = prediction.source == ForecastSource::Model;
        let decision = Decision {
            id: 0,
            at_ns: sample.at_ns,
            at_unix_ms: unix.as_millis() as u64,
            channel: self.name.clone(),
            epoch: self.plant.epochs(),
            situation,
            prediction,
            contributions: if by_model { self.forecaster.contributions() } else { Vec::new() },
            candidates: verdict.candidates,
            action: verdict.action,
            reason: verdict.reason,
            sentence: sentence(wanted, verdict.reason, verdict.blocker, plans, forecast_bytes),
            plan: verdict.plan,
            blocker: verdict.blocker,
            duration_ns,
            outcome: None,
        };
        let mut journal = self.state.journal.lock();
        let id = journal.enter(decision);
        let entered = journal.decisions().next_back().map(|decision| self.journal_file.write(decision));
        journal.file_failed(entered);
        drop(journal);
        let due_ns = sample.at_ns + u64::from(self.forecaster.horizon_ticks()) * TICK_NS;
        self.pending.push((id, due_ns, self.stalls, sample.ring_bytes));
    }

    /// Writes the outcome of each decision whose horizon has passed.
    fn settle(&mut self, sample: &Sample) {
        let due: Vec<_> = self.pending.extract_if(.., |(_, due_ns, ..)| *due_ns <= sample.at_ns).collect();
        for (id, _, stalls, ring_bytes) in due {
            let mut journal = self.state.journal.lock();
            let Some(decision) = journal.decision(id) else { continue };
            let peak = self.state.history.lock().peak_since(decision.at_ns);
            let outcome = Outcome {
                span_ns: sample.at_ns - decision.at_ns,
                peak_backlog_bytes: peak,
                forecast_error_bytes: decision.prediction.peak_backlog_bytes as i64 - peak as i64,
                stalls: self.stalls.wrapping_sub(stalls),
                would_have_overflowed: peak > ring_bytes,
            };
            let settled = journal.set_outcome(id, outcome).map(|decision| self.journal_file.write(decision));
            journal.file_failed(settled);
        }
    }
}
