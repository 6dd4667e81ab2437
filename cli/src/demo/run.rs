//! One run: a channel, its processes, and what came of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::ClockId;
use tidegate::control::{Action, Controller, ControllerOptions, ForecastModel, History, Mode};
use tidegate::inspect::Registry;
use tidegate::telemetry::Sampler;
use tidegate::{Channel, WaitStrategy};
use tidegate_training::ArrivalTrace;
use tidegate_training::simulate::Latency;

use crate::demo::child::Consumed;
use crate::demo::report::RunResult;
use crate::demo::schedule::service_ns_a_byte;
use crate::failure::Failure;
use crate::mean::Mean;
use crate::message::BYTES_MAX;
use crate::worker::{LOOK_EVERY, START_DELAY, Sent, Worker, now_ns};

/// How a channel is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) name: &'static str,
    pub(crate) ring_bytes: u64,
    pub(crate) wait: WaitStrategy,
    /// Whether a controller may change that.
    pub(crate) controlled: bool,
}

/// What a run needs.
#[derive(Debug)]
pub(crate) struct RunSetup<'a> {
    pub(crate) policy: Policy,
    pub(crate) paths: &'a [PathBuf],
    pub(crate) traces: &'a [ArrivalTrace],
    pub(crate) span: Duration,
    pub(crate) model: &'a ForecastModel,
    pub(crate) registry: &'a Registry,
    pub(crate) journal: Option<&'a Path>,
    pub(crate) interrupted: &'a Arc<AtomicBool>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) result: RunResult,
    /// Of a controlled run.
    pub(crate) history: Option<History>,
}

/// Between two samples of a channel that is shown and not controlled.
const SHOWN_EVERY: Duration = Duration::from_millis(20);

/// A channel that is shown while it runs, and its last numbers afterwards.
struct Shown<'a> {
    registry: &'a Registry,
    name: &'static str,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.registry.let_go(self.name);
    }
}

pub(crate) fn run(setup: &RunSetup<'_>, progress: impl Fn(f64)) -> Result<Finished, Failure> {
    let policy = setup.policy;
    let name = format!("demo-{}-{}", std::process::id(), policy.name);
    let options = Channel::options().ring_bytes(policy.ring_bytes).message_bytes_max(BYTES_MAX as u32).senders_max(2);
    let channel = options.create(&name)?;
    channel.set_wait_strategy(policy.wait);
    // What is to stay as it is, stays so also where `tidegate control` runs.
    let _steered_by_nobody = (!policy.controlled).then(|| channel.try_steer());
    let span_ns = setup.span.as_nanos() as u64;
    let service = service_ns_a_byte(setup.traces, span_ns);
    let mut consumer =
        Worker::start("demo-child", ["consume", &name, &service.to_string(), &span_ns.to_string()], &[])?;
    let mut producers = Vec::new();
    for producer in 0..setup.traces.len() {
        let arguments = ["produce", &name, &producer.to_string(), &span_ns.to_string()];
        producers.push(Worker::start("demo-child", arguments, setup.paths)?);
    }
    let journal_file = setup.journal.map(Path::to_owned);
    let options = ControllerOptions { model: setup.model.clone(), journal_file, ..ControllerOptions::default() };
    // What stays as it is, is shown all the same.
    let only_shown = ControllerOptions { mode: Mode::Off, tick: SHOWN_EVERY, ..options.clone() };
    let controller = Controller::start(&channel, policy.name, if policy.controlled { options } else { only_shown });
    setup.registry.add(&channel, controller.state());
    let _shown = Shown { registry: setup.registry, name: policy.name };
    let start_ns = now_ns(ClockId::Monotonic) + START_DELAY.as_nanos() as u64;
    consumer.begin(start_ns)?;
    producers.iter_mut().try_for_each(|producer| producer.begin(start_ns))?;
    let mut ring_bytes = Mean::default();
    let mut sampler = Sampler::new(&channel);
    let mut stalls = 0;
    let cpu_before_ns = now_ns(ClockId::ProcessCPUTime);
    while !(consumer.has_ended()? && producers.iter_mut().all(|p| p.has_ended().unwrap_or(true))) {
        if setup.interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        std::thread::sleep(LOOK_EVERY);
        let sample = sampler.sample();
        stalls += sample.stalls;
        if sample.senders > 0 {
            ring_bytes.add(channel.resident_bytes()? as f64, sample.tick_ns as f64);
        }
        progress(sample.at_ns.saturating_sub(start_ns) as f64 / span_ns as f64);
    }
    stalls += sampler.sample().stalls;
    let state = controller.state();
    drop(controller);
    let count = |action| state.journal.lock().count(action);
    let (resizes, switches) = (count(Action::Grow) + count(Action::Shrink), count(Action::SwitchWait));
    let consumed: Consumed = consumer.result()?;
    let produced: Vec<Sent> = producers.into_iter().map(Worker::result).collect::<Result<_, _>>()?;
    let sent: u64 = produced.iter().map(|p| p.messages).sum();
    // This process watches every run alike, and controls one.
    let own_cpu_ns = now_ns(ClockId::ProcessCPUTime) - cpu_before_ns;
    let cpu_ns = produced.iter().map(|p| p.cpu_ns).sum::<u64>() + consumed.cpu_ns + own_cpu_ns;
    let result = RunResult {
        policy: policy.name,
        sent,
        received: consumed.tally.received,
        lost: consumed.tally.lost_of(sent),
        duplicated: consumed.tally.duplicated,
        corrupt: consumed.tally.corrupt,
        stalls,
        latency_ns: Latency { p50: consumed.p50_ns, p99: consumed.p99_ns, p999: consumed.p999_ns },
        cpu_seconds: cpu_ns as f64 / 1e9,
        mean_ring_bytes: ring_bytes.value() as u64,
        resizes,
        switches,
    };
    Ok(Finished { result, history: policy.controlled.then(|| state.history.lock().clone()) })
}
