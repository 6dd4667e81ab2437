//! Long messages: they cross in blocks of their own, in place.

use std::thread;
use std::time::Duration;

use tidegate::channel::{Held, RecvError, SendError, TrySendError};
use tidegate::{Channel, Receivers};

const MEBIBYTE: usize = 1 << 20;

fn channel(blocks: u32) -> Channel {
    Channel::options().message_bytes_max(MEBIBYTE as u32).blocks(blocks).create_anonymous().unwrap()
}

fn message(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (number * 31 + at / 7) as u8).collect()
}

/// Lengths on both sides of what goes through a ring.
fn len(number: u64) -> usize {
    match number % 4 {
        0 => 100,
        1 => 16 << 10,
        2 => (16 << 10) + 1,
        _ => 300_000 + number as usize,
    }
}

#[test]
fn short_and_long_messages_keep_their_order() {
    for receivers in [Receivers::One, Receivers::Competing] {
        let options = Channel::options().message_bytes_max(MEBIBYTE as u32).blocks(3).receivers(receivers);
        let channel = options.create_anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let sending = thread::spawn(move || {
            for number in 0..200 {
                match number % 3 {
                    0 => sender.send(&message(number, len(number))).unwrap(),
                    1 => {
                        let mut loan = sender.loan(len(number)).unwrap();
                        loan.copy_from_slice(&message(number, len(number)));
                        sender.send_loan(loan).unwrap();
                    }
                    _ => {
                        let mut claim = sender.claim(MEBIBYTE).unwrap();
                        claim[..len(number)].copy_from_slice(&message(number, len(number)));
                        claim.commit_len(len(number));
                    }
                }
            }
        });
        for number in 0..200 {
            assert!(*receiver.recv().unwrap() == message(number, len(number)), "message {number}");
        }
        sending.join().unwrap();
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
    }
}

#[test]
fn batches_carry_long_messages_too() {
    let channel = channel(4);
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let sending = thread::spawn(move || sender.send_batch((0..60).map(|number| message(number, len(number)))));
    let mut next = 0;
    while let Ok(batch) = receiver.recv_batch(8) {
        for received in batch.iter() {
            assert!(*received == message(next, len(next)), "message {next}");
            next += 1;
        }
        assert_eq!(batch[0].len(), len(next - batch.len() as u64));
    }
    assert_eq!(sending.join().unwrap(), Ok(60));
    assert_eq!(next, 60);
}

#[test]
fn held_messages_outlive_their_receiver_and_go_in_any_order() {
    for receivers in [Receivers::One, Receivers::Competing] {
        let options = Channel::options().message_bytes_max(MEBIBYTE as u32).blocks(8).receivers(receivers);
        let channel = options.create_anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        for number in 0..8 {
            sender.send(&message(number, len(number))).unwrap();
        }
        let mut held: Vec<Held> = (0..8).map(|_| receiver.recv().unwrap().hold()).collect();
        assert_eq!(channel.len(), 0);
        for number in [5, 0, 3, 3] {
            drop(held.remove(number));
        }
        for number in 8..12 {
            sender.send(&message(number, len(number))).unwrap();
        }
        held.extend((8..12).map(|_| receiver.recv().unwrap().hold()));
        drop(receiver);
        assert_eq!(sender.send(b"nobody"), Err(SendError::Disconnected));
        let left = thread::spawn(move || {
            let numbers = [1, 2, 3, 7, 8, 9, 10, 11];
            numbers.iter().zip(&held).all(|(&number, held)| **held == message(number, len(number)))
        });
        assert!(left.join().unwrap());
        // Everything is free again.
        let mut receiver = channel.receiver().unwrap();
        let loans: Vec<_> = (0..8).map(|_| sender.loan_timeout(1, Duration::ZERO).unwrap()).collect();
        drop(loans);
        sender.send(b"goes on").unwrap();
        assert_eq!(*receiver.recv().unwrap(), *b"goes on");
    }
}

#[test]
fn blocks_run_out_and_come_back() {
    let channel = channel(2);
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let loan = sender.loan(MEBIBYTE).unwrap();
    sender.send(&message(1, MEBIBYTE)).unwrap();
    assert_eq!(sender.try_send(&message(2, MEBIBYTE)), Err(TrySendError::Full));
    assert_eq!(sender.send_timeout(&message(2, MEBIBYTE), Duration::from_millis(1)), Err(SendError::Stalled));
    sender.send(b"short ones need no block").unwrap();
    drop(loan);
    sender.try_send(&message(2, MEBIBYTE)).unwrap();
    let sending = thread::spawn(move || sender.send(&message(3, MEBIBYTE)));
    assert!(*receiver.recv().unwrap() == message(1, MEBIBYTE));
    sending.join().unwrap().unwrap();
    assert_eq!(*receiver.recv().unwrap(), *b"short ones need no block");
    assert!(*receiver.recv().unwrap() == message(2, MEBIBYTE));
    assert!(*receiver.recv().unwrap() == message(3, MEBIBYTE));
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}

#[test]
fn the_block_freed_last_is_used_first_and_memory_comes_back() {
    let channel = channel(64);
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let before = channel.resident_bytes().unwrap();
    for number in 0..100 {
        sender.send(&message(number, MEBIBYTE)).unwrap();
        assert!(*receiver.recv().unwrap() == message(number, MEBIBYTE));
    }
    let used = channel.resident_bytes().unwrap() - before;
    assert_eq!(used, MEBIBYTE as u64, "one block did for all");
    channel.reclaim().unwrap();
    assert_eq!(channel.resident_bytes().unwrap(), before);
    sender.send(&message(7, MEBIBYTE)).unwrap();
    assert!(*receiver.recv().unwrap() == message(7, MEBIBYTE));
}

#[test]
fn what_is_too_long_is_refused() {
    let channel = channel(2);
    let mut sender = channel.sender().unwrap();
    let max = MEBIBYTE as u32;
    assert_eq!(sender.loan(MEBIBYTE + 1).unwrap_err(), SendError::TooLong { bytes: MEBIBYTE + 1, max });
    assert_eq!(sender.send(&vec![0; MEBIBYTE + 1]), Err(SendError::TooLong { bytes: MEBIBYTE + 1, max }));
}

#[test]
fn a_forgotten_long_message_comes_again() {
    let channel = channel(2);
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send(&message(1, MEBIBYTE)).unwrap();
    std::mem::forget(receiver.recv().unwrap());
    assert!(*receiver.recv().unwrap() == message(1, MEBIBYTE));
}
