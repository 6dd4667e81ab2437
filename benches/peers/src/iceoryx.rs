//! iceoryx2 between two processes: payloads loaned, written and read in place, polled for at both ends.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{BackpressureStrategy, LogLevel, NodeBuilder, ipc, set_log_level};
use serde::{Deserialize, Serialize};
use tidegate_benches::child::Child;
use tidegate_benches::cores::{Cores, Pinned};
use tidegate_benches::load::{self, Load, WORD};
use tidegate_benches::rounds::Sample;

use crate::idle::Idle;

pub(crate) mod fan;

/// The sequence number of the message by which the other process says that it is there.
const HELLO: u64 = u64::MAX - 1;

/// Polls after which the other process is taken to have ended: some seconds of them.
const POLLS_MAX: u64 = 100_000_000;

/// A payload is a slice of words.
type Words = [u64];

/// What the other process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Sends a one-way load.
    Sender { service: String, load: Load, capacity: usize, core: usize, idle: Idle },
    /// Answers each message with a copy of it.
    Echo { ping: String, pong: String, bytes: usize, capacity: usize, core: usize, idle: Idle },
}

/// A service with one publisher and one subscriber, of which this process has one.
struct Service {
    factory: iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, Words, ()>,
    words: usize,
    _node: iceoryx2::node::Node<ipc::Service>,
}

impl Service {
    fn open(name: &str, bytes: usize, capacity: usize) -> Result<Self> {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let factory = node
            .service_builder(&name.try_into()?)
            .publish_subscribe::<Words>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(capacity)
            .max_publishers(1)
            .max_subscribers(1)
            .history_size(0)
            .open_or_create()?;
        Ok(Self { factory, words: bytes / WORD, _node: node })
    }

    fn publisher(&self) -> Result<Publisher<ipc::Service, Words, ()>> {
        let builder = self.factory.publisher_builder().initial_max_slice_len(self.words);
        Ok(builder.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create()?)
    }

    fn subscriber(&self) -> Result<Subscriber<ipc::Service, Words, ()>> {
        Ok(self.factory.subscriber_builder().create()?)
    }
}

fn new_name() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("tidegate-bench-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

fn send(publisher: &Publisher<ipc::Service, Words, ()>, words: usize, sequence: u64, idle: Idle) -> Result<()> {
    // A full subscriber takes nothing, whatever the strategy: the message is then written and sent again.
    while publisher.loan_slice_uninit(words)?.write_from_fn(|_| sequence).send()? == 0 {
        idle.pass();
    }
    Ok(())
}

/// Polls for the next message and adds up its words.
fn receive(subscriber: &Subscriber<ipc::Service, Words, ()>, idle: Idle) -> Result<u64> {
    for _ in 0..POLLS_MAX {
        if let Some(sample) = subscriber.receive()? {
            return Ok(sample.payload().iter().fold(0, |sum, word| sum.wrapping_add(*word)));
        }
        idle.pass();
    }
    bail!("no message came: the other process has ended")
}

impl Role {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Sender { service, load, capacity, core, idle } => {
                let service = Service::open(&service, load.bytes, capacity)?;
                let publisher = service.publisher()?;
                send(&publisher, service.words, HELLO, idle)?;
                let _pinned = Pinned::to(core)?;
                load::produce(&load, |sequence| send(&publisher, service.words, sequence, idle))?;
                wait_for_parent()
            }
            Self::Echo { ping, pong, bytes, capacity, core, idle } => {
                let pings = Service::open(&ping, bytes, capacity)?;
                let pongs = Service::open(&pong, bytes, capacity)?;
                let (subscriber, publisher) = (pings.subscriber()?, pongs.publisher()?);
                send(&publisher, pongs.words, HELLO, idle)?;
                let _pinned = Pinned::to(core)?;
                loop {
                    let Some(sample) = subscriber.receive()? else {
                        idle.pass();
                        continue;
                    };
                    let payload = sample.payload();
                    if payload[0] == load::END {
                        return Ok(());
                    }
                    while publisher.loan_slice_uninit(payload.len())?.write_from_slice(payload).send()? == 0 {
                        idle.pass();
                    }
                }
            }
        }
    }
}

/// Keeps the publisher until the parent has read everything and closes this process's input.
fn wait_for_parent() -> Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn expect_hello(subscriber: &Subscriber<ipc::Service, Words, ()>, words: usize, idle: Idle) -> Result<()> {
    ensure!(receive(subscriber, idle)? == HELLO.wrapping_mul(words as u64), "the other process did not say hello");
    Ok(())
}

/// Time a message takes from another process to this one.
pub(crate) fn one_way(cores: Cores, load: &Load, capacity: usize) -> Result<Vec<Sample>> {
    let (name, idle) = (new_name(), Idle::of(cores));
    let service = Service::open(&name, load.bytes, capacity)?;
    let subscriber = service.subscriber()?;
    let role = Role::Sender { service: name, load: *load, capacity, core: cores.far, idle };
    let (child_stdin, keep) = std::io::pipe().context("pipe")?;
    let child = Child::spawn(&crate::Role::Iceoryx(role), child_stdin, Stdio::null())?;
    expect_hello(&subscriber, service.words, idle)?;
    let pinned = Pinned::to(cores.near)?;
    let samples = load::consume(load, || receive(&subscriber, idle))?;
    drop((pinned, keep));
    child.finish()?;
    Ok(samples)
}

/// Round trips from this process to another and back.
pub(crate) fn ping_pong(cores: Cores, load: &Load, capacity: usize) -> Result<Vec<Sample>> {
    let (ping, pong, idle) = (new_name(), new_name(), Idle::of(cores));
    let pings = Service::open(&ping, load.bytes, capacity)?;
    let pongs = Service::open(&pong, load.bytes, capacity)?;
    let subscriber = pongs.subscriber()?;
    let publisher = pings.publisher()?;
    let role = Role::Echo { ping, pong, bytes: load.bytes, capacity, core: cores.far, idle };
    let child = Child::spawn(&crate::Role::Iceoryx(role), Stdio::null(), Stdio::null())?;
    expect_hello(&subscriber, pongs.words, idle)?;
    let pinned = Pinned::to(cores.near)?;
    let samples = load::round_trips(load, |sequence| {
        send(&publisher, pings.words, sequence, idle)?;
        receive(&subscriber, idle)
    })?;
    send(&publisher, pings.words, load::END, idle)?;
    drop(pinned);
    child.finish()?;
    Ok(samples)
}
