//! Receivers in several processes, which are killed.

use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate::channel::{RecvError, SendError};
use tidegate::{Channel, Receivers};

use crate::child::Process;
use crate::message;

fn create(name: &str) -> Channel {
    let options = Channel::options().ring_bytes(1 << 13).message_bytes_max(message::BYTES_MAX as u32);
    options.receivers(Receivers::Competing).create(name).expect("create")
}

/// The numbers of the messages that a child has told of.
fn told(output: JoinHandle<String>) -> Vec<u64> {
    // The last line may be cut by the death: what it would have told was in hand.
    let text = output.join().expect("read");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| line.parse().expect("a number")).collect()
}

pub(crate) fn what_a_killed_receiver_had_in_hand_goes_to_another() {
    const KILLS: u64 = 12;
    let channel = create("competing");
    let mut sender = Process::start("send", "competing", 0);
    sender.wait_ready();
    let mut receiver = channel.receiver().expect("receiver");
    let mut received = Vec::new();
    let mut doubled_by_death = 0;
    for kill in 0..KILLS {
        let mut other = Process::start("receive_and_tell", "competing", 0);
        other.wait_ready();
        let output = other.rest();
        for _ in 0..message::mix(kill) % 2000 {
            received.push(message::check(&receiver.recv().expect("message")).1);
        }
        other.kill();
        received.extend(told(output));
        doubled_by_death += 1;
    }
    let mut last = Process::start("receive_and_tell", "competing", 0);
    last.wait_ready();
    let output = last.rest();
    sender.stop();
    loop {
        match receiver.recv_timeout(Duration::from_secs(60)) {
            Ok(message) => received.push(message::check(&message).1),
            Err(RecvError::Disconnected) => break,
            Err(e) => panic!("{e}"),
        }
    }
    let sent = sender.finish();
    received.extend(told(output));
    let different: BTreeSet<u64> = received.iter().copied().collect();
    assert_eq!(different.len() as u64, sent, "a message was lost");
    assert_eq!(different.last(), Some(&(sent - 1)));
    let doubled = received.len() - different.len();
    assert!(doubled <= doubled_by_death, "{doubled} doubled: only what was in hand at a death may come again");
    assert!(sent > 5 * KILLS, "{sent} messages: the sender hardly ran");
}

pub(crate) fn the_last_receiver_to_die_is_reported() {
    let channel = create("competing-last");
    let mut sender = channel.sender().expect("sender");
    let mut children = [0, 1].map(|_| Process::start("receive_and_tell", "competing-last", 0));
    children.iter_mut().for_each(Process::wait_ready);
    children[0].kill();
    let last = children[1].pid();
    children[1].kill();
    let mut sent = 0;
    let error = loop {
        let mut claim = match sender.claim(message::len(0, sent)) {
            Ok(claim) => claim,
            Err(error) => break error,
        };
        message::fill(&mut claim, 0, sent);
        claim.commit();
        sent += 1;
    };
    assert!(matches!(error, SendError::PeerDied { pid } if pid == last || pid == children[0].pid()), "{error}");
    let mut receiver = channel.receiver().expect("a free seat");
    for sequence in 0..sent {
        assert_eq!(message::check(&receiver.recv().expect("message")), (0, sequence));
    }
}

pub(crate) fn a_killed_receiver_holds_nobody_back() {
    let options = Channel::options().ring_bytes(1 << 13).message_bytes_max(message::BYTES_MAX as u32);
    let channel = options.receivers(Receivers::Each).create("broadcast").expect("create");
    let mut receiver = channel.receiver().expect("receiver");
    let mut sender = Process::start("send", "broadcast", 0);
    sender.wait_ready();
    let mut next = 0;
    for kill in 0..10 {
        let mut other = Process::start("sleep_with_receiver", "broadcast", 0);
        other.wait_ready();
        let parks = channel.view().lanes[0].sender_waits.parks;
        if kill % 2 == 0 {
            // The sender runs into the sleeper's back.
            while channel.view().lanes[0].sender_waits.parks == parks {
                while let Ok(message) = receiver.try_recv() {
                    assert_eq!(message::check(&message), (0, next));
                    next += 1;
                }
            }
        }
        other.kill();
        for _ in 0..500 {
            assert_eq!(message::check(&receiver.recv().expect("message")), (0, next));
            next += 1;
        }
    }
    sender.stop();
    while let Ok(message) = receiver.recv() {
        assert_eq!(message::check(&message), (0, next));
        next += 1;
    }
    assert_eq!(sender.finish(), next);
}
