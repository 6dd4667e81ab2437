//! Eight processes over one channel, which are killed and stopped at random, and every message accounted for.

mod ledger;
mod worker;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidegate::{Channel, ChannelOptions, Order, Receivers, WaitStrategy};

pub(crate) use worker::run;

use crate::child::Process;
use crate::message::mix;
use ledger::Ledger;

/// How long it goes on, in seconds, where that is not said by this variable.
const SECONDS_VARIABLE: &str = "TIDEGATE_SOAK_SECONDS";
const SECONDS: u64 = 8;
const ROUND: Duration = Duration::from_secs(2);
/// Far longer than a round takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PROCESSES: u64 = 8;
const BLOCKS: u32 = 24;

/// What channels there are, and how many of the processes receive.
const KINDS: [(Receivers, Order, u64); 6] = [
    (Receivers::One, Order::PerSender, 1),
    (Receivers::Competing, Order::PerSender, 4),
    (Receivers::Each, Order::PerSender, 3),
    (Receivers::One, Order::Global, 1),
    (Receivers::Competing, Order::Global, 4),
    (Receivers::Each, Order::Global, 3),
];

fn options() -> ChannelOptions {
    let options = Channel::options().senders_max(PROCESSES as u32).message_bytes_max(worker::BYTES_MAX as u32);
    options.ring_bytes(1 << 16).ring_bytes_min(1 << 16).ring_bytes_max(1 << 20).blocks(BLOCKS)
}

/// Where the processes of a channel note what they have sent and received.
fn notes(channel: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("TIDEGATE_DIR").expect("set by main")).join(format!(".{channel}"))
}

pub(crate) fn killed_and_stopped_at_random_they_lose_nothing() {
    let seconds = std::env::var(SECONDS_VARIABLE).map_or(SECONDS, |text| text.parse().expect("seconds"));
    let (end, mut kills, mut messages) = (Instant::now() + Duration::from_secs(seconds), 0, 0);
    for round in 0.. {
        if round >= KINDS.len() as u64 && Instant::now() >= end {
            break;
        }
        let (killed, received) = soak(round);
        kills += killed;
        messages += received;
    }
    eprintln!("{seconds} s: {kills} deaths, {messages} messages, each accounted for");
    assert!(kills > 20 && messages > 1000, "it hardly ran");
}

/// Ends this process if it is not dropped in time.
struct Watchdog(#[expect(dead_code, reason = "its drop tells")] mpsc::Sender<()>);

impl Watchdog {
    fn new(what: String) -> Self {
        let (alive, dropped) = mpsc::channel();
        std::thread::spawn(move || {
            if dropped.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{what} hangs");
                std::process::exit(1);
            }
        });
        Self(alive)
    }
}

/// One of the processes: what it does, and the number that its messages or notes have.
struct Worker {
    is_receiver: bool,
    number: u64,
    process: Process,
}

impl Worker {
    fn start(channel: &str, is_receiver: bool, number: u64) -> Self {
        let role = if is_receiver { "soak_receive" } else { "soak_send" };
        let mut process = Process::start(role, channel, number);
        process.wait_ready();
        Self { is_receiver, number, process }
    }
}

/// Deaths, and messages received.
fn soak(round: u64) -> (u64, u64) {
    let (receivers, order, receiving) = KINDS[(round % KINDS.len() as u64) as usize];
    let name = format!("soak-{round}");
    let _watchdog = Watchdog::new(format!("round {round}, {receivers:?} {order:?}"));
    std::fs::create_dir(notes(&name)).expect("a directory for notes");
    let channel = options().receivers(receivers).order(order).create(&name).expect("create");
    let mut ledger = Ledger::new(receivers, order);
    let (mut random, mut kills) = (mix(round + (u64::from(std::process::id()) << 20)), 0);
    let mut workers: Vec<_> = (0..PROCESSES).map(|number| Worker::start(&name, number < receiving, number)).collect();
    let mut next_number = PROCESSES;
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        random = mix(random.wrapping_add(1));
        std::thread::sleep(Duration::from_micros(random >> 8 & 0x7fff));
        let victim = &mut workers[(random % PROCESSES) as usize];
        match random >> 32 & 7 {
            0 => {
                victim.process.signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(random >> 40 & 31));
                victim.process.signal(Signal::CONT);
            }
            1 => drop(channel.resize(1 << (16 + (random >> 40) % 5))),
            2 => channel.set_wait_strategy([WaitStrategy::Park, WaitStrategy::DEFAULT][(random >> 40 & 1) as usize]),
            _ => {
                victim.process.kill();
                kills += 1;
                ledger.died(victim.is_receiver, victim.number);
                *victim = Worker::start(&name, victim.is_receiver, next_number);
                next_number += 1;
            }
        }
    }
    // First the senders, all at once, since one may wait for its turn; then what is left is received.
    workers.sort_by_key(|worker| worker.is_receiver);
    workers.iter_mut().filter(|worker| !worker.is_receiver).for_each(|worker| worker.process.stop());
    workers.into_iter().for_each(|worker| {
        let _noted_too = worker.process.finish();
    });
    worker::receive_what_is_left(&channel, &name, next_number);
    assert!(channel.is_empty(), "round {round}, {receivers:?} {order:?}: {} messages are left", channel.len());
    let mut sender = channel.sender().expect("sender");
    let receiver = channel.receiver().expect("receiver");
    let blocks: Result<Vec<_>, _> = (0..BLOCKS).map(|_| sender.loan_timeout(1, Duration::from_secs(5))).collect();
    assert!(blocks.is_ok(), "round {round}, {receivers:?} {order:?}: blocks are lost");
    drop((blocks, sender, receiver));
    let messages =
        ledger.check(&notes(&name)).unwrap_or_else(|error| panic!("round {round}, {receivers:?} {order:?}: {error}"));
    std::fs::remove_dir_all(notes(&name)).expect("remove the notes");
    (kills, messages)
}
