//! The processes of a replay: one sends, one receives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::ClockId;
use serde::{Deserialize, Serialize};
use tidegate::Channel;
use tidegate::channel::RecvError;
use tidegate_training::numbers::{read_dues, write_numbers};
use tidegate_training::workload::{Server, Service};

use crate::failure::Failure;
use crate::message::{self, Head};
use crate::tally::Tally;
use crate::worker::{Sent, now_ns, say, start_ns};

/// How long before it is due something is no more slept for: what a sleep may take too long.
const SLEEP_SPARE_NS: u64 = 500_000;

/// A process of a replay.
#[derive(Debug, Args)]
pub(crate) struct ChildCommand {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Send {
        channel: String,
        dues: PathBuf,
        log: PathBuf,
        #[arg(long)]
        cpu: Option<usize>,
    },
    Receive {
        channel: String,
        service: PathBuf,
        log: PathBuf,
        #[arg(long)]
        cpu: Option<usize>,
    },
}

/// What the receiver saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Received {
    #[serde(flatten)]
    pub(super) tally: Tally,
    pub(super) cpu_ns: u64,
}

pub(crate) fn run(command: &ChildCommand) -> Result<(), Failure> {
    match &command.role {
        Role::Send { channel, dues, log, cpu } => {
            stay_on(*cpu)?;
            send(channel, dues, log)
        }
        Role::Receive { channel, service, log, cpu } => {
            stay_on(*cpu)?;
            receive(channel, service, log)
        }
    }
}

/// Runs on that CPU only (`sched_setaffinity(2)`).
fn stay_on(cpu: Option<usize>) -> Result<(), Failure> {
    let Some(cpu) = cpu else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|e| Failure::Environment(format!("cannot stay on CPU {cpu}: {e}")))
}

fn send(channel: &str, dues: &Path, log: &Path) -> Result<(), Failure> {
    let dues = read_dues(dues).map_err(|e| Failure::io("read", dues, &e))?;
    let channel = Channel::open(channel)?;
    let mut sender = channel.sender()?;
    let mut committed_ns = Vec::with_capacity(dues.len());
    let start_ns = start_ns()?;
    for (sequence, due) in (0u64..).zip(&dues) {
        let due_ns = start_ns + due.after_ns;
        wait_until(due_ns);
        let mut claim = sender.claim(due.bytes as usize).map_err(|e| Failure::Environment(e.to_string()))?;
        let sent_ns = now_ns(ClockId::Monotonic);
        message::write(&mut claim, Head { producer: 0, sequence, at_ns: sent_ns });
        claim.commit();
        committed_ns.push(sent_ns - start_ns);
    }
    drop(sender);
    write_numbers(log, &committed_ns).map_err(|e| Failure::io("write", log, &e))?;
    say(&Sent { messages: dues.len() as u64, cpu_ns: now_ns(ClockId::ProcessCPUTime) })
}

fn receive(channel: &str, service: &Path, log: &Path) -> Result<(), Failure> {
    let text = std::fs::read(service).map_err(|e| Failure::io("read", service, &e))?;
    let service: Service = serde_json::from_slice(&text).map_err(|e| Failure::Corrupt(e.to_string()))?;
    let mut server = Server::new(service);
    let channel = Channel::open(channel)?;
    let mut receiver = channel.receiver()?;
    let start_ns = start_ns()?;
    let mut free_ns = 0;
    let mut seen = Received::default();
    let mut times_ns = Vec::new();
    loop {
        let message = match receiver.recv() {
            Ok(message) => message,
            Err(RecvError::Disconnected) => break,
            Err(error) => return Err(Failure::Environment(error.to_string())),
        };
        let received_ns = now_ns(ClockId::Monotonic).saturating_sub(start_ns);
        let head = seen.tally.count(&message);
        let sent_ns = head.map_or(received_ns, |head| head.at_ns.saturating_sub(start_ns));
        // What was there before the last one was done follows at once: a wait for the clock that took too long is not work.
        let began_ns = if sent_ns <= free_ns { free_ns } else { received_ns };
        free_ns = server.done_ns(began_ns, message.len() as u32);
        wait_until(start_ns + free_ns);
        // Before it is: the sender that waits for the room may have it before this process looks at the clock again.
        let released_ns = now_ns(ClockId::Monotonic).saturating_sub(start_ns);
        drop(message);
        times_ns.extend([received_ns, released_ns]);
    }
    write_numbers(log, &times_ns).map_err(|e| Failure::io("write", log, &e))?;
    seen.cpu_ns = now_ns(ClockId::ProcessCPUTime);
    say(&seen)
}

/// Sleeps as long as it may, and then looks at the clock.
fn wait_until(due_ns: u64) {
    let left_ns = due_ns.saturating_sub(now_ns(ClockId::Monotonic));
    if left_ns > SLEEP_SPARE_NS {
        std::thread::sleep(Duration::from_nanos(left_ns - SLEEP_SPARE_NS));
    }
    while now_ns(ClockId::Monotonic) < due_ns {
        std::hint::spin_loop();
    }
}
