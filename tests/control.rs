//! The controller on a live channel, stepped by hand.

use std::time::Duration;

use tidegate::control::{Action, Blocker, ControlAgent, ControllerOptions, ForecastModel, Mode, Reason};
use tidegate::{Channel, Receiver, Sender};

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
    bench.quiet_ticks(2000);
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
    assert!(decision.sentence.contains("16384"), "{}", decision.sentence);
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
