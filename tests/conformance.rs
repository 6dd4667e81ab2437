//! What every channel promises, whatever its sizes and wait strategy.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use tidegate::channel::{ChannelError, RecvError, ResizeError, SendError, TryRecvError, TrySendError};
use tidegate::{Channel, ShmError, WaitStrategy};

const STRATEGIES: [WaitStrategy; 4] =
    [WaitStrategy::Spin, WaitStrategy::SpinYield, WaitStrategy::SpinPark { budget_ns: 2_000 }, WaitStrategy::Park];

fn channel() -> Channel {
    Channel::options().ring_bytes(1 << 12).create_anonymous().unwrap()
}

#[test]
fn one_sender_is_heard_in_order_under_every_strategy() {
    for strategy in STRATEGIES {
        let channel = channel();
        channel.set_wait_strategy(strategy);
        let mut sender = channel.sender().unwrap();
        let mut receiver = channel.receiver().unwrap();
        let sending = thread::spawn(move || (0..20_000u64).for_each(|i| sender.send(&i.to_le_bytes()).unwrap()));
        for i in 0..20_000u64 {
            assert_eq!(*receiver.recv().unwrap(), i.to_le_bytes());
        }
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
        sending.join().unwrap();
    }
}

#[test]
fn many_senders_are_each_heard_in_order() {
    for strategy in STRATEGIES {
        let channel = channel();
        channel.set_wait_strategy(strategy);
        let mut receiver = channel.receiver().unwrap();
        let senders: Vec<_> = (0..4).map(|_| channel.sender().unwrap()).collect();
        let sending: Vec<_> = senders
            .into_iter()
            .zip(0u32..)
            .map(|(mut sender, id)| {
                thread::spawn(move || {
                    for i in 0..5_000u32 {
                        sender.send(&(u64::from(id) << 32 | u64::from(i)).to_le_bytes()).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0u32; 4];
        for _ in 0..20_000 {
            let word = u64::from_le_bytes((*receiver.recv().unwrap()).try_into().unwrap());
            let (id, i) = ((word >> 32) as usize, word as u32);
            assert_eq!(i, next[id], "sender {id}");
            next[id] += 1;
        }
        assert_eq!(next, [5_000; 4]);
        sending.into_iter().for_each(|s| s.join().unwrap());
    }
}

#[test]
fn a_claim_is_sent_only_by_its_commit() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut claim = sender.claim(100).unwrap();
    claim.fill(1);
    claim.abort();
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
    let mut claim = sender.try_claim(100).unwrap();
    claim.fill(2);
    claim.commit_len(3);
    sender.claim(0).unwrap().commit();
    assert_eq!(*receiver.recv().unwrap(), [2, 2, 2]);
    assert_eq!(receiver.recv().unwrap().len(), 0);
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
#[should_panic(expected = "101 bytes committed of 100 claimed")]
fn more_than_was_claimed_cannot_be_committed() {
    channel().sender().unwrap().claim(100).unwrap().commit_len(101);
}

#[test]
fn a_guard_keeps_its_bytes_from_being_overwritten() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    sender.send(&[7; 1000]).unwrap();
    let guard = receiver.recv().unwrap();
    let refused = (0..100).find_map(|_| sender.try_send(&[8; 1000]).err()).expect("the ring is finite");
    assert_eq!(refused, TrySendError::Full);
    assert!(guard.iter().all(|&byte| byte == 7));
    drop(guard);
    sender.try_send(&[8; 500]).unwrap();
}

#[test]
fn a_full_channel_stalls_and_loses_nothing() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let mut sent = 0u64;
    while sender.try_send(&sent.to_le_bytes()).is_ok() {
        sent += 1;
    }
    let stalled = sender.send_timeout(b"late", Duration::from_millis(5)).unwrap_err();
    assert_eq!(stalled, SendError::Stalled);
    let view = channel.view();
    assert_eq!((view.lanes[0].sent_messages, view.lanes[0].rejected), (sent, 1));
    assert_eq!(view.lanes[0].sender_waits.waits, 1);
    let mut receiver = channel.receiver().unwrap();
    for i in 0..sent {
        assert_eq!(*receiver.recv().unwrap(), i.to_le_bytes());
    }
    assert_eq!(receiver.recv_timeout(Duration::from_millis(5)).unwrap_err(), RecvError::Stalled);
    assert_eq!(channel.view().backlog_bytes(), 0);
}

#[test]
fn a_message_too_long_is_refused_with_both_lengths() {
    let channel = Channel::options().message_bytes_max(100).create_anonymous().unwrap();
    let mut sender = channel.sender().unwrap();
    assert_eq!(sender.send(&[0; 101]).unwrap_err(), SendError::TooLong { bytes: 101, max: 100 });
    sender.send(&[0; 100]).unwrap();
}

#[test]
fn the_longest_message_passes_at_every_offset_of_the_smallest_ring() {
    let channel = Channel::options().message_bytes_max(2032).ring_bytes(1 << 12).create_anonymous().unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    for i in 0..1000u32 {
        let short = vec![i as u8; (i as usize * 8) % 200];
        sender.try_send(&short).unwrap();
        assert_eq!(*receiver.recv().unwrap(), short[..]);
        sender.try_send(&[i as u8; 2032]).unwrap();
        assert_eq!(*receiver.recv().unwrap(), [i as u8; 2032]);
    }
}

#[test]
fn closing_tells_the_other_side_after_the_last_message() {
    let channel = channel();
    let mut receiver = channel.receiver().unwrap();
    let mut sender = channel.sender().unwrap();
    sender.send(b"last").unwrap();
    drop(sender);
    assert_eq!(*receiver.recv().unwrap(), *b"last");
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Disconnected);
    let mut sender = channel.sender().unwrap();
    drop(receiver);
    assert_eq!(sender.send(b"nobody").unwrap_err(), SendError::Disconnected);
}

#[test]
fn a_closed_receiver_refuses_what_is_new_and_drains_what_is_old() {
    let channel = channel();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    (0..3u8).for_each(|i| sender.send(&[i]).unwrap());
    assert_eq!(channel.len(), 3);
    receiver.close();
    assert_eq!(sender.send(b"late").unwrap_err(), SendError::Disconnected);
    let drained: Result<Vec<_>, _> = receiver.iter().collect();
    assert_eq!(drained.unwrap(), [[0], [1], [2]]);
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Disconnected);
    assert!(channel.is_empty());
    let taken = channel.receiver().unwrap_err();
    assert!(matches!(taken, ChannelError::ReceiverTaken { .. }), "it drains until it is dropped: {taken}");
    drop(receiver);
    let mut receiver = channel.receiver().unwrap();
    sender.send(b"open again").unwrap();
    assert_eq!(*receiver.recv().unwrap(), *b"open again");
}

#[test]
fn iteration_ends_with_the_messages_or_with_the_senders() {
    let channel = channel();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send(b"one").unwrap();
    assert_eq!(receiver.try_iter().count(), 1);
    assert_eq!(receiver.try_iter().count(), 0);
    let sending = thread::spawn(move || (0..100u8).for_each(|i| sender.send(&[i]).unwrap()));
    let all: Result<Vec<_>, _> = receiver.iter().collect();
    assert!(all.unwrap().into_iter().eq((0..100u8).map(|i| vec![i])));
    sending.join().unwrap();
}

#[test]
fn values_of_a_type_cross_in_place_and_other_messages_stay() {
    let channel = channel();
    let mut sender = channel.typed_sender::<[u64; 3]>().unwrap();
    let mut receiver = channel.typed_receiver::<[u64; 3]>().unwrap();
    sender.send(&[1, 2, 3]).unwrap();
    sender.send_batch(&[[4, 5, 6], [7, 8, 9]]).unwrap();
    assert_eq!(*receiver.recv().unwrap(), [1, 2, 3]);
    assert_eq!(*receiver.try_recv().unwrap(), [4, 5, 6]);
    assert_eq!(receiver.recv_timeout(Duration::from_secs(10)).unwrap()[2], 9);
    let (mut sender, mut other) = (sender.into_inner(), channel.typed_sender::<[u64; 3]>().unwrap());
    for _ in 0..3 {
        sender.send(b"no such value").unwrap();
        other.send(&[10, 11, 12]).unwrap();
        let (mut values, wrong) = (0, RecvError::WrongSize { bytes: 13, expected: 24 });
        while let Ok(value) = receiver.recv() {
            assert_eq!(*value, [10, 11, 12]);
            values += 1;
        }
        for _ in 0..3 {
            assert_eq!(receiver.recv().unwrap_err(), wrong);
        }
        assert_eq!(*receiver.recv_bytes().unwrap(), *b"no such value");
        while let Ok(value) = receiver.try_recv() {
            assert_eq!(*value, [10, 11, 12]);
            values += 1;
        }
        assert_eq!(values, 1);
    }
    let refused = channel.typed_sender::<[u64; 1000]>().unwrap_err();
    assert!(matches!(refused, ChannelError::TypeTooLarge { bytes: 8000, max: 1024 }), "{refused}");
}

#[test]
fn a_batch_says_how_much_of_it_was_sent() {
    let channel = channel();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let error = sender.send_batch([&b"short"[..], &[0; 5000], b"never"]).unwrap_err();
    assert_eq!((error.sent, error.error), (1, SendError::TooLong { bytes: 5000, max: 1024 }));
    let batch = receiver.recv_batch(10).unwrap();
    assert_eq!((batch.len(), &batch[0]), (1, &b"short"[..]));
}

#[test]
fn endpoints_are_counted() {
    let channel = Channel::options().senders_max(2).create_anonymous().unwrap();
    let _receiver = channel.receiver().unwrap();
    let pid = std::process::id();
    assert!(matches!(channel.receiver(), Err(ChannelError::ReceiverTaken { pid: p }) if p == pid));
    let first = channel.sender().unwrap();
    let _second = channel.sender().unwrap();
    assert!(matches!(channel.sender(), Err(ChannelError::TooManySenders { lanes: 2 })));
    drop(first);
    channel.sender().unwrap();
}

#[test]
fn a_sleeping_sender_is_woken_by_a_larger_ring() {
    let channel = channel();
    channel.set_wait_strategy(WaitStrategy::Park);
    let mut sender = channel.sender().unwrap();
    let sending = thread::spawn(move || (0..2_000u64).for_each(|i| sender.send(&i.to_le_bytes()).unwrap()));
    // 2,000 frames of 16 bytes do not fit into 4 KiB, and nobody receives.
    while channel.view().lanes[0].sender_waits.parks == 0 {
        thread::yield_now();
    }
    channel.resize(1 << 16).unwrap();
    sending.join().unwrap();
    let mut receiver = channel.receiver().unwrap();
    for i in 0..2_000u64 {
        assert_eq!(*receiver.recv().unwrap(), i.to_le_bytes());
    }
    assert_eq!(channel.view().lanes[0].epoch, 2);
}

#[test]
fn a_resize_outside_the_options_is_refused() {
    let channel = Channel::options().ring_bytes_max(1 << 20).create_anonymous().unwrap();
    for bytes in [0, 100, (1 << 20) + 1] {
        assert!(matches!(channel.resize(bytes), Err(ResizeError::OutOfBounds { .. })), "{bytes}");
    }
    assert_eq!(channel.resize(5000).unwrap().offered, 0);
    assert_eq!(channel.ring_bytes(), 8192);
}

/// What a test may do to a channel, and to the plain queue it is compared with.
#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    SendBatch(Vec<Vec<u8>>),
    Receive,
    ReceiveBatch(usize),
    Resize(u32),
    Wait(usize),
    NewSender,
    NewReceiver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Send),
        3 => prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8).prop_map(Step::SendBatch),
        5 => Just(Step::Receive),
        3 => (1usize..9).prop_map(Step::ReceiveBatch),
        2 => (12u32..=16).prop_map(Step::Resize),
        1 => (0usize..4).prop_map(Step::Wait),
        1 => Just(Step::NewSender),
        1 => Just(Step::NewReceiver),
    ]
}

proptest! {
    #[test]
    fn a_channel_behaves_as_a_plain_queue(steps in prop::collection::vec(step(), 1..300)) {
        let channel = channel();
        let mut sender = Some(channel.sender().unwrap());
        let mut receiver = Some(channel.receiver().unwrap());
        let mut queue = VecDeque::new();
        for step in steps {
            match step {
                Step::Send(message) => match sender.as_mut().unwrap().try_send(&message) {
                    Ok(()) => queue.push_back(message),
                    // A ring holds at least what is left of 4 KiB beside the largest frame here.
                    Err(TrySendError::Full) => {
                        prop_assert!(queue.iter().map(|m: &Vec<u8>| m.len() + 16).sum::<usize>() + 700 > 1 << 12);
                    }
                    Err(error) => prop_assert!(false, "{error}"),
                },
                Step::Receive => match receiver.as_mut().unwrap().try_recv() {
                    Ok(message) => prop_assert_eq!(Some(message.to_vec()), queue.pop_front()),
                    Err(error) => {
                        prop_assert_eq!(error, TryRecvError::Empty);
                        prop_assert!(queue.is_empty());
                    }
                },
                Step::SendBatch(messages) => {
                    let outcome = sender.as_mut().unwrap().send_batch_timeout(&messages, Duration::ZERO);
                    let sent = outcome.unwrap_or_else(|e| { assert_eq!(e.error, SendError::Stalled); e.sent });
                    queue.extend(messages.into_iter().take(sent));
                }
                Step::ReceiveBatch(max) => match receiver.as_mut().unwrap().recv_batch_timeout(max, Duration::ZERO) {
                    Ok(batch) => {
                        prop_assert!((1..=max).contains(&batch.len()));
                        for message in batch.iter() {
                            prop_assert_eq!(Some(message.to_vec()), queue.pop_front());
                        }
                    }
                    Err(error) => {
                        prop_assert_eq!(error, RecvError::Stalled);
                        prop_assert!(queue.is_empty());
                    }
                },
                Step::Resize(class) => { channel.resize(1 << class).unwrap(); }
                Step::Wait(index) => channel.set_wait_strategy(STRATEGIES[index]),
                Step::NewSender => {
                    sender.take();
                    sender = Some(channel.sender().unwrap());
                }
                Step::NewReceiver => {
                    receiver.take();
                    receiver = Some(channel.receiver().unwrap());
                }
            }
        }
        let mut receiver = receiver.unwrap();
        for message in queue {
            prop_assert_eq!(&*receiver.try_recv().unwrap(), &message[..]);
        }
        prop_assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
    }
}

#[test]
fn a_bad_name_is_refused_by_name() {
    for name in ["", "a/b", "a\0b", ".hidden"] {
        let refused = [Channel::options().create(name).unwrap_err(), Channel::open(name).unwrap_err()];
        assert!(
            refused.iter().all(|error| matches!(error, ChannelError::Shm(ShmError::BadName { .. }))),
            "{refused:?}"
        );
    }
}
