//! A replay between two processes.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::time::ClockId;
use tidegate::Channel;
use tidegate::channel::ring_bytes_of;
use tidegate::control::{Action, Controller, ControllerOptions};
use tidegate::telemetry::Sampler;
use tidegate_training::numbers::{read_numbers, write_dues};
use tidegate_training::simulate::{Latency, Outcome};
use tidegate_training::workload::{Due, Workload};

use super::child::Received;
use super::policy::{BOUNDS, Policy};
use super::report::Delivery;
use crate::failure::Failure;
use crate::mean::Mean;
use crate::message::BYTES_MAX;
use crate::worker::{LOOK_EVERY, START_DELAY, Sent, Worker, now_ns};

/// Sends `workload` through a channel under `policy`, and says what came of it. With `apart`, each side stays on a CPU of its
/// own.
pub(super) fn run(
    workload: &Workload,
    (policy, options): (Policy, Option<ControllerOptions>),
    apart: bool,
    interrupted: &AtomicBool,
    progress: impl Fn(f64),
) -> Result<(Outcome, Delivery), Failure> {
    let directory = tempfile::tempdir().map_err(|e| Failure::Environment(format!("no temporary directory: {e}")))?;
    let at = |name: &str| directory.path().join(name);
    write_dues(&at("dues"), &workload.dues).map_err(|e| Failure::io("write", &at("dues"), &e))?;
    let service = serde_json::to_vec(&workload.service).map_err(|e| Failure::Environment(e.to_string()))?;
    std::fs::write(at("service"), service).map_err(|e| Failure::io("write", &at("service"), &e))?;
    let name = format!("replay-{}-{}", std::process::id(), now_ns(ClockId::Monotonic));
    let channel = Channel::options()
        .ring_bytes(policy.ring_bytes())
        .ring_bytes_max(policy.ring_bytes().max(BOUNDS.1))
        .message_bytes_max(BYTES_MAX as u32)
        .senders_max(1)
        .create(&name)?;
    channel.set_wait_strategy(policy.wait());
    // What is to stay as it is, stays so also where `tidegate control` runs.
    let _steered_by_nobody = options.is_none().then(|| channel.try_steer());
    let on = |cpu: usize| cpus(apart).get(cpu).map(|cpu| format!("--cpu={cpu}"));
    let arguments = |role: &str, cpu| [Some(role.to_owned()), Some(name.clone()), on(cpu)].into_iter().flatten();
    let mut receiver = Worker::start("replay-child", arguments("receive", 0), &[at("service"), at("received")])?;
    let mut sender = Worker::start("replay-child", arguments("send", 1), &[at("dues"), at("sent")])?;
    let start_ns = now_ns(ClockId::Monotonic) + START_DELAY.as_nanos() as u64;
    receiver.begin(start_ns)?;
    sender.begin(start_ns)?;
    let controller = options.map(|options| Controller::start(&channel, &name, options));
    let span_ns = workload.dues.last().map_or(1, |due| due.after_ns.max(1));
    let cpu_before_ns = now_ns(ClockId::ProcessCPUTime);
    let mut sampler = Sampler::new(&channel);
    let (mut ring_bytes, mut stalls, mut blocked_ns) = (Mean::default(), 0, 0);
    loop {
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        let over = receiver.has_ended()? && sender.has_ended()?;
        let sample = sampler.sample();
        stalls += sample.stalls;
        blocked_ns += sample.blocked_ns;
        if sample.senders > 0 {
            ring_bytes.add(sample.ring_bytes as f64, sample.tick_ns as f64);
        }
        if over {
            break;
        }
        progress(sample.at_ns.saturating_sub(start_ns) as f64 / span_ns as f64);
        std::thread::sleep(LOOK_EVERY);
    }
    let state = controller.as_ref().map(Controller::state);
    drop(controller);
    let count = |action| state.as_ref().map_or(0, |state| state.journal.lock().count(action));
    let (resizes, switches) = (count(Action::Grow) + count(Action::Shrink), count(Action::SwitchWait));
    let (received, sent): (Received, Sent) = (receiver.result()?, sender.result()?);
    let own_cpu_ns = now_ns(ClockId::ProcessCPUTime) - cpu_before_ns;
    let log = |name: &str| read_numbers(&at(name)).map_err(|e| Failure::io("read", &at(name), &e));
    let (committed_ns, times_ns) = (log("sent")?, log("received")?);
    let (times_ns, _) = times_ns.as_chunks::<2>();
    let latency = |(due, [received_ns, _]): (&Due, &[u64; 2])| received_ns.saturating_sub(due.after_ns);
    let mut latencies_ns: Vec<u64> = workload.dues.iter().zip(times_ns).map(latency).collect();
    let outcome = Outcome {
        messages: received.tally.received,
        peak_backlog_bytes: peak_backlog_bytes(workload, &committed_ns, times_ns),
        latency_ns: Latency::of(&mut latencies_ns),
        stalls,
        blocked_ns,
        mean_ring_bytes: ring_bytes.value() as u64,
        resizes,
        switches,
        span_ns: times_ns.last().map_or(0, |[_, released_ns]| *released_ns),
    };
    let delivery = Delivery {
        sent: sent.messages,
        lost: received.tally.lost_of(sent.messages),
        duplicated: received.tally.duplicated,
        corrupt: received.tally.corrupt,
        cpu_seconds: (sent.cpu_ns + received.cpu_ns + own_cpu_ns) as f64 / 1e9,
    };
    Ok((outcome, delivery))
}

/// Two CPUs that this process may use, if they are wanted and there are two.
fn cpus(wanted: bool) -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let own: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).take(2).collect();
    if wanted && own.len() == 2 { own } else { Vec::new() }
}

/// Most bytes that were committed and not yet released when one more was, from both sides' clocks.
fn peak_backlog_bytes(workload: &Workload, committed_ns: &[u64], times_ns: &[[u64; 2]]) -> u64 {
    let bytes = |i: usize| ring_bytes_of(workload.dues[i].bytes);
    let (mut backlog, mut peak, mut released) = (0u64, 0, 0);
    for (i, &at_ns) in committed_ns.iter().enumerate() {
        while released < i && times_ns.get(released).is_some_and(|[_, released_ns]| *released_ns <= at_ns) {
            backlog -= bytes(released);
            released += 1;
        }
        backlog += bytes(i);
        peak = peak.max(backlog);
    }
    peak
}
