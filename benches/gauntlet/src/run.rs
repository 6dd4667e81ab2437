//! One workload, once, in one configuration.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tidegate::Channel;
use tidegate::control::{Action, Controller, ControllerState};
use tidegate::telemetry::Sampler;
use tidegate_benches::child::Child;
use tidegate_benches::cores::Cores;
use tidegate_benches::fan::Tally;
use tidegate_training::numbers::write_dues;
use tidegate_training::workload::Service;

use crate::clock::{be_punctual, cpu_ns, now_ns, sleep_until};
use crate::configuration::Configuration;
use crate::cost::Measured;
use crate::ends::{Ended, Part, Role, Start};
use crate::workloads::{Traffic, Workload};

/// From the last process being ready to the first message.
const START_DELAY_NS: u64 = 20_000_000;
/// Between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What came of a run.
pub(crate) struct Run {
    pub(crate) measured: Measured,
    /// When the plan was changed, nanoseconds from the start, and how.
    pub(crate) changes: Vec<(u64, Action)>,
}

/// A process of a run.
struct Actor {
    child: Child,
    input: std::fs::File,
    output: BufReader<std::fs::File>,
}

impl Actor {
    fn start(part: &Part) -> anyhow::Result<Self> {
        let (child_stdin, input) = std::io::pipe()?;
        let (output, child_stdout) = std::io::pipe()?;
        let child = Child::spawn(part, child_stdin, child_stdout)?;
        let (input, output) = (std::os::fd::OwnedFd::from(input), std::os::fd::OwnedFd::from(output));
        let mut actor = Self { child, input: input.into(), output: BufReader::new(output.into()) };
        ensure!(actor.line()?.trim() == "ready", "the other process is not ready");
        Ok(actor)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the other process has ended without a word");
        Ok(line)
    }

    fn begin(&mut self, start: Start) -> anyhow::Result<()> {
        Ok(writeln!(self.input, "{}", serde_json::to_string(&start)?)?)
    }
}

/// Runs `workload`, of which what comes before `warm_ns` does not count. `directory` is for files.
pub(crate) fn run(
    workload: &Workload,
    configuration: Configuration,
    warm_ns: u64,
    directory: &Path,
) -> anyhow::Result<Run> {
    be_punctual()?;
    let is_round_trip = matches!(workload.traffic, Traffic::PingPong { .. });
    let channels = channels(configuration, if is_round_trip { 2 } else { 1 })?;
    let parts = placed(roles(workload, &channels, directory)?)?;
    let mut actors = parts.iter().map(Actor::start).collect::<Result<Vec<_>, _>>()?;
    let warm_ns = if matches!(workload.traffic, Traffic::Scheduled { phase_ns: Some(_), .. }) { 0 } else { warm_ns };
    let at_ns = now_ns() + START_DELAY_NS;
    let start = Start { at_ns, counts_from_ns: at_ns + warm_ns };
    actors.iter_mut().try_for_each(|actor| actor.begin(start))?;
    let control = |(name, channel): &(String, Channel)| {
        configuration.controller().map(|options| Controller::start(channel, name, options))
    };
    let controllers: Vec<_> = channels.iter().filter_map(control).collect();
    sleep_until(start.counts_from_ns);
    let cpu_before_ns = cpu_ns();
    let until_ns = workload.traffic.window_ns().map_or(u64::MAX, |window_ns| start.counts_from_ns + window_ns);
    let (mebibytes, cpu_after_ns, ended) = watch(&channels, actors, until_ns)?;
    let own_cpu_ns = cpu_after_ns - cpu_before_ns;
    let states: Vec<_> = controllers.iter().map(Controller::state).collect();
    drop(controllers);
    let changes = changes(&states, at_ns);
    Ok(Run {
        measured: measured(&workload.traffic, &ended, start, (own_cpu_ns, mebibytes, changes.len() as u64)),
        changes,
    })
}

fn channels(configuration: Configuration, count: usize) -> anyhow::Result<Vec<(String, Channel)>> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let create = |_| {
        let name = format!("gauntlet-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let channel = configuration.set(Channel::options()).create(&name)?;
        if let Some(wait) = configuration.wait() {
            channel.set_wait_strategy(wait);
        }
        Ok((name, channel))
    };
    (0..count).map(create).collect()
}

/// What the other processes do: receivers first.
fn roles(workload: &Workload, channels: &[(String, Channel)], directory: &Path) -> anyhow::Result<Vec<Role>> {
    let name = |i: usize| channels[i].0.clone();
    let window_ns = workload.traffic.window_ns();
    let receive = |service: &Service| Role::Receive { channel: name(0), service: service.clone(), window_ns };
    Ok(match &workload.traffic {
        Traffic::PingPong { bytes, window_ns } => vec![
            Role::Pong { there: name(0), back: name(1) },
            Role::Ping { there: name(0), back: name(1), bytes: *bytes, window_ns: *window_ns },
        ],
        Traffic::Flat { senders, sizes, service, window_ns } => {
            let flat = || Role::Flat { channel: name(0), sizes: sizes.clone(), window_ns: *window_ns };
            std::iter::once(receive(service)).chain((0..*senders).map(|_| flat())).collect()
        }
        Traffic::Scheduled { senders, service, .. } => {
            let mut roles = vec![receive(service)];
            for (dues, number) in senders.iter().zip(0..) {
                let path: PathBuf = directory.join(format!("{}-{number}", workload.name.replace(['/', ' '], "_")));
                if !path.exists() {
                    write_dues(&path, dues)?;
                }
                roles.push(Role::Send { channel: name(0), dues: path });
            }
            roles
        }
    })
}

/// Two ends have a core each; more are left to the kernel.
fn placed(roles: Vec<Role>) -> anyhow::Result<Vec<Part>> {
    let apart = if roles.len() == 2 { Some(Cores::choose()?) } else { None };
    let core = |number| apart.map(|cores| if number == 0 { cores.near } else { cores.far });
    Ok(roles.into_iter().zip(0..).map(|(role, number)| Part { role, core: core(number) }).collect())
}

/// Waits until all have ended. The mean memory until then, or until `until_ns` if that is earlier; the CPU time of this process at
/// that time; and what each has told.
fn watch(
    channels: &[(String, Channel)],
    mut actors: Vec<Actor>,
    until_ns: u64,
) -> anyhow::Result<(f64, u64, Vec<Ended>)> {
    let ending = Arc::new(AtomicU64::new(0));
    let told = std::thread::scope(|scope| {
        let listening = {
            let ending = Arc::clone(&ending);
            scope.spawn(move || {
                let lines: anyhow::Result<Vec<String>> = actors.iter_mut().map(Actor::line).collect();
                ending.store(1, Ordering::Relaxed);
                lines.map(|lines| (lines, actors))
            })
        };
        let mut samplers: Vec<_> = channels.iter().map(|(_, channel)| Sampler::new(channel)).collect();
        let (mut bytes, mut looks) = (0.0, 0.0);
        while ending.load(Ordering::Relaxed) == 0 && now_ns() < until_ns {
            bytes += samplers.iter_mut().map(|sampler| sampler.sample().ring_bytes as f64).sum::<f64>();
            looks += 1.0;
            std::thread::sleep(LOOK_EVERY);
        }
        let cpu_after_ns = cpu_ns();
        let told = listening.join().map_err(|_| anyhow::anyhow!("the listener panicked"))?;
        told.map(|(lines, actors)| (bytes / f64::max(looks, 1.0), cpu_after_ns, lines, actors))
    });
    let (bytes, cpu_after_ns, lines, actors) = told?;
    let read = |line: &String| serde_json::from_str(line).context("what another process told");
    let ended: anyhow::Result<Vec<Ended>> = lines.iter().map(read).collect();
    actors.into_iter().try_for_each(|actor| actor.child.finish())?;
    Ok((bytes / f64::from(1 << 20), cpu_after_ns, ended?))
}

fn changes(states: &[Arc<ControllerState>], start_ns: u64) -> Vec<(u64, Action)> {
    let mut changes = Vec::new();
    for state in states {
        let journal = state.journal.lock();
        let done = journal.decisions().filter(|decision| decision.action != Action::Hold);
        changes.extend(done.map(|decision| (decision.at_ns.saturating_sub(start_ns), decision.action)));
    }
    changes
}

fn measured(
    traffic: &Traffic,
    ended: &[Ended],
    start: Start,
    (own_cpu_ns, mebibytes, changes): (u64, f64, u64),
) -> Measured {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let tally = |of: fn(&Ended) -> Tally| Tally::of(&ended.iter().map(of).collect::<Vec<_>>());
    let (sent, received) = (tally(|end| end.sent), tally(|end| end.received));
    let lost = sent.messages.abs_diff(received.messages) + u64::from(sent.sum != received.sum);
    // The first is the receiver, or answers.
    let timed = ended.iter().find(|end| end.latency_ns.p999 > 0).unwrap_or(&ended[0]);
    let us = |ns: u64| ns as f64 / 1e3;
    let last_ns = timed.ended_ns;
    Measured {
        messages: timed.counted,
        seconds: seconds(last_ns - start.counts_from_ns),
        scheduled_s: seconds((start.at_ns + traffic.span_ns()).saturating_sub(start.counts_from_ns)),
        lost,
        p50_us: us(timed.latency_ns.p50),
        p99_us: us(timed.latency_ns.p99),
        p999_us: us(timed.latency_ns.p999),
        late_s: seconds(ended.iter().map(|end| end.late_ns).sum()),
        blocked_s: seconds(ended.iter().map(|end| end.blocked_ns).sum()),
        cpu_s: seconds(ended.iter().map(|end| end.cpu_ns).sum::<u64>() + own_cpu_ns),
        mebibytes,
        changes,
    }
}
