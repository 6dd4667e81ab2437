//! iceoryx2 with many ends: one word a payload, loaned and written in place, polled for by every subscriber.
//!
//! A subscriber connects to the publishers that it finds, and a publisher to the subscribers that it finds as it sends. So
//! publishers come first: what is sent to a subscriber that has not connected is lost when its buffer is full. After that
//! a full buffer holds its publisher back.

use anyhow::{Result, bail, ensure};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{BackpressureStrategy, LogLevel, NodeBuilder, ipc, set_log_level};
use serde::{Deserialize, Serialize};
use tidegate_benches::cores::Pinned;
use tidegate_benches::fan::{self, Fan, Tally};
use tidegate_benches::load::END;
use tidegate_benches::processes::{self, End};
use tidegate_benches::rounds::Sample;

use super::{POLLS_MAX, new_name, wait_for_parent};
use crate::idle::Idle;

/// What another process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Sends for the window, and says at its end that this was all.
    Publisher { service: String, fan: Fan, number: u64, capacity: usize },
    /// Receives until every publisher has said so.
    Subscriber { service: String, fan: Fan, capacity: usize },
}

impl Role {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Publisher { service, fan, number, capacity } => {
                let service = Service::open(&service, &fan, capacity)?;
                let publisher = service.publisher()?;
                let _pinned = fan.core.map(Pinned::to).transpose()?;
                processes::await_word()?;
                let tally = fan::produce(&fan, number, |message| send(&publisher, &fan, message))?;
                send(&publisher, &fan, END)?;
                processes::tell(&tally)?;
                wait_for_parent()
            }
            Self::Subscriber { service, fan, capacity } => {
                let service = Service::open(&service, &fan, capacity)?;
                let subscriber = service.subscriber()?;
                let _pinned = fan.core.map(Pinned::to).transpose()?;
                processes::await_word()?;
                processes::tell(&receive(&subscriber, &fan)?)
            }
        }
    }
}

/// A service of which this process has one end.
struct Service {
    factory: iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, u64, ()>,
    _node: iceoryx2::node::Node<ipc::Service>,
}

impl Service {
    fn open(name: &str, fan: &Fan, capacity: usize) -> Result<Self> {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let factory = node
            .service_builder(&name.try_into()?)
            .publish_subscribe::<u64>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(capacity)
            .max_publishers(fan.senders)
            .max_subscribers(fan.receivers)
            .history_size(0)
            .open_or_create()?;
        Ok(Self { factory, _node: node })
    }

    fn publisher(&self) -> Result<Publisher<ipc::Service, u64, ()>> {
        let builder = self.factory.publisher_builder();
        Ok(builder.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create()?)
    }

    fn subscriber(&self) -> Result<Subscriber<ipc::Service, u64, ()>> {
        Ok(self.factory.subscriber_builder().create()?)
    }
}

fn send(publisher: &Publisher<ipc::Service, u64, ()>, fan: &Fan, message: u64) -> Result<()> {
    let reached = publisher.loan_uninit()?.write_payload(message).send()?;
    ensure!(reached == fan.receivers, "a message has reached {reached} of {} subscribers", fan.receivers);
    Ok(())
}

/// Polls for messages until every publisher has ended.
fn receive(subscriber: &Subscriber<ipc::Service, u64, ()>, fan: &Fan) -> Result<Tally> {
    let (mut tally, mut ended, mut polls) = (Tally::default(), 0, 0);
    while polls < POLLS_MAX {
        let Some(message) = subscriber.receive()? else {
            polls += 1;
            // There are more ends than cores.
            Idle::Yield.pass();
            continue;
        };
        polls = 0;
        match *message {
            END => ended += 1,
            message => tally.add(message),
        }
        if ended == fan.senders {
            return Ok(tally);
        }
    }
    bail!("no message came: a publisher has ended without a word")
}

/// Time a message takes from all the publishers to all the subscribers, which each get all.
pub(crate) fn fan(fan: &Fan, capacity: usize) -> Result<Vec<Sample>> {
    let name = new_name();
    let publisher = |number| Role::Publisher { service: name.clone(), fan: *fan, number, capacity };
    let sending = (0..fan.senders as u64).map(|number| start(publisher(number))).collect::<Result<Vec<_>>>()?;
    let subscriber = || Role::Subscriber { service: name.clone(), fan: *fan, capacity };
    let receiving = (1..fan.receivers).map(|_| start(subscriber())).collect::<Result<Vec<_>>>()?;
    let service = Service::open(&name, fan, capacity)?;
    let here = service.subscriber()?;
    processes::run(fan, receiving, sending, || receive(&here, fan))
}

fn start(role: Role) -> Result<End> {
    End::start(&crate::Role::IceoryxFan(role))
}
