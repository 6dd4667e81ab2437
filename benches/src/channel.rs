//! Tidegate between two processes.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidegate::channel::RecvError;
use tidegate::telemetry::Sampler;
use tidegate::{Channel, ChannelOptions, Receiver, Receivers, Sender, WaitStrategy};

use crate::child::Child;
use crate::cores::{Cores, Pinned};
use crate::load::{self, Load};
use crate::pairs;
use crate::rounds::Sample;

/// Longest wait for the other process to attach.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two samples.
const SAMPLING_PERIOD: Duration = Duration::from_millis(1);

/// How a stream goes through the channel.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Bytes of the ring.
    pub ring_bytes: u64,
    /// Messages at once.
    pub batch: usize,
    /// Who may receive, besides the one that does.
    pub receivers: Receivers,
}

impl From<(u64, usize)> for Plan {
    /// Bytes of the ring, and messages at once.
    fn from((ring_bytes, batch): (u64, usize)) -> Self {
        Self { ring_bytes, batch, receivers: Receivers::One }
    }
}

/// What the other process does.
#[derive(Debug, Serialize, Deserialize)]
pub enum Role {
    /// Sends a one-way load.
    Sender {
        /// Name of the channel.
        channel: String,
        /// What to send.
        load: Load,
        /// Messages at once.
        batch: usize,
        /// Where to run.
        core: usize,
    },
    /// Answers each message with a copy of it.
    Echo {
        /// Name of the channel of messages.
        ping: String,
        /// Name of the channel of answers.
        pong: String,
        /// Where to run.
        core: usize,
    },
}

impl Role {
    /// Does it.
    ///
    /// # Errors
    /// A channel cannot be opened, or the process that measures has died.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Sender { channel, load, batch, core } => {
                let mut sender = Channel::open(&channel)?.sender()?;
                sender.send(&[])?;
                let _pinned = Pinned::to(core)?;
                if batch > 1 {
                    return send_batches(&mut sender, &load, batch);
                }
                load::produce(&load, |sequence| {
                    let mut claim = sender.claim(load.bytes)?;
                    load::fill(&mut claim, sequence);
                    claim.commit();
                    Ok(())
                })
            }
            Self::Echo { ping, pong, core } => {
                let mut pings = Channel::open(&ping)?.receiver()?;
                let mut pongs = Channel::open(&pong)?.sender()?;
                pongs.send(&[])?;
                let _pinned = Pinned::to(core)?;
                loop {
                    match pings.recv() {
                        Ok(message) => pongs.send(&message)?,
                        Err(RecvError::Disconnected) => return Ok(()),
                        Err(e) => return Err(e.into()),
                    }
                }
            }
        }
    }
}

/// Time a message takes from another process to this one, through a ring of `ring_bytes`, `batch` messages at once.
///
/// `role` wraps the other process's part for the program that this one is.
///
/// # Errors
/// A channel or process cannot be made, or messages do not arrive as sent.
pub fn one_way<R: Serialize>(
    cores: Cores,
    load: &Load,
    plan: impl Into<Plan>,
    role: impl Fn(Role) -> R,
) -> anyhow::Result<Vec<Sample>> {
    let plan = plan.into();
    let Stream { child, mut receiver, .. } = Stream::start(cores, load, plan, role)?;
    let batch = plan.batch;
    let pinned = Pinned::to(cores.near)?;
    let samples = if batch > 1 {
        let (mut sums, mut next) = (Vec::with_capacity(batch), 0);
        load::consume(load, || {
            if next == sums.len() {
                sums.clear();
                sums.extend(receiver.recv_batch(batch)?.iter().map(load::sum));
                next = 0;
            }
            next += 1;
            Ok(sums[next - 1])
        })?
    } else {
        load::consume(load, || {
            let message = receiver.recv()?;
            Ok(load::sum(&message))
        })?
    };
    drop(pinned);
    child.finish()?;
    Ok(samples)
}

/// As [`one_way`] with single messages, while this process samples the channel's telemetry every millisecond, and while it
/// does not, turn by turn ([`pairs::consume`]).
///
/// # Errors
/// As [`one_way`].
pub fn one_way_sampled<R: Serialize>(
    cores: Cores,
    load: &Load,
    ring_bytes: u64,
    role: impl Fn(Role) -> R,
) -> anyhow::Result<Vec<Sample>> {
    let load = Load { window: pairs::WINDOW, ..*load };
    let Stream { child, channel, mut receiver } = Stream::start(cores, &load, (ring_bytes, 1).into(), role)?;
    let sampling = Sampling::start(&channel);
    let pinned = Pinned::to(cores.near)?;
    let receive = || {
        let message = receiver.recv()?;
        Ok(load::sum(&message))
    };
    let samples = pairs::consume(&load, |on| sampling.switch(on), receive)?;
    drop(pinned);
    child.finish()?;
    Ok(samples)
}

/// A one-way load that has begun.
struct Stream {
    child: Child,
    channel: Channel,
    receiver: Receiver,
}

impl Stream {
    fn start<R: Serialize>(cores: Cores, load: &Load, plan: Plan, role: impl Fn(Role) -> R) -> anyhow::Result<Self> {
        let (name, channel) = create(cores, load.bytes, plan)?;
        let mut receiver = channel.receiver()?;
        let sender = Role::Sender { channel: name, load: *load, batch: plan.batch, core: cores.far };
        let child = Child::spawn(&role(sender), Stdio::null(), Stdio::null())?;
        await_peer(&mut receiver)?;
        Ok(Self { child, channel, receiver })
    }
}

/// A thread that samples a channel while it is switched on, until it is dropped.
struct Sampling {
    shared: Arc<Switches>,
    thread: Option<JoinHandle<u64>>,
}

#[derive(Default)]
struct Switches {
    on: AtomicBool,
    stop: AtomicBool,
}

impl Sampling {
    fn start(channel: &Channel) -> Self {
        let (mut sampler, shared) = (Sampler::new(channel), Arc::new(Switches::default()));
        let switches = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut arrived = 0;
            while !switches.stop.load(Ordering::Relaxed) {
                if switches.on.load(Ordering::Relaxed) {
                    thread::sleep(SAMPLING_PERIOD);
                    arrived += sampler.sample().arrived_messages;
                } else {
                    thread::park();
                }
            }
            arrived
        });
        Self { shared, thread: Some(thread) }
    }

    fn switch(&self, on: bool) {
        self.shared.on.store(on, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wake();
        let _messages_seen = self.thread.take().map(JoinHandle::join);
    }
}

/// Round trips from this process to another and back, over two channels with rings of `ring_bytes`.
///
/// # Errors
/// As [`one_way`].
pub fn ping_pong<R: Serialize>(
    cores: Cores,
    load: &Load,
    ring_bytes: u64,
    role: impl Fn(Role) -> R,
) -> anyhow::Result<Vec<Sample>> {
    let (ping, pings) = create(cores, load.bytes, (ring_bytes, 1).into())?;
    let (pong, pongs) = create(cores, load.bytes, (ring_bytes, 1).into())?;
    let mut sender = pings.sender()?;
    let mut receiver = pongs.receiver()?;
    let echo = Role::Echo { ping, pong, core: cores.far };
    let child = Child::spawn(&role(echo), Stdio::null(), Stdio::null())?;
    await_peer(&mut receiver)?;
    let pinned = Pinned::to(cores.near)?;
    let samples = load::round_trips(load, |sequence| {
        let mut claim = sender.claim(load.bytes)?;
        load::fill(&mut claim, sequence);
        claim.commit();
        let answer = receiver.recv()?;
        Ok(load::sum(&answer))
    })?;
    drop((sender, pinned));
    child.finish()?;
    Ok(samples)
}

/// Sends `load`, `batch` messages at once.
fn send_batches(sender: &mut Sender, load: &Load, batch: usize) -> anyhow::Result<()> {
    let mut messages = vec![vec![0; load.bytes]; batch];
    let mut filled = 0;
    load::produce(load, |sequence| {
        load::fill(&mut messages[filled], sequence);
        filled += 1;
        if filled == batch || sequence == load::END {
            sender.send_batch(&messages[..filled])?;
            filled = 0;
        }
        Ok(())
    })
}

/// A name that no other channel has.
pub(crate) fn new_name() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("bench-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// A channel for two processes that spin, so that what is timed is the ring and not the kernel; on one core they cannot.
fn create(cores: Cores, message_bytes: usize, plan: Plan) -> anyhow::Result<(String, Channel)> {
    let (name, bytes) = (new_name(), plan.ring_bytes);
    let options = ChannelOptions::default().ring_bytes(bytes).ring_bytes_max(bytes).senders_max(1).blocks(4);
    let channel = options.receivers(plan.receivers).message_bytes_max(u32::try_from(message_bytes)?).create(&name)?;
    if cores.near != cores.far {
        channel.set_wait_strategy(WaitStrategy::Spin);
    }
    Ok((name, channel))
}

/// Waits for the empty message that the other process sends once it is attached.
fn await_peer(receiver: &mut Receiver) -> anyhow::Result<()> {
    receiver.recv_timeout(ATTACH_TIMEOUT).context("the other process has not attached")?;
    Ok(())
}
