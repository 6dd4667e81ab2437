//! Receivers that each get every message.

use std::thread;
use std::time::Duration;

use tidegate::channel::{RecvError, SendError, TryRecvError, TrySendError};
use tidegate::{Channel, ChannelOptions, Receiver, Receivers, WaitStrategy};

fn options() -> ChannelOptions {
    Channel::options().ring_bytes(1 << 12).receivers(Receivers::Each)
}

/// Receives numbers to the end.
fn receive_all(mut receiver: Receiver) -> Vec<u64> {
    let mut received = Vec::new();
    loop {
        match receiver.recv() {
            Ok(message) => received.push(u64::from_le_bytes(message[..8].try_into().unwrap())),
            Err(RecvError::Disconnected) => return received,
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn each_receiver_gets_all_in_order() {
    const MESSAGES: u64 = 20_000;
    for strategy in [WaitStrategy::DEFAULT, WaitStrategy::Park, WaitStrategy::SpinYield] {
        let channel = options().create_anonymous().unwrap();
        channel.set_wait_strategy(strategy);
        let receivers: Vec<_> = (0..4).map(|_| channel.receiver().unwrap()).collect();
        let mut sender = channel.sender().unwrap();
        let receiving: Vec<_> =
            receivers.into_iter().map(|receiver| thread::spawn(move || receive_all(receiver))).collect();
        for number in 0..MESSAGES {
            if number % 7 == 0 {
                channel.resize(1 << (12 + number % 4)).unwrap();
            }
            sender.send(&number.to_le_bytes()).unwrap();
        }
        drop(sender);
        for received in receiving {
            assert!(received.join().unwrap().into_iter().eq(0..MESSAGES));
        }
    }
}

#[test]
fn senders_that_come_later_are_heard_by_all() {
    let channel = options().create_anonymous().unwrap();
    let mut receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
    let mut first = channel.sender().unwrap();
    first.send(b"first").unwrap();
    assert_eq!(*receivers[0].recv().unwrap(), *b"first");
    let mut second = channel.sender().unwrap();
    second.send(b"second").unwrap();
    assert_eq!(*receivers[0].recv().unwrap(), *b"second");
    for expected in [b"first".as_slice(), b"second"] {
        assert_eq!(*receivers[1].recv().unwrap(), *expected);
    }
}

#[test]
fn who_comes_later_hears_what_comes_later() {
    let channel = options().create_anonymous().unwrap();
    let mut sender = channel.sender().unwrap();
    for _ in 0..1000 {
        sender.send(b"nobody is there, so nobody holds it back").unwrap();
    }
    let mut early = channel.receiver().unwrap();
    sender.send(b"one").unwrap();
    let mut late = channel.receiver().unwrap();
    sender.send(b"two").unwrap();
    assert_eq!(*early.recv().unwrap(), *b"one");
    assert_eq!(*early.recv().unwrap(), *b"two");
    assert_eq!(*late.recv().unwrap(), *b"two");
    assert_eq!(late.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn receivers_come_and_go_under_traffic() {
    const MESSAGES: u64 = 30_000;
    let channel = options().create_anonymous().unwrap();
    let stayer = channel.receiver().unwrap();
    let mut sender = channel.sender().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || assert!(receive_all(stayer).into_iter().eq(0..MESSAGES)));
        for _ in 0..2 {
            let channel = &channel;
            scope.spawn(move || {
                for _ in 0..100 {
                    let Ok(mut receiver) = channel.receiver() else { continue };
                    let mut last = None;
                    for _ in 0..50 {
                        let Ok(message) = receiver.recv_timeout(Duration::from_millis(1)) else { break };
                        let number = u64::from_le_bytes((*message).try_into().unwrap());
                        assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
                        last = Some(number);
                    }
                }
            });
        }
        scope.spawn(move || (0..MESSAGES).for_each(|number| sender.send(&number.to_le_bytes()).unwrap()));
    });
}

#[test]
fn the_slowest_holds_back_until_it_leaves() {
    let channel = options().create_anonymous().unwrap();
    let mut sender = channel.sender().unwrap();
    let (mut fast, slow) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    let mut sent = 0;
    while sender.try_send(&[7; 100]).is_ok() {
        fast.recv().unwrap();
        sent += 1;
    }
    assert!((30..40).contains(&sent), "{sent} messages of 108 bytes in 4,096");
    assert_eq!(channel.len(), sent);
    assert_eq!(sender.try_send(&[7; 100]), Err(TrySendError::Full));
    let sending = thread::spawn(move || sender.send(&[8; 100]).map(|()| sender));
    drop(slow);
    let mut sender = sending.join().unwrap().unwrap();
    assert_eq!(*fast.recv().unwrap(), [8; 100]);
    drop(fast);
    assert_eq!(sender.send(b"all have gone"), Err(SendError::Disconnected));
}

#[test]
fn long_messages_are_shared_and_their_blocks_come_back() {
    let channel = options().message_bytes_max(1 << 20).blocks(3).create_anonymous().unwrap();
    let receivers: Vec<_> = (0..3).map(|_| channel.receiver().unwrap()).collect();
    let mut sender = channel.sender().unwrap();
    let receiving: Vec<_> = receivers
        .into_iter()
        .map(|mut receiver| {
            thread::spawn(move || {
                let mut held = Vec::new();
                for number in 0..50u8 {
                    let message = receiver.recv().unwrap();
                    assert!(message.len() == 200_000 && message.iter().all(|&byte| byte == number));
                    if number % 10 == 0 {
                        held.push(message.hold());
                    }
                }
                held.iter().zip((0..50).step_by(10)).all(|(message, number)| message.iter().all(|&b| b == number))
            })
        })
        .collect();
    for number in 0..50 {
        sender.send(&vec![number; 200_000]).unwrap();
    }
    assert!(receiving.into_iter().all(|receiver| receiver.join().unwrap()));
}

#[test]
fn a_closed_receiver_drains_although_a_sender_comes_for_the_others() {
    let channel = options().create_anonymous().unwrap();
    let (mut closed, mut open) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    let mut first = channel.sender().unwrap();
    first.send(b"for both").unwrap();
    closed.close();
    let mut second = channel.sender().unwrap();
    second.send(b"for the other").unwrap();
    drop((first, second));
    assert_eq!(*closed.recv().unwrap(), *b"for both");
    assert_eq!(closed.recv().unwrap_err(), RecvError::Disconnected);
    let mut received: Vec<_> = open.iter().map(Result::unwrap).collect();
    received.sort();
    assert_eq!(received, [&b"for both"[..], b"for the other"]);
}
