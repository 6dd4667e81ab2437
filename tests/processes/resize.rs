//! Resizing under traffic between processes.

use tidegate::{Channel, WaitStrategy};

use crate::child::Process;
use crate::message;

const SIZES: [u64; 5] = [1 << 12, 1 << 16, 1 << 13, 1 << 18, 1 << 14];

/// Waits until every attached sender has entered a ring of `bytes`.
fn resize_to(channel: &Channel, bytes: u64) {
    loop {
        let outcome = channel.resize(bytes).expect("resize");
        if outcome.busy == 0 && outcome.offered == 0 {
            return;
        }
        std::thread::yield_now();
    }
}

/// Rings entered by all senders together.
fn epochs(channel: &Channel) -> u64 {
    channel.view().lanes.iter().map(|lane| lane.epoch).sum()
}

pub(crate) fn a_thousand_resizes_lose_and_double_nothing() {
    let channel = Channel::options().message_bytes_max(message::BYTES_MAX as u32).create("resize").expect("create");
    channel.set_wait_strategy(WaitStrategy::SpinPark { budget_ns: 5_000 });
    let mut consumer = Process::start("receive", "resize", 0);
    consumer.wait_ready();
    let mut producers = [0, 1].map(|producer| Process::start("send", "resize", producer));
    producers.iter_mut().for_each(Process::wait_ready);
    let before = epochs(&channel);
    for step in 0..1000 {
        resize_to(&channel, SIZES[step % SIZES.len()]);
    }
    let moves = epochs(&channel) - before;
    let sent = producers.map(Process::finish);
    let received: u64 = consumer.line().parse().expect("a count");
    let by_producer = [0, 1].map(|_| consumer.line().parse::<u64>().expect("a count"));
    assert_eq!(by_producer, sent, "received and sent, by producer");
    assert_eq!(received, sent.iter().sum::<u64>());
    assert!(moves >= 2000, "each of 2 senders moved 1,000 times, up and down; {moves} moves");
    assert!(sent.iter().all(|&sent| sent >= 1000), "{sent:?}: each move comes with a message");
}

pub(crate) fn memory_of_left_rings_comes_back() {
    let channel = Channel::options().message_bytes_max(message::BYTES_MAX as u32).create("memory").expect("create");
    let words = channel.resident_bytes().expect("resident");
    let mut consumer = Process::start("receive", "memory", 0);
    consumer.wait_ready();
    let mut producer = Process::start("send", "memory", 0);
    producer.wait_ready();
    resize_to(&channel, 1 << 22);
    assert!(channel.resident_bytes().expect("resident") >= words + (1 << 22));
    resize_to(&channel, 1 << 12);
    // The ring that was left comes back once the receiver has passed it and somebody looks.
    while channel.resident_bytes().expect("resident") > words + (1 << 12) {
        channel.resize(1 << 12).expect("resize");
        std::thread::yield_now();
    }
    producer.finish();
}
