//! Many ends, each in a process of its own but for one receiver, which is this one; and Tidegate with them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tidegate::channel::RecvError;
use tidegate::{Channel, Receiver, Receivers};

use crate::child::Child;
use crate::cores::Pinned;
use crate::fan::{self, Fan, Tally};
use crate::rounds::Sample;

const RING_BYTES: u64 = 1 << 20;

/// What another process does.
#[derive(Debug, Serialize, Deserialize)]
pub enum Role {
    /// Sends for the window.
    Sender {
        /// Name of the channel.
        channel: String,
        /// How.
        fan: Fan,
        /// Which one.
        number: u64,
    },
    /// Receives to the end.
    Receiver {
        /// Name of the channel.
        channel: String,
        /// How.
        fan: Fan,
    },
}

impl Role {
    /// Does it.
    ///
    /// # Errors
    /// The channel cannot be opened, or the process that measures has died.
    pub fn run(self) -> anyhow::Result<()> {
        let tally = match self {
            Self::Sender { channel, fan, number } => {
                let mut sender = Channel::open(&channel)?.sender()?;
                let _pinned = fan.core.map(Pinned::to).transpose()?;
                await_word()?;
                fan::produce(&fan, number, |message| Ok(sender.send(&message.to_ne_bytes())?))?
            }
            Self::Receiver { channel, fan } => {
                let receiver = Channel::open(&channel)?.receiver()?;
                let _pinned = fan.core.map(Pinned::to).transpose()?;
                await_word()?;
                receive(receiver)?
            }
        };
        tell(&tally)
    }
}

/// Says that this end is there, and waits for the word to begin.
///
/// # Errors
/// Standard input cannot be read.
pub fn await_word() -> anyhow::Result<()> {
    println!();
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Tells the process that measures what this end has sent or received.
///
/// # Errors
/// It cannot be written as JSON.
pub fn tell(tally: &Tally) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(tally)?);
    Ok(())
}

fn receive(mut receiver: Receiver) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    loop {
        match receiver.recv() {
            Ok(message) => tally.add(u64::from_ne_bytes((*message).try_into()?)),
            Err(RecvError::Disconnected) => return Ok(tally),
            Err(e) => return Err(e.into()),
        }
    }
}

/// A child that was started, with both ends of its talk.
#[derive(Debug)]
pub struct End {
    child: Child,
    input: File,
    output: BufReader<File>,
}

impl End {
    /// Starts one that does `role`, and waits until it is there ([`await_word`]).
    ///
    /// # Errors
    /// It cannot be started, or ends before it is there.
    pub fn start<R: Serialize>(role: &R) -> anyhow::Result<Self> {
        let (child_stdin, input) = std::io::pipe()?;
        let (output, child_stdout) = std::io::pipe()?;
        let child = Child::spawn(role, child_stdin, child_stdout)?;
        let (input, output): (std::os::fd::OwnedFd, std::os::fd::OwnedFd) = (input.into(), output.into());
        let mut end = Self { child, input: input.into(), output: BufReader::new(output.into()) };
        end.line()?;
        Ok(end)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the other process has ended without a word");
        Ok(line)
    }

    /// Waits until it has ended; `line` is what it told.
    fn finish(self, line: &str) -> anyhow::Result<Tally> {
        // Some stay until they are let go.
        drop(self.input);
        self.child.finish()?;
        serde_json::from_str(line).context("what the other process has sent or received")
    }
}

/// Time a message takes from all the senders to all the receivers.
///
/// # Errors
/// A channel or process cannot be made, or messages do not arrive as sent.
pub fn fan<R: Serialize>(fan: &Fan, role: impl Fn(Role) -> R) -> anyhow::Result<Vec<Sample>> {
    let name = crate::channel::new_name();
    let receivers = match (fan.receivers, fan.each) {
        (1, _) => Receivers::One,
        (_, false) => Receivers::Competing,
        (_, true) => Receivers::Each,
    };
    let options = Channel::options().ring_bytes(RING_BYTES).message_bytes_max(8).receivers(receivers);
    let channel = options.create(&name)?;
    let receiver = channel.receiver()?;
    let mut receiving = Vec::new();
    for _ in 1..fan.receivers {
        receiving.push(End::start(&role(Role::Receiver { channel: name.clone(), fan: *fan }))?);
    }
    let mut sending = Vec::new();
    for number in 0..fan.senders as u64 {
        sending.push(End::start(&role(Role::Sender { channel: name.clone(), fan: *fan, number }))?);
    }
    run(fan, receiving, sending, || receive(receiver))
}

/// Gives all ends the word to begin and yields the time a message takes, with `receive` as this process's part.
///
/// # Errors
/// An end has failed, or messages do not arrive as sent.
pub fn run(
    fan: &Fan,
    mut receiving: Vec<End>,
    mut sending: Vec<End>,
    receive: impl FnOnce() -> anyhow::Result<Tally>,
) -> anyhow::Result<Vec<Sample>> {
    let pinned = fan.core.map(Pinned::to).transpose()?;
    let began = Instant::now();
    for end in receiving.iter_mut().chain(&mut sending) {
        end.input.write_all(b"\n")?;
    }
    let mut received = vec![receive()?];
    let lines = receiving.iter_mut().map(End::line).collect::<anyhow::Result<Vec<_>>>()?;
    let elapsed = began.elapsed();
    drop(pinned);
    for (end, line) in receiving.into_iter().zip(lines) {
        received.push(end.finish(&line)?);
    }
    let mut sent = Vec::new();
    for mut end in sending {
        let line = end.line()?;
        sent.push(end.finish(&line)?);
    }
    fan::samples(fan, elapsed, &sent, &received)
}
