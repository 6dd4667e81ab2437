//! Senders whose messages are all in one order.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tidegate::channel::{RecvError, TryRecvError, TrySendError};
use tidegate::{Channel, ChannelOptions, Order, Receivers, WaitStrategy, WhenFull};

fn options() -> ChannelOptions {
    Channel::options().ring_bytes(1 << 12).order(Order::Global)
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().unwrap())
}

#[test]
fn what_is_sent_after_another_has_returned_is_received_after_it() {
    const MESSAGES: u64 = 10_000;
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        let channel = options().receivers(receivers).create_anonymous().unwrap();
        let (mut receiver, next) = (channel.receiver().unwrap(), Arc::new(Mutex::new(0)));
        let sending = [0, 1, 2].map(|_| {
            let (mut sender, next) = (channel.sender().unwrap(), Arc::clone(&next));
            thread::spawn(move || {
                loop {
                    let mut next = next.lock().unwrap();
                    if *next == MESSAGES {
                        return;
                    }
                    sender.send(&u64::to_le_bytes(*next)).unwrap();
                    *next += 1;
                }
            })
        });
        for expected in 0..MESSAGES {
            assert_eq!(number(&receiver.recv().unwrap()), expected);
        }
        sending.into_iter().for_each(|sender| sender.join().unwrap());
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
        assert!(channel.is_empty());
    }
}

#[test]
fn nothing_is_lost_or_doubled_in_a_crowd() {
    const MESSAGES: u64 = 20_000;
    for strategy in [WaitStrategy::DEFAULT, WaitStrategy::Park, WaitStrategy::SpinYield] {
        let channel = options().receivers(Receivers::Competing).create_anonymous().unwrap();
        channel.set_wait_strategy(strategy);
        let sending = [0, 1, 2].map(|id: u64| {
            let mut sender = channel.sender().unwrap();
            thread::spawn(move || {
                for sequence in 0..MESSAGES {
                    let mut claim = sender.claim(8 + (sequence % 5) as usize * 8).unwrap();
                    claim[..8].copy_from_slice(&(id << 32 | sequence).to_le_bytes());
                    match sequence % 3 {
                        0 => claim.commit(),
                        1 => claim.commit_len(8),
                        _ => {
                            claim.abort();
                            sender.send(&(id << 32 | sequence).to_le_bytes()).unwrap();
                        }
                    }
                }
            })
        });
        let receiving = [0, 1].map(|_| {
            let mut receiver = channel.receiver().unwrap();
            thread::spawn(move || receiver.iter().map(|message| number(&message.unwrap())).collect::<Vec<_>>())
        });
        sending.into_iter().for_each(|sender| sender.join().unwrap());
        let mut received: Vec<_> = receiving.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect();
        received.sort_unstable();
        let sent: Vec<_> = (0..3u64).flat_map(|id| (0..MESSAGES).map(move |sequence| id << 32 | sequence)).collect();
        assert!(received == sent, "{} of {}", received.len(), sent.len());
        assert_eq!(channel.len(), 0);
    }
}

#[test]
fn a_claim_keeps_its_place_until_it_is_committed_or_given_up() {
    let channel = options().create_anonymous().unwrap();
    let (mut one, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    let mut claim = one.claim(3).unwrap();
    other.send(b"second").unwrap();
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
    claim.copy_from_slice(b"1st");
    claim.commit();
    assert_eq!(*receiver.recv().unwrap(), *b"1st");
    assert_eq!(*receiver.recv().unwrap(), *b"second");

    let claim = one.claim(100).unwrap();
    other.send(b"third").unwrap();
    drop(claim);
    assert_eq!(*receiver.recv().unwrap(), *b"third");

    std::mem::forget(one.claim(100).unwrap());
    other.send(b"fourth").unwrap();
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
    one.send(b"fifth").unwrap();
    assert_eq!(*receiver.recv().unwrap(), *b"fourth", "the next claim gives up one that was forgotten");
    std::mem::forget(one.claim(100).unwrap());
    other.send(b"sixth").unwrap();
    drop(one);
    assert_eq!(*receiver.recv().unwrap(), *b"fifth");
    assert_eq!(*receiver.recv().unwrap(), *b"sixth", "so does who leaves");
    drop(other);
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}

#[test]
fn claims_that_are_given_up_take_no_room() {
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        let channel = options().receivers(receivers).create_anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let receiving = thread::spawn(move || receiver.recv().map(|message| message.to_vec()));
        let mut other = channel.sender().unwrap();
        // Of all sizes, so that some do not fit before the ring's end.
        (0..10_000).for_each(|round| {
            let claim = sender.claim(round % 1000).unwrap();
            drop((claim, other.claim(600).unwrap()));
        });
        sender.send(b"at last").unwrap();
        assert_eq!(receiving.join().unwrap().unwrap(), b"at last");
        assert_eq!(channel.view().lanes[0].sent_messages, 1);
    }
}

#[test]
fn a_full_ring_refuses_and_drops_as_any_other() {
    let channel = options().create_anonymous().unwrap();
    let (mut one, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    while one.try_send(&[1; 100]).is_ok() {}
    assert_eq!(other.try_send(&[2; 100]).unwrap_err(), TrySendError::Full);
    // More than one, since the frame may not fit before the ring's end.
    (0..3).for_each(|_| assert_eq!(*receiver.recv().unwrap(), [1; 100]));
    other.try_send(&[2; 100]).unwrap();

    let channel = options().when_full(WhenFull::DropOldest).create_anonymous().unwrap();
    let (mut one, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    for pair in 0..1000u64 {
        one.send(&(2 * pair).to_le_bytes()).unwrap();
        other.send(&(2 * pair + 1).to_le_bytes()).unwrap();
    }
    let received: Vec<_> = receiver.try_iter().map(|message| number(&message.unwrap())).collect();
    let dropped = channel.view().lanes[0].dropped;
    assert!(dropped > 0 && received.iter().copied().eq(dropped..2000), "{dropped} dropped, {received:?}");
}

#[test]
fn long_messages_loans_and_batches_keep_the_order() {
    let channel = options().message_bytes_max(1 << 20).blocks(4).create_anonymous().unwrap();
    let (mut one, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    let mut loan = one.loan(100_000).unwrap();
    loan.fill(2);
    other.send(&vec![1; 200_000]).unwrap();
    one.send_loan(loan).unwrap();
    assert_eq!(other.send_batch([[3; 10], [4; 10]]).unwrap(), 2);
    for (value, len) in [(1, 200_000), (2, 100_000), (3, 10), (4, 10)] {
        let message = receiver.recv().unwrap();
        assert!(message.len() == len && message.iter().all(|&byte| byte == value), "{value}");
    }
    drop(one.claim(100_000).unwrap());
    let loans: Vec<_> = (0..4).map(|_| other.loan(1).unwrap()).collect();
    assert!(one.loan_timeout(1, Duration::from_millis(1)).is_err(), "all four are out, and no more");
    drop(loans);
}

#[test]
fn the_ring_is_resized_while_senders_take_turns() {
    const MESSAGES: u64 = 30_000;
    let channel = options().create_anonymous().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let sending = [0, 1].map(|id: u64| {
        let mut sender = channel.sender().unwrap();
        thread::spawn(move || {
            (0..MESSAGES).for_each(|sequence| sender.send(&(id << 32 | sequence).to_le_bytes()).unwrap())
        })
    });
    let (mut next, mut resized) = ([0; 2], 0);
    for message in 0..2 * MESSAGES {
        if message % 500 == 0 {
            resized += channel.resize(1 << (12 + message / 500 % 5)).unwrap().offered;
        }
        let word = number(&receiver.recv().unwrap());
        let (id, sequence) = ((word >> 32) as usize, word & 0xffff_ffff);
        assert_eq!(sequence, next[id]);
        next[id] += 1;
    }
    sending.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(resized > 10, "{resized}");
    assert_eq!(channel.capacity(), 0, "no sender is left");
    let _sender = channel.sender().unwrap();
    assert_eq!(channel.capacity(), channel.view().lanes[0].ring_bytes);
    assert!(channel.view().lanes[0].epoch > 1);
    assert!(channel.view().lanes[1..].iter().all(|lane| lane.ring_bytes == 0));
}
