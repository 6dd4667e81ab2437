//! The processes of a run, and what each tells when it has ended.

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidegate::Channel;
use tidegate::channel::{Receiver, RecvError, Sender};
use tidegate_benches::cores::Pinned;
use tidegate_benches::fan::Tally;
use tidegate_training::numbers::read_dues;
use tidegate_training::simulate::Latency;
use tidegate_training::workload::{Due, Server, Service};

use crate::clock::{be_punctual, cpu_ns, now_ns, sleep_until, work_until};
use crate::workloads::HEAD_BYTES;

/// Messages between two looks at the clock of one that sends as fast as can be.
const BATCH: u64 = 64;

/// What another process does, and where, if it is not wherever the kernel runs it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) core: Option<usize>,
}

/// What another process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Sends what is due when it is due.
    Send { channel: String, dues: PathBuf },
    /// Sends messages of these sizes in turn for the window.
    Flat { channel: String, sizes: Vec<u32>, window_ns: u64 },
    /// Receives to the end; of what is sent as fast as can be, what is received within the window counts.
    Receive { channel: String, service: Service, window_ns: Option<u64> },
    /// Sends, and waits for the answer, for the window.
    Ping { there: String, back: String, bytes: u32, window_ns: u64 },
    /// Answers each message with a copy.
    Pong { there: String, back: String },
}

/// When a run begins, and from when on it counts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) at_ns: u64,
    pub(crate) counts_from_ns: u64,
}

/// What an end did since it counts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// All messages, those before it counted too: none may be missing.
    pub(crate) sent: Tally,
    pub(crate) received: Tally,
    /// Messages, or round trips, that count.
    pub(crate) counted: u64,
    /// CPU time, but for that of the work which a real program would do.
    pub(crate) cpu_ns: u64,
    /// Time in sends that had to wait.
    pub(crate) blocked_ns: u64,
    /// Time in which there was a message to receive and the receiver had nothing else to do.
    pub(crate) late_ns: u64,
    /// From when a message was due to when it was received; of a round trip, there and back.
    pub(crate) latency_ns: Latency,
    /// When it ended.
    pub(crate) ended_ns: u64,
}

/// What is subtracted from the time an end uses.
struct Meter {
    cpu_before_ns: u64,
    worked_ns: u64,
    counts_from_ns: u64,
    counts: bool,
}

impl Meter {
    fn new(start: Start) -> Self {
        Self { cpu_before_ns: cpu_ns(), worked_ns: 0, counts_from_ns: start.counts_from_ns, counts: false }
    }

    /// Whether what happens at `at_ns` counts; from the first that does, CPU time is counted.
    fn counts(&mut self, at_ns: u64) -> bool {
        if !self.counts && at_ns >= self.counts_from_ns {
            self.counts = true;
            (self.cpu_before_ns, self.worked_ns) = (cpu_ns(), 0);
        }
        self.counts
    }

    fn cpu_ns(&self) -> u64 {
        (cpu_ns() - self.cpu_before_ns).saturating_sub(self.worked_ns)
    }
}

impl Part {
    /// Does it, between standard input and standard output.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        be_punctual()?;
        let _pinned = self.core.map(Pinned::to).transpose()?;
        println!("{}", serde_json::to_string(&self.role.run()?)?);
        Ok(())
    }
}

impl Role {
    fn run(self) -> anyhow::Result<Ended> {
        Ok(match self {
            Self::Send { channel, dues } => {
                let dues = read_dues(&dues)?;
                send(Channel::open(&channel)?.sender()?, &dues, await_start()?)?
            }
            Self::Flat { channel, sizes, window_ns } => {
                flat(Channel::open(&channel)?.sender()?, &sizes, window_ns, await_start()?)?
            }
            Self::Receive { channel, service, window_ns } => {
                receive(Channel::open(&channel)?.receiver()?, Server::new(service), window_ns, await_start()?)?
            }
            Self::Ping { there, back, bytes, window_ns } => {
                let (there, back) = (Channel::open(&there)?.sender()?, Channel::open(&back)?.receiver()?);
                ping(there, back, bytes, window_ns, await_start()?)?
            }
            Self::Pong { there, back } => {
                let (there, back) = (Channel::open(&there)?.receiver()?, Channel::open(&back)?.sender()?);
                pong(there, back, await_start()?)?
            }
        })
    }
}

/// Says that this end is there, and waits for the word when to begin.
fn await_start() -> anyhow::Result<Start> {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let start: Start = serde_json::from_str(&line).context("the process that measures has ended")?;
    sleep_until(start.at_ns);
    Ok(start)
}

/// Sends one message, with its number, the time and when it was due at its head.
fn send_one(sender: &mut Sender, sent: &mut Tally, bytes: u32, (at_ns, due_ns): (u64, u64)) -> anyhow::Result<()> {
    let mut claim = sender.claim(bytes as usize)?;
    let number = sent.messages;
    let (head, body) = claim.split_at_mut(HEAD_BYTES as usize);
    head[..8].copy_from_slice(&number.to_ne_bytes());
    head[8..16].copy_from_slice(&at_ns.to_ne_bytes());
    head[16..].copy_from_slice(&due_ns.to_ne_bytes());
    body.fill(number as u8);
    claim.commit();
    sent.add(number);
    Ok(())
}

fn send(mut sender: Sender, dues: &[Due], start: Start) -> anyhow::Result<Ended> {
    let (mut ended, mut meter) = (Ended::default(), Meter::new(start));
    for due in dues {
        let due_ns = start.at_ns + due.after_ns;
        let counts = meter.counts(due_ns);
        meter.worked_ns += work_until(due_ns);
        let began_ns = now_ns();
        send_one(&mut sender, &mut ended.sent, due.bytes, (began_ns, due_ns))?;
        if counts {
            ended.counted += 1;
            ended.blocked_ns += now_ns() - began_ns;
        }
    }
    drop(sender);
    Ok(Ended { cpu_ns: meter.cpu_ns(), ended_ns: now_ns(), ..ended })
}

fn flat(mut sender: Sender, sizes: &[u32], window_ns: u64, start: Start) -> anyhow::Result<Ended> {
    let (mut ended, mut meter) = (Ended::default(), Meter::new(start));
    let mut sizes = sizes.iter().cycle();
    loop {
        let now = now_ns();
        if now >= start.counts_from_ns + window_ns {
            break;
        }
        let counts = meter.counts(now);
        for bytes in sizes.by_ref().take(BATCH as usize) {
            send_one(&mut sender, &mut ended.sent, *bytes, (now, now))?;
        }
        ended.counted += if counts { BATCH } else { 0 };
    }
    drop(sender);
    Ok(Ended { cpu_ns: meter.cpu_ns(), ended_ns: now_ns(), ..ended })
}

fn receive(mut receiver: Receiver, mut server: Server, window_ns: Option<u64>, start: Start) -> anyhow::Result<Ended> {
    let (mut ended, mut meter) = (Ended::default(), Meter::new(start));
    let until_ns = window_ns.map_or(u64::MAX, |window_ns| start.counts_from_ns + window_ns);
    let mut latencies_ns = Vec::new();
    let mut done_ns = 0;
    let mut is_over = false;
    loop {
        let message = match receiver.recv() {
            Ok(message) => message,
            Err(RecvError::Disconnected) => break,
            Err(error) => return Err(error.into()),
        };
        let received_ns = now_ns();
        let (number, sent_ns, due_ns) = head(&message)?;
        ended.received.add(number);
        if is_over {
            continue;
        }
        if received_ns >= until_ns {
            is_over = true;
            (ended.cpu_ns, ended.ended_ns) = (meter.cpu_ns(), received_ns);
            continue;
        }
        if meter.counts(if window_ns.is_some() { received_ns } else { sent_ns }) {
            ended.counted += 1;
            latencies_ns.push(received_ns.saturating_sub(due_ns));
            ended.late_ns += received_ns.saturating_sub(sent_ns.max(done_ns));
        }
        done_ns = start.at_ns + server.done_ns(received_ns - start.at_ns, message.len() as u32);
        if done_ns > received_ns {
            while now_ns() < done_ns {
                std::hint::spin_loop();
            }
            meter.worked_ns += done_ns - received_ns;
        }
        drop(message);
        done_ns = now_ns();
    }
    if !is_over {
        (ended.cpu_ns, ended.ended_ns) = (meter.cpu_ns(), now_ns());
    }
    Ok(Ended { latency_ns: Latency::of(&mut latencies_ns), ..ended })
}

fn ping(mut there: Sender, mut back: Receiver, bytes: u32, window_ns: u64, start: Start) -> anyhow::Result<Ended> {
    let (mut ended, mut meter) = (Ended::default(), Meter::new(start));
    let mut latencies_ns = Vec::new();
    let mut now = now_ns();
    while now < start.counts_from_ns + window_ns {
        let counts = meter.counts(now);
        send_one(&mut there, &mut ended.sent, bytes, (now, now))?;
        let (number, sent_ns, _) = head(&back.recv()?)?;
        ended.received.add(number);
        now = now_ns();
        if counts {
            ended.counted += 1;
            latencies_ns.push(now - sent_ns);
        }
    }
    drop(there);
    Ok(Ended { cpu_ns: meter.cpu_ns(), latency_ns: Latency::of(&mut latencies_ns), ended_ns: now_ns(), ..ended })
}

fn pong(mut there: Receiver, mut back: Sender, start: Start) -> anyhow::Result<Ended> {
    let (mut ended, mut meter) = (Ended::default(), Meter::new(start));
    loop {
        let message = match there.recv() {
            Ok(message) => message,
            Err(RecvError::Disconnected) => break,
            Err(error) => return Err(error.into()),
        };
        let (number, sent_ns, _) = head(&message)?;
        meter.counts(sent_ns);
        back.send(&message)?;
        ended.received.add(number);
        ended.sent.add(number);
    }
    Ok(Ended { cpu_ns: meter.cpu_ns(), ended_ns: now_ns(), ..ended })
}

/// Number of a message, when it was sent, and when it was due.
fn head(message: &[u8]) -> anyhow::Result<(u64, u64, u64)> {
    let word = |at: usize| Some(u64::from_ne_bytes(*message.get(at..)?.first_chunk()?));
    let words = || Some((word(0)?, word(8)?, word(16)?));
    words().context("a message without a head")
}
