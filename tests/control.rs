//! The controller on a live channel, stepped by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate::channel::{Resize, ResizeError};
use tidegate::control::{
    Action, Blocker, Budget, ControlAgent, Controller, ControllerOptions, Decision, Fixed, ForecastModel, LivePlant,
    Mode, Plan, Plant, Reason, read_journal,
};
use tidegate::telemetry::{Sample, WaitTimes};
use tidegate::{Channel, Receiver, Sender, WaitStrategy};

struct Bench {
    channel: Channel,
    sender: Sender,
    receiver: Receiver,
    agent: ControlAgent,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        Self::with(ControllerOptions { mode, ..ControllerOptions::default() })
    }

    fn with(options: ControllerOptions) -> Self {
        let channel = Channel::options().ring_bytes(1 << 14).create_anonymous().unwrap();
        let agent = ControlAgent::new(&channel, "bench", options);
        Self { sender: channel.sender().unwrap(), receiver: channel.receiver().unwrap(), channel, agent }
    }

    /// A tick in which two messages come and go.
    fn quiet_tick(&mut self) {
        for _ in 0..2 {
            self.sender.try_send(&[1; 200]).unwrap();
            drop(self.receiver.try_recv().unwrap());
        }
        std::thread::sleep(Duration::from_millis(1));
        self.agent.step();
    }

    fn quiet_ticks(&mut self, ticks: usize) {
        (0..ticks).for_each(|_| self.quiet_tick());
    }

    fn fill(&mut self) -> usize {
        (0..).take_while(|_| self.sender.try_send(&[2; 200]).is_ok()).count()
    }

    fn decisions(&self) -> Vec<(Action, Reason, Option<Blocker>)> {
        let state = self.agent.state();
        let journal = state.journal.lock();
        journal.decisions().map(|d| (d.action, d.reason, d.blocker)).collect()
    }
}

#[test]
fn a_full_ring_grows_and_a_quiet_one_shrinks_without_losing_a_message() {
    let mut bench = Bench::new(Mode::Active);
    bench.quiet_ticks(8);
    let held = bench.fill();
    bench.agent.step();
    assert!(bench.decisions().contains(&(Action::Grow, Reason::OverflowNow, None)), "{:?}", bench.decisions());
    let more = bench.fill();
    assert!(more >= held, "the ring at least doubled: {held} messages before, {more} more now");
    for _ in 0..held + more {
        assert_eq!(*bench.receiver.try_recv().unwrap(), [2; 200]);
    }
    let grown = bench.channel.ring_bytes();
    // What was too small is remembered for some seconds.
    let shrunk = |bench: &Bench| bench.channel.ring_bytes() < grown;
    (0..20_000).find(|_| {
        bench.quiet_tick();
        shrunk(&bench)
    });
    assert!(bench.decisions().contains(&(Action::Shrink, Reason::SlackProven, None)), "{:?}", bench.decisions());
    assert!(bench.channel.ring_bytes() < grown);
}

#[test]
fn a_shadow_decides_and_changes_nothing() {
    let mut bench = Bench::new(Mode::Shadow);
    bench.quiet_ticks(8);
    bench.fill();
    assert_eq!(bench.agent.step(), 0);
    assert!(bench.decisions().contains(&(Action::Hold, Reason::OverflowNow, Some(Blocker::Shadow))));
    assert_eq!(bench.channel.view().lanes[0].epoch, 1);
    assert_eq!(bench.channel.ring_bytes(), 1 << 14);
}

#[test]
fn every_decision_gets_its_outcome() {
    let mut bench = Bench::new(Mode::Active);
    bench.quiet_ticks(8);
    bench.fill();
    bench.agent.step();
    let state = bench.agent.state();
    let settled = |state: &tidegate::control::ControllerState| {
        state.journal.lock().decisions().any(|d| d.action == Action::Grow && d.outcome.is_some())
    };
    // The horizon is a matter of the clock; the step after it settles.
    while !settled(&state) {
        bench.agent.step();
    }
    let journal = state.journal.lock();
    let decision = journal.decisions().find(|d| d.action == Action::Grow).unwrap();
    let outcome = decision.outcome.as_ref().unwrap();
    assert!(outcome.peak_backlog_bytes > 0 && outcome.span_ns >= 32_000_000, "{outcome:?}");
    assert!(decision.sentence.contains("from 16.0 KiB"), "{}", decision.sentence);
}

#[test]
fn a_model_that_cannot_be_used_stops_nothing_and_the_journal_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let sound = include_str!("../models/overflow.json");
    let candidate: tidegate::model::ModelFile = serde_json::from_str(sound).unwrap();
    let candidate = tidegate::model::ModelFile { standing: tidegate::model::Standing::Candidate, ..candidate };
    let not_a_number = sound.replacen("\"tau\": 0.99", "\"tau\": NaN", 1);
    let refused = [
        ("missing.json", None, "No such file"),
        ("empty.json", Some(String::new()), "not a model file"),
        ("foreign.json", Some("{\"weights\": [1, 2]}".into()), "not a model file"),
        ("nan.json", Some(not_a_number), "not a model file"),
        ("edited.json", Some(sound.replacen("\"tau\": 0.99", "\"tau\": 0.98", 1)), "something changed it"),
        ("endless.json", Some(" ".repeat(2 << 20)), "bytes"),
        ("candidate.json", Some(candidate.sealed().to_json().unwrap()), "candidate"),
        (".", None, "not a file"),
    ];
    for (name, text, why) in refused {
        let path = directory.path().join(name);
        text.inspect(|text| std::fs::write(&path, text).unwrap());
        let mut bench = Bench::with(ControllerOptions { model: ForecastModel::File(path), ..Default::default() });
        let state = bench.agent.state();
        let forecasting = state.journal.lock().forecasting().clone();
        assert_eq!(forecasting.forecast, "rule_of_thumb");
        assert!(forecasting.reason.contains(name) && forecasting.reason.contains(why), "{}", forecasting.reason);
        bench.quiet_ticks(8);
        bench.fill();
        bench.agent.step();
        assert!(bench.decisions().contains(&(Action::Grow, Reason::OverflowNow, None)), "{name}");
    }
    let path = directory.path().join("sound.json");
    std::fs::write(&path, sound).unwrap();
    let bench = Bench::with(ControllerOptions { model: ForecastModel::File(path), ..Default::default() });
    let state = bench.agent.state();
    assert_eq!(state.journal.lock().forecasting().forecast, "blend");
}

#[test]
fn a_policy_of_ones_own_decides() {
    let plan = Plan { ring_bytes: 1 << 18, wait: WaitStrategy::Park };
    let mut bench = Bench::with(ControllerOptions { policy: Arc::new(Fixed(plan)), ..Default::default() });
    bench.quiet_ticks(8);
    assert_eq!((bench.channel.ring_bytes(), bench.channel.wait_strategy()), (1 << 18, WaitStrategy::Park));
    assert!(bench.decisions().iter().all(|(_, reason, _)| *reason == Reason::Fixed));
}

#[test]
fn a_controller_that_is_off_only_looks() {
    let mut bench = Bench::new(Mode::Off);
    bench.quiet_ticks(8);
    bench.fill();
    assert_eq!(bench.agent.step(), 0);
    let state = bench.agent.state();
    assert_eq!(state.journal.lock().entered(), 0);
    assert!(state.history.lock().looks() > 8);
}

#[test]
fn channels_of_a_budget_grow_no_further_than_it_reaches() {
    let budget = Arc::new(Budget::new(100 << 10));
    let with = || Bench::with(ControllerOptions { budget: Some(Arc::clone(&budget)), ..Default::default() });
    let mut benches = [with(), with(), with()];
    // The rings that they begin with are counted first.
    benches.iter_mut().for_each(|bench| bench.quiet_ticks(1));
    for _ in 0..20 {
        for bench in &mut benches {
            bench.quiet_ticks(1);
            bench.fill();
            bench.agent.step();
            while bench.receiver.try_recv().is_ok() {}
        }
        assert!(budget.used() <= budget.bytes(), "{budget:?}");
    }
    let refused = benches.iter().any(|bench| bench.decisions().iter().any(|d| d.2 == Some(Blocker::Budget)));
    let grown = benches.iter().any(|bench| bench.channel.ring_bytes() > 1 << 14);
    assert!(refused && grown, "{refused} {grown}");
    drop(benches);
    assert_eq!(budget.used(), 0, "what they had came back with them");
}

#[test]
fn the_journal_file_tells_what_was_decided_and_what_came_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut bench = Bench::with(ControllerOptions { journal_file: Some(path.clone()), ..Default::default() });
    bench.quiet_ticks(8);
    bench.fill();
    bench.agent.step();
    let state = bench.agent.state();
    while state.journal.lock().decisions().any(|decision| decision.outcome.is_none()) {
        std::thread::sleep(Duration::from_millis(1));
        bench.agent.step();
    }
    let kept: Vec<Decision> = state.journal.lock().decisions().cloned().collect();
    let read = read_journal(&path).unwrap().decisions;
    assert_eq!(read.len(), kept.len());
    let of_action = |all: &[Decision]| all.iter().map(|d| (d.id, d.action, d.outcome.clone())).collect::<Vec<_>>();
    assert_eq!(of_action(&read), of_action(&kept));
    let grown = read.iter().find(|decision| decision.action == Action::Grow).unwrap();
    let explanation = grown.explanation();
    for part in ["Grew the rings from 16.0 KiB", "Seen:", "Predicted", "Weighed:", "Done in", "the backlog was seen"] {
        assert!(explanation.contains(part), "{part}: {explanation}");
    }
    // A line that was cut is told, and spoils nothing of what comes behind it; nor does another run.
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let mut again = Bench::with(ControllerOptions { journal_file: Some(path.clone()), ..Default::default() });
    again.quiet_ticks(8);
    again.fill();
    again.agent.step();
    let both = read_journal(&path).unwrap();
    assert_eq!(both.unreadable, [whole.lines().count() as u64]);
    assert!(both.decisions.len() >= kept.len() + again.decisions().len() - 1);
    assert!(both.decisions.iter().filter(|decision| decision.id == 1).count() >= 2, "of each run one");
    let nowhere = Some(directory.path().join("no/such/directory"));
    let bench = Bench::with(ControllerOptions { journal_file: nowhere, ..Default::default() });
    assert!(bench.agent.state().journal.lock().file_error().is_some());
}

#[test]
fn one_thread_controls_all_channels_of_a_process_until_their_controllers_are_dropped() {
    let channels: Vec<Channel> = (0..20).map(|_| Channel::options().create_anonymous().unwrap()).collect();
    let mut ends: Vec<_> = channels.iter().map(|c| (c.sender().unwrap(), c.receiver().unwrap())).collect();
    let start = |channel| Controller::start(channel, "one of many", ControllerOptions::default());
    let mut controllers: Vec<Controller> = channels.iter().map(start).collect();
    let seen = |controller: &Controller| controller.state().history.lock().looks();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.starts_with("tidegate-contro")).count(), 1);
    while controllers.iter().any(|controller| seen(controller) < 3) {
        ends.iter_mut().for_each(|(sender, receiver)| {
            sender.send(b"traffic").unwrap();
            drop(receiver.recv().unwrap());
        });
        std::thread::sleep(Duration::from_millis(1));
    }
    let dropped = controllers.pop().unwrap();
    let state = dropped.state();
    drop(dropped);
    let before = state.history.lock().looks();
    let others: Vec<u64> = controllers.iter().map(seen).collect();
    while controllers.iter().zip(&others).any(|(controller, before)| seen(controller) == *before) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(state.history.lock().looks(), before);
}

/// A channel of which every change is counted.
struct Untouched {
    plant: LivePlant,
    changes: Arc<AtomicU64>,
}

impl Untouched {
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Plant for Untouched {
    fn ring_bytes_bounds(&self) -> (u64, u64) {
        self.plant.ring_bytes_bounds()
    }
    fn ring_bytes(&self) -> u64 {
        self.plant.ring_bytes()
    }
    fn held_bytes(&self) -> u64 {
        self.plant.held_bytes()
    }
    fn wait_strategy(&self) -> WaitStrategy {
        self.plant.wait_strategy()
    }
    fn may_set(&mut self) -> bool {
        self.changed();
        true
    }
    fn sample(&mut self) -> Sample {
        self.plant.sample()
    }
    fn wait_times(&self) -> WaitTimes {
        self.plant.wait_times()
    }
    fn epochs(&self) -> u64 {
        self.plant.epochs()
    }
    fn resize(&mut self, ring_bytes: u64) -> Result<Resize, ResizeError> {
        self.changed();
        self.plant.resize(ring_bytes)
    }
    fn set_wait_strategy(&mut self, strategy: WaitStrategy) {
        self.changed();
        self.plant.set_wait_strategy(strategy);
    }
    fn reclaim(&mut self) -> Result<(), ResizeError> {
        self.changed();
        self.plant.reclaim()
    }
}

#[test]
fn who_is_not_to_act_changes_nothing_of_a_channel() {
    for mode in [Mode::Off, Mode::Shadow, Mode::Active] {
        let channel = Channel::options().ring_bytes(1 << 14).create_anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let changes = Arc::new(AtomicU64::new(0));
        let plant = Untouched { plant: LivePlant::new(&channel), changes: Arc::clone(&changes) };
        let options = ControllerOptions { mode, tick: Duration::from_millis(1), ..ControllerOptions::default() };
        let mut agent = ControlAgent::of(plant, "untouched", options);
        for _ in 0..100 {
            while sender.try_send(&[0; 500]).is_ok() {}
            std::thread::sleep(Duration::from_millis(1));
            agent.step();
            while receiver.try_recv().is_ok() {}
        }
        assert_eq!(changes.load(Ordering::Relaxed) > 0, mode == Mode::Active, "{mode:?}");
    }
}
