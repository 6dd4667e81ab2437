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

/// Between two resizes.
const PERIOD: Duration = Duration::from_millis(10);
/// The rings that it goes to and fro between.
const RINGS_BYTES: [u64; 2] = [1 << 20, 1 << 21];
/// Sends timed in one measurement.
const SENDS_MAX: usize = 1 << 22;

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
        let mut nanoseconds = vec![u32::MAX; SENDS_MAX];
        let mut sends = 0;
        let mut message = vec![0; self.load.bytes];
        load::produce(&self.load, |sequence| {
            load::fill(&mut message, sequence);
            let began = Instant::now();
            sender.send(&message)?;
            if let Some(slot) = nanoseconds.get_mut(sends) {
                *slot = u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX);
            }
            sends += 1;
            Ok(())
        })?;
        let timed = &mut nanoseconds[..sends.min(SENDS_MAX)];
        timed.sort_unstable();
        println!("{}", timed[(timed.len() - 1) * 999 / 1000]);
        Ok(())
    }
}

/// Time a message takes, and the 99.9th percentile of a send's, with resizes or without.
///
/// # Errors
/// A channel or process cannot be made, messages do not arrive as sent, or the ring was not resized.
pub fn one_way<R: Serialize>(
    cores: Cores,
    load: &Load,
    resizes: bool,
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
        if resizes {
            scope.spawn(move || {
                for bytes in RINGS_BYTES.iter().rev().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // Busy, or no sender yet: the next one will do.
                    let _outcome = resized.resize(*bytes);
                    std::thread::sleep(PERIOD);
                }
            });
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
    let epochs = channel.view().lanes.first().map_or(0, |lane| lane.epoch);
    ensure!(!resizes || epochs > 2, "the ring was resized {epochs} times");
    child.finish()?;
    let mut p999 = String::new();
    output.read_to_string(&mut p999)?;
    let ns = p999.trim().parse().context("the other process's percentile")?;
    samples.push(Sample { quantity: Quantity::SendP999, ns });
    Ok(samples)
}
