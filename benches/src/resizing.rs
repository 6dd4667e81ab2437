//! A stream whose ring is resized while it flows.

use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tidegate::{Channel, WaitStrategy};

use crate::child::Child;
use crate::cores::{Cores, Pinned};
use crate::load::{self, Load};
use crate::rounds::{Quantity, Sample};

/// The rings that it goes to and fro between.
const RINGS_BYTES: [u64; 2] = [1 << 20, 1 << 21];
/// Between two looks at whether the window has begun, and between two tries of a resize.
const POLL: Duration = Duration::from_millis(1);
/// Sends are told apart by the nanosecond up to this: what takes longer, took this long.
const SEND_NS_MAX: usize = 1 << 22;

/// What happens to the ring while messages flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resizes {
    /// Nothing.
    None,
    /// It is resized in the middle of the window.
    Once,
    /// It is resized all the time, this long after the last time.
    Every(Duration),
}

/// What the other process does: sends, and times each message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Role {
    channel: String,
    load: Load,
    core: usize,
}

impl Role {
    /// Does it, and prints the 99.9th percentile of the time that a send takes, nanoseconds.
    ///
    /// # Errors
    /// The channel cannot be opened, or the process that measures has died.
    pub fn run(self) -> anyhow::Result<()> {
        let mut sender = Channel::open(&self.channel)?.sender()?;
        let _pinned = Pinned::to(self.core)?;
        let (mut sends_by_ns, mut sends): (Vec<u32>, u64) = (vec![0; SEND_NS_MAX + 1], 0);
        let mut message = vec![0; self.load.bytes];
        load::produce(&self.load, |sequence| {
            load::fill(&mut message, sequence);
            let began = Instant::now();
            sender.send(&message)?;
            sends_by_ns[usize::try_from(began.elapsed().as_nanos())?.min(SEND_NS_MAX)] += 1;
            sends += 1;
            Ok(())
        })?;
        let (rank, mut seen) = ((sends - 1) * 999 / 1000, 0);
        let p999 = sends_by_ns.iter().position(|&sends| {
            seen += u64::from(sends);
            seen > rank
        });
        println!("{}", p999.context("no message was sent")?);
        Ok(())
    }
}

/// Time a message takes in the window, and the 99.9th percentile of a send's as long as any are sent, which is twice that.
///
/// # Errors
/// A channel or process cannot be made, messages do not arrive as sent, or the ring was not resized.
pub fn one_way<R: Serialize>(
    cores: Cores,
    load: &Load,
    resizes: Resizes,
    role: impl Fn(Role) -> R,
) -> anyhow::Result<Vec<Sample>> {
    let name = crate::channel::new_name();
    let options = Channel::options().ring_bytes(RINGS_BYTES[0]).ring_bytes_max(RINGS_BYTES[1]);
    let channel = options.message_bytes_max(u32::try_from(load.bytes)?).create(&name)?;
    channel.set_wait_strategy(WaitStrategy::Spin);
    let mut receiver = channel.receiver()?;
    let (mut output, child_stdout) = std::io::pipe()?;
    let child = Child::spawn(&role(Role { channel: name, load: *load, core: cores.far }), Stdio::null(), child_stdout)?;
    let stop = AtomicBool::new(false);
    let mut samples = std::thread::scope(|scope| {
        let (stop, resized) = (&stop, channel.clone());
        match resizes {
            Resizes::None => {}
            Resizes::Once => drop(scope.spawn(move || resize_once(&resized, load, stop))),
            Resizes::Every(period) => drop(scope.spawn(move || resize_on(&resized, period, stop))),
        }
        let pinned = Pinned::to(cores.near)?;
        let samples = load::consume(load, || {
            loop {
                match receiver.recv() {
                    Ok(message) => return Ok(load::sum(&message)),
                    // The sender is not there yet.
                    Err(tidegate::channel::RecvError::Disconnected) => std::thread::yield_now(),
                    Err(e) => return Err(e.into()),
                }
            }
        });
        stop.store(true, Ordering::Relaxed);
        drop(pinned);
        samples
    })?;
    let rings = channel.view().lanes.first().map_or(0, |lane| lane.epoch);
    let as_told = match resizes {
        Resizes::None => rings == 1,
        Resizes::Once => rings == 2,
        Resizes::Every(_) => rings > 2,
    };
    ensure!(as_told, "the sender has been in {rings} rings: {resizes:?}");
    child.finish()?;
    let mut p999 = String::new();
    output.read_to_string(&mut p999)?;
    let ns = p999.trim().parse().context("the other process's percentile")?;
    samples.push(Sample { quantity: Quantity::SendP999, ns });
    Ok(samples)
}

/// Resizes as soon as half the window is over.
fn resize_once(channel: &Channel, load: &Load, stop: &AtomicBool) {
    let is_warm = || channel.view().lanes.iter().any(|lane| lane.received_messages >= load.warm_up_messages);
    while !is_warm() && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(POLL);
    }
    std::thread::sleep(load.window / 2);
    while channel.resize(RINGS_BYTES[1]).is_ok_and(|outcome| outcome.offered == 0) && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(POLL);
    }
}

fn resize_on(channel: &Channel, period: Duration, stop: &AtomicBool) {
    for bytes in RINGS_BYTES.iter().rev().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Busy, or no sender yet: the next one will do.
        let _outcome = channel.resize(*bytes);
        std::thread::sleep(period);
    }
}
