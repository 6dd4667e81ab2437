//! Senders that go on without those who are too slow.

use std::thread;

use tidegate::channel::{RecvError, SendError, TryRecvError, TrySendError};
use tidegate::{Channel, ChannelOptions, Receivers, WhenFull};

fn options(receivers: Receivers) -> ChannelOptions {
    Channel::options().ring_bytes(1 << 12).receivers(receivers).when_full(WhenFull::DropOldest)
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().unwrap())
}

#[test]
fn an_only_receiver_gets_the_newest() {
    let channel = options(Receivers::One).create_anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    assert!(channel.receiver().is_err(), "it is the only one");
    for i in 0..1000u64 {
        sender.try_send(&i.to_le_bytes()).unwrap();
    }
    let dropped = channel.view().lanes[0].dropped;
    assert_eq!(channel.len(), 1000 - dropped);
    assert!((740..760).contains(&dropped), "{dropped}: 4,096 bytes hold some 250 messages of 16");
    for expected in dropped..1000 {
        assert_eq!(number(&receiver.recv().unwrap()), expected);
    }
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(channel.view().lanes[0].dropped, dropped);
}

#[test]
fn a_message_in_hand_is_not_dropped() {
    for receivers in [Receivers::One, Receivers::Each] {
        let channel = options(receivers).create_anonymous().unwrap();
        let (mut receiver, mut sender) = (channel.receiver().unwrap(), channel.sender().unwrap());
        sender.send(&7u64.to_le_bytes()).unwrap();
        let in_hand = receiver.recv().unwrap();
        let mut sent = 0u64;
        while sender.try_send(&sent.to_le_bytes()).is_ok() {
            sent += 1;
        }
        let next = sent.to_le_bytes();
        assert_eq!(sender.try_send(&next), Err(TrySendError::Full));
        assert_eq!(sender.send_timeout(&next, std::time::Duration::from_millis(1)), Err(SendError::Stalled));
        assert_eq!(number(&in_hand), 7);
        drop(in_hand);
        sender.try_send(&sent.to_le_bytes()).unwrap();
        assert_eq!(number(&receiver.recv().unwrap()), 0, "with what was released there is room for one more");
    }
}

#[test]
fn each_receiver_is_told_what_it_missed() {
    let channel = options(Receivers::Each).create_anonymous().unwrap();
    let (mut fast, mut slow) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    let mut sender = channel.sender().unwrap();
    for i in 0..1000u64 {
        sender.try_send(&i.to_le_bytes()).unwrap();
        assert_eq!(number(&fast.recv().unwrap()), i);
    }
    let RecvError::Lapped { missed } = slow.recv().unwrap_err() else { panic!("it was too slow") };
    assert!((740..760).contains(&missed), "{missed}");
    assert_eq!(channel.view().lanes[0].dropped, missed);
    for i in missed..1000 {
        assert_eq!(number(&slow.recv().unwrap()), i);
    }
    drop(sender);
    assert_eq!(slow.recv().unwrap_err(), RecvError::Disconnected);
    assert_eq!(fast.recv().unwrap_err(), RecvError::Disconnected);
}

/// Under load: what was received and what was missed add up, in order.
#[test]
fn nothing_is_missed_without_being_counted() {
    const MESSAGES: u64 = 100_000;
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        let channel = options(receivers).create_anonymous().unwrap();
        let ends: Vec<_> = match receivers {
            Receivers::One => vec![channel.receiver().unwrap()],
            _ => (0..2).map(|_| channel.receiver().unwrap()).collect(),
        };
        let mut sender = channel.sender().unwrap();
        let receiving: Vec<_> = ends
            .into_iter()
            .map(|mut receiver| {
                thread::spawn(move || {
                    let (mut received, mut missed, mut next) = (0, 0, 0);
                    loop {
                        match receiver.recv_batch(5) {
                            Ok(batch) => {
                                for message in batch.iter() {
                                    assert!(number(message) >= next, "in order");
                                    next = number(message) + 1;
                                    received += 1;
                                }
                                if received % 64 == 0 {
                                    thread::yield_now();
                                }
                            }
                            Err(RecvError::Lapped { missed: more }) => {
                                missed += more;
                                next += more;
                            }
                            Err(RecvError::Disconnected) => return (received, missed),
                            Err(e) => panic!("{e}"),
                        }
                    }
                })
            })
            .collect();
        for i in 0..MESSAGES {
            if i % 500 == 0 {
                channel.resize(1 << (12 + i / 500 % 4)).unwrap();
            }
            sender.send(&i.to_le_bytes()).unwrap();
        }
        drop(sender);
        let counts: Vec<_> = receiving.into_iter().map(|receiver| receiver.join().unwrap()).collect();
        let dropped = channel.view().lanes[0].dropped;
        if receivers == Receivers::Each {
            for (received, missed) in counts {
                assert_eq!(received + missed, MESSAGES);
            }
        } else {
            assert_eq!(counts.iter().map(|(received, _)| received).sum::<u64>() + dropped, MESSAGES, "{receivers:?}");
        }
    }
}

#[test]
fn dropped_long_messages_give_their_blocks_back() {
    for receivers in [Receivers::One, Receivers::Each] {
        let channel = options(receivers).message_bytes_max(1 << 17).blocks(256).create_anonymous().unwrap();
        let (mut receiver, mut sender) = (channel.receiver().unwrap(), channel.sender().unwrap());
        for i in 0..6000u64 {
            let mut loan = sender.loan(8).unwrap();
            loan.copy_from_slice(&i.to_le_bytes());
            sender.send_loan(loan).unwrap();
            if i % 100 == 0 {
                match receiver.recv() {
                    Ok(message) => assert!(number(&message) <= i),
                    Err(RecvError::Lapped { missed }) => assert!(missed > 0),
                    Err(e) => panic!("{e}"),
                }
            }
        }
    }
}

#[test]
fn a_receiver_that_stands_before_a_pad_holds_nobody_back() {
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        // Of the lengths tried, most do not divide the ring, which then ends in padding.
        for bytes in (8..=1024).step_by(8) {
            let channel = options(receivers).create_anonymous().unwrap();
            let (mut receiver, mut sender) = (channel.receiver().unwrap(), channel.sender().unwrap());
            let (mut sent, mut received, mut missed) = (0u64, 0u64, 0u64);
            for round in 0..8 {
                for _ in 0..round {
                    match receiver.try_recv() {
                        Ok(message) => received += u64::from(message.len() == bytes),
                        Err(TryRecvError::Lapped { missed: more }) => missed += more,
                        Err(e) => assert_eq!(e, TryRecvError::Empty),
                    }
                }
                for _ in 0..(4096 / bytes) + 3 {
                    sender.try_send(&vec![7; bytes]).unwrap();
                    sent += 1;
                }
            }
            loop {
                match receiver.try_recv() {
                    Ok(message) => received += u64::from(message.len() == bytes),
                    Err(TryRecvError::Lapped { missed: more }) => missed += more,
                    Err(e) => break assert_eq!(e, TryRecvError::Empty),
                }
            }
            let dropped = channel.view().lanes[0].dropped;
            assert_eq!(sent, received + dropped, "{receivers:?}, {bytes} B");
            assert!(receivers != Receivers::Each || missed == dropped, "{missed} told of {dropped}, {bytes} B");
        }
    }
}
