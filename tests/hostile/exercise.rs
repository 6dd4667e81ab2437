//! What a program does with a channel or a lock, each call with a deadline or without waiting. Any answer is right.

use std::time::Duration;

use tidegate::{
    Channel, ChannelOptions, Order, Receiver, Receivers, Sender, ShmMutex, ShmRwLock, ShmSemaphore, WhenFull,
};

/// Shorter than any machine needs, so that most waits are in vain and soon over.
const SHORT: Duration = Duration::from_micros(100);

/// A kind of shared thing.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    options: fn() -> ChannelOptions,
}

pub(crate) const KINDS: [Kind; 8] = [
    Kind { name: "one", options: base },
    Kind { name: "competing", options: || base().receivers(Receivers::Competing) },
    Kind { name: "each-dropping", options: || base().receivers(Receivers::Each).when_full(WhenFull::DropOldest) },
    Kind { name: "each-in-one-order", options: || base().receivers(Receivers::Each).order(Order::Global) },
    Kind { name: "guarded", options: || base().receivers(Receivers::Each) },
    Kind { name: "mutex", options: base },
    Kind { name: "rwlock", options: base },
    Kind { name: "semaphore", options: base },
];

fn base() -> ChannelOptions {
    let options = Channel::options().senders_max(2).message_bytes_max(20_000).blocks(2);
    options.ring_bytes(1 << 16).ring_bytes_min(1 << 16).ring_bytes_max(1 << 17)
}

impl Kind {
    /// Makes one under `name`, with something going on in it.
    pub(crate) fn make(self, name: &str) -> Thing {
        match self.name {
            "mutex" => Thing::Mutex(ShmMutex::create(name, [0; 4]).expect("create")),
            "rwlock" => Thing::RwLock(ShmRwLock::create(name, [0; 4]).expect("create")),
            "semaphore" => Thing::Semaphore(ShmSemaphore::create(name, 3).expect("create")),
            _ => {
                let channel = (self.options)().create(name).expect("create");
                let mut sender = channel.sender().expect("sender");
                let guarded = (self.name == "guarded").then(|| Channel::open_to_receive(name).expect("open"));
                let mut receiver = guarded.as_ref().unwrap_or(&channel).receiver().expect("receiver");
                for _ in 0..3 {
                    sender.send(&[7; 100]).expect("send");
                }
                sender.send(&[8; 18_000]).expect("send");
                drop(receiver.recv().expect("message"));
                Thing::Channel(Box::new(Ends { channel, sender, receiver }))
            }
        }
    }

    /// Opens what has that name, and uses it, if it can be opened.
    pub(crate) fn open_and_use(self, name: &str) {
        match self.name {
            "mutex" => {
                let _any = ShmMutex::<[u64; 4]>::open(name).map(|mutex| Thing::Mutex(mutex).exercise());
            }
            "rwlock" => {
                let _any = ShmRwLock::<[u64; 4]>::open(name).map(|lock| Thing::RwLock(lock).exercise());
            }
            "semaphore" => {
                let _any = ShmSemaphore::open(name).map(|semaphore| Thing::Semaphore(semaphore).exercise());
            }
            _ => {
                if let Ok(mut receiver) = Channel::open_to_receive(name).and_then(|channel| channel.receiver()) {
                    receive(&mut receiver);
                }
                let Ok(channel) = Channel::open(name) else { return };
                look_at(&channel);
                if let Ok(mut sender) = channel.sender() {
                    send(&mut sender);
                }
                if let Ok(mut receiver) = channel.receiver() {
                    receive(&mut receiver);
                }
            }
        }
    }
}

/// A shared thing, and the ends of it that are in this process.
pub(crate) enum Thing {
    Channel(Box<Ends>),
    Mutex(ShmMutex<[u64; 4]>),
    RwLock(ShmRwLock<[u64; 4]>),
    Semaphore(ShmSemaphore),
}

pub(crate) struct Ends {
    channel: Channel,
    sender: Sender,
    receiver: Receiver,
}

impl Thing {
    /// Uses it in every way.
    pub(crate) fn exercise(&mut self) {
        match self {
            Self::Channel(ends) => {
                send(&mut ends.sender);
                receive(&mut ends.receiver);
                look_at(&ends.channel);
                let _any = (ends.channel.resize(1 << 17), ends.channel.reclaim());
                send(&mut ends.sender);
                receive(&mut ends.receiver);
            }
            Self::Mutex(mutex) => {
                let _any = mutex.try_lock().map(|mut value| value[0] = value[0].wrapping_add(1));
                let _any = mutex.lock_timeout(SHORT).map(|mut value| value[1] = value[1].wrapping_add(1));
                mutex.set_strategy(mutex.strategy());
                let _any = (mutex.waits(), mutex.lock_timeout(SHORT).is_ok());
            }
            Self::RwLock(lock) => {
                let _any = lock.try_write().map(|mut value| value[0] = value[0].wrapping_add(1));
                let _any = lock.write_timeout(SHORT).map(|mut value| value[1] = value[1].wrapping_add(1));
                let _any = lock.write_timeout(SHORT).map(|value| value.downgrade()[0]);
                lock.set_strategy(lock.strategy());
                let _any = (lock.try_read().is_ok(), lock.read_timeout(SHORT).map(|value| value[1]), lock.waits());
            }
            Self::Semaphore(semaphore) => {
                let permits = [semaphore.try_acquire().ok(), semaphore.acquire_timeout(SHORT).ok()];
                semaphore.set_wait_strategy(semaphore.wait_strategy());
                let _any = (semaphore.available(), semaphore.returned(), permits);
            }
        }
    }
}

fn send(sender: &mut Sender) {
    let _any = sender.try_send(b"short");
    let _any = sender.send_timeout(&[1; 700], SHORT);
    let _any = sender.send_batch_timeout([[2; 30]; 5], SHORT);
    let _any = sender.try_claim(90).map(tidegate::Claim::abort);
    let _any = sender.try_claim(90).map(|claim| claim.commit_len(10));
    let _any = sender.send_timeout(&[3; 19_000], SHORT);
    let _any = sender.loan_timeout(20_000, SHORT).map(|loan| sender.send_loan_timeout(loan, SHORT));
    let _any = sender.loan_timeout(20_000, SHORT).map(|loan| sender.try_send_loan(loan));
}

fn receive(receiver: &mut Receiver) {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    for _ in 0..3 {
        let _any = receiver.try_recv().map(|message| sum(&message));
    }
    let _any = receiver.recv_timeout(SHORT).map(|message| message.hold().len());
    let _any = receiver.recv_batch_timeout(50, SHORT).map(|batch| batch.iter().map(sum).sum::<u64>());
    let _any = receiver.recv_timeout(SHORT).map(|message| sum(&message));
}

fn look_at(channel: &Channel) {
    let view = channel.view();
    let _any = (channel.len(), channel.capacity(), channel.is_empty(), view.backlog_bytes(), channel.ring_bytes());
    channel.set_wait_strategy(channel.wait_strategy());
}
