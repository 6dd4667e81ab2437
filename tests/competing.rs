//! Receivers that share a channel: each message goes to one of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;
use tidegate::channel::{ChannelError, RecvError, SendError, TryRecvError};
use tidegate::{AsyncReceiver, Channel, Receiver, Receivers, WaitStrategy};

fn channel() -> Channel {
    Channel::options().ring_bytes(1 << 12).receivers(Receivers::Competing).create_anonymous().unwrap()
}

/// Message `sequence` of sender `id`.
fn word(id: u64, sequence: u64) -> [u8; 8] {
    (id << 32 | sequence).to_le_bytes()
}

/// Receives to the end; the sequence numbers, by sender.
fn receive_all(mut receiver: Receiver, senders: usize) -> Vec<Vec<u64>> {
    let mut received = vec![Vec::new(); senders];
    loop {
        match receiver.recv() {
            Ok(message) => {
                let word = u64::from_le_bytes((*message).try_into().unwrap());
                received[(word >> 32) as usize].push(word & 0xffff_ffff);
            }
            Err(RecvError::Disconnected) => return received,
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn each_message_goes_to_one_and_in_its_senders_order() {
    const MESSAGES: u64 = 20_000;
    for strategy in [WaitStrategy::DEFAULT, WaitStrategy::Park, WaitStrategy::SpinYield] {
        let channel = channel();
        channel.set_wait_strategy(strategy);
        let senders: Vec<_> = (0..3).map(|_| channel.sender().unwrap()).collect();
        let receivers: Vec<_> = (0..3).map(|_| channel.receiver().unwrap()).collect();
        thread::scope(|scope| {
            for (mut sender, id) in senders.into_iter().zip(0..) {
                scope.spawn(move || (0..MESSAGES).for_each(|sequence| sender.send(&word(id, sequence)).unwrap()));
            }
            let receiving: Vec<_> =
                receivers.into_iter().map(|receiver| scope.spawn(move || receive_all(receiver, 3))).collect();
            let mut all = vec![Vec::new(); 3];
            for received in receiving.into_iter().map(|thread| thread.join().unwrap()) {
                for (sender, sequences) in received.into_iter().enumerate() {
                    assert!(sequences.is_sorted(), "each receiver meets a sender's messages in order");
                    all[sender].extend(sequences);
                }
            }
            for mut sequences in all {
                sequences.sort_unstable();
                assert!(sequences.into_iter().eq(0..MESSAGES), "lost or doubled");
            }
        });
    }
}

#[test]
fn batches_are_shared_too() {
    const MESSAGES: u64 = 50_000;
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
    let (sum, count) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for mut receiver in receivers {
            let (sum, count) = (&sum, &count);
            scope.spawn(move || {
                while let Ok(batch) = receiver.recv_batch(7) {
                    assert!(batch.len() <= 7);
                    for message in batch.iter() {
                        sum.fetch_add(u64::from_le_bytes(message.try_into().unwrap()), Ordering::Relaxed);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        sender.send_batch((0..MESSAGES).map(u64::to_le_bytes)).unwrap();
        drop(sender);
    });
    assert_eq!(count.into_inner(), MESSAGES);
    assert_eq!(sum.into_inner(), MESSAGES * (MESSAGES - 1) / 2);
}

#[test]
fn rings_change_under_the_receivers_and_give_their_memory_back() {
    const RINGS: u64 = 20;
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
    let (all, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let sent = thread::scope(|scope| {
        for receiver in receivers {
            let all = &all;
            scope.spawn(move || {
                let received = receive_all(receiver, 1).remove(0);
                all.lock().unwrap().extend(received);
            });
        }
        let stop = &stop;
        let sending = scope.spawn(move || {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                sender.send(&word(0, sent)).unwrap();
                sent += 1;
            }
            drop(sender);
            sent
        });
        for turn in 0.. {
            channel.resize(1 << (12 + turn % 5)).unwrap();
            if channel.view().lanes[0].epoch > RINGS {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        sending.join().unwrap()
    });
    let mut all = all.into_inner().unwrap();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..sent));
    channel.reclaim().unwrap();
    let words_bytes = 1 << 18;
    assert!(channel.resident_bytes().unwrap() <= words_bytes + (2 << 16), "{}", channel.resident_bytes().unwrap());
}

#[test]
fn the_last_to_leave_ends_the_channel() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut first, second) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    assert_eq!(channel.view().receiver_pids.len(), 2);
    sender.send(b"one").unwrap();
    drop(second);
    sender.send(b"two").unwrap();
    first.close();
    assert_eq!(sender.send(b"three"), Err(SendError::Disconnected));
    assert_eq!(*first.recv().unwrap(), *b"one");
    assert_eq!(*first.recv().unwrap(), *b"two");
    assert_eq!(first.recv().unwrap_err(), RecvError::Disconnected);
    drop(first);
    assert_eq!(sender.send(b"four"), Err(SendError::Disconnected));
    let mut third = channel.receiver().unwrap();
    sender.send(b"five").unwrap();
    assert_eq!(*third.recv().unwrap(), *b"five");
    assert_eq!(third.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn there_are_sixteen_seats() {
    let channel = channel();
    let receivers: Vec<_> = (0..16).map(|_| channel.receiver().unwrap()).collect();
    assert!(matches!(channel.receiver(), Err(ChannelError::TooManyReceivers { seats: 16 })));
    drop(receivers);
    channel.receiver().unwrap();
}

#[test]
fn a_value_of_another_type_stays_for_the_others() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let mut typed = channel.typed_receiver::<u64>().unwrap();
    let mut bytes = channel.receiver().unwrap();
    sender.send(b"no such value").unwrap();
    for _ in 0..2 {
        assert_eq!(typed.recv().unwrap_err(), RecvError::WrongSize { bytes: 13, expected: 8 });
    }
    assert_eq!(*bytes.recv().unwrap(), *b"no such value");
    assert_eq!(typed.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(channel.len(), 0);
}

#[tokio::test]
async fn tasks_compete() {
    const MESSAGES: u64 = 5_000;
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let mut receiver = AsyncReceiver::from(channel.receiver().unwrap());
            tokio::spawn(async move {
                let mut received = 0;
                while receiver.recv().await.is_ok() {
                    received += 1;
                }
                received
            })
        })
        .collect();
    let sending = thread::spawn(move || (0..MESSAGES).for_each(|i| sender.send(&i.to_le_bytes()).unwrap()));
    let mut received = 0;
    for task in tasks {
        received += task.await.unwrap();
    }
    sending.join().unwrap();
    assert_eq!(received, MESSAGES);
}

proptest! {
    /// One thread plays all: what is taken is what a plain queue would have given, whoever takes it.
    #[test]
    fn a_lane_is_a_queue(steps in proptest::collection::vec((0..5u8, 0..900usize), 1..200)) {
        let channel = channel();
        let mut sender = channel.sender().unwrap();
        let mut receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
        let mut queue = std::collections::VecDeque::new();
        for (step, len) in steps {
            if step < 3 {
                let message = vec![len as u8; len];
                if sender.try_send(&message).is_ok() {
                    queue.push_back(message);
                }
            } else {
                let taken = receivers[usize::from(step - 3)].try_recv().ok().map(|message| message.to_vec());
                prop_assert_eq!(taken, queue.pop_front());
            }
        }
    }
}

#[test]
fn a_batch_of_one_is_one_message() {
    let channel = channel();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send_batch(["one", "two", "three"]).unwrap();
    for expected in ["one", "two", "three"] {
        let batch = receiver.recv_batch(1).unwrap();
        assert_eq!(batch.iter().collect::<Vec<_>>(), [expected.as_bytes()]);
    }
}
