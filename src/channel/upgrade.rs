//! A receiver that is alone until another comes: nobody's messages are lost or doubled by it, whoever dies. Nothing makes up
//! for a lost wake-up here, as in `wakes.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::channel::deaths::die_receiving;
use crate::channel::wakes::unless_it_sleeps_on;
use crate::channel::{Channel, Receiver, Receivers, RecvError, TryRecvError};
use crate::prim::mortal;
use crate::ring::alone;
use crate::sync::wait::WaitStrategy;

fn channel(strategy: WaitStrategy) -> Channel {
    let options = Channel::options().ring_bytes(1 << 12).message_bytes_max(1 << 20).receivers(Receivers::Competing);
    let channel = options.create_anonymous().unwrap();
    channel.set_wait_strategy(strategy);
    channel
}

fn is_alone(channel: &Channel) -> bool {
    alone::is_alone(&channel.core.lane(0).unwrap())
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().unwrap())
}

/// Message `number`: now and then one in a block.
fn message(number: u64) -> Vec<u8> {
    let len = if number % 64 == 63 { 20_000 } else { 8 + number as usize % 100 };
    let mut message = vec![0; len];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message
}

/// What is there now.
fn drain(receiver: &mut Receiver) -> Vec<u64> {
    let mut received = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(message) => received.push(number(&message)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return received,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_first_is_alone_until_a_second_comes() {
    let channel = channel(WaitStrategy::DEFAULT);
    let first = channel.receiver().unwrap();
    let sender = channel.sender().unwrap();
    assert!(is_alone(&channel), "with the lane");
    let second = channel.receiver().unwrap();
    assert!(!is_alone(&channel));
    drop((first, second));
    let mut third = channel.receiver().unwrap();
    assert!(is_alone(&channel), "when the others have left");
    drop(sender);
    channel.sender().unwrap().send(b"held").unwrap();
    let held = third.recv().unwrap().hold();
    assert!(!is_alone(&channel), "it may be done with later than others");
    assert_eq!(*held, *b"held");
    drop((third, held));
    die_receiving(&channel, channel.receiver().unwrap());
    assert!(is_alone(&channel));
    let _next = channel.receiver().unwrap();
    assert!(is_alone(&channel), "the other is dead");
}

#[test]
fn a_message_in_hand_stays_in_hand_when_another_comes() {
    let channel = channel(WaitStrategy::Park);
    let (mut sender, mut first) = (channel.sender().unwrap(), channel.receiver().unwrap());
    (0..5).for_each(|i| sender.send(&message(i)).unwrap());
    unless_it_sleeps_on(move || {
        let in_hand = first.recv_batch(2).unwrap();
        let mut second = channel.receiver().unwrap();
        assert_eq!(number(&second.recv().unwrap()), 2);
        assert_eq!([&in_hand[0], &in_hand[1]].map(number), [0, 1]);
        drop(sender);
        assert_eq!(drain(&mut second), [3, 4]);
        assert_eq!(second.try_recv().unwrap_err(), TryRecvError::Empty, "those in hand may come back");
        let ending = thread::spawn(move || second.recv().map(|message| message.to_vec()));
        drop(in_hand);
        assert_eq!(ending.join().unwrap(), Err(RecvError::Disconnected));
        assert_eq!(first.recv().unwrap_err(), RecvError::Disconnected);
        assert_eq!(channel.len(), 0);
    });
}

#[test]
fn receivers_come_and_go_while_one_stays() {
    const MESSAGES: u64 = 60_000;
    for strategy in [WaitStrategy::Park, WaitStrategy::SpinYield] {
        let channel = channel(strategy);
        let (mut sender, mut first) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let (received, joined) = unless_it_sleeps_on(move || {
            let over = Arc::new(AtomicBool::new(false));
            let sending = thread::spawn(move || (0..MESSAGES).for_each(|i| sender.send(&message(i)).unwrap()));
            let coming = thread::spawn({
                let over = Arc::clone(&over);
                move || {
                    let (mut received, mut joined) = (Vec::new(), 0u64);
                    while !over.load(Ordering::Relaxed) {
                        let mut guest = channel.receiver().unwrap();
                        joined += 1;
                        for _ in 0..joined % 50 {
                            received.extend(guest.try_recv().map(|message| number(&message)));
                        }
                        drop(guest);
                        thread::yield_now();
                    }
                    (received, joined)
                }
            });
            // It is alone again only with another lane or after it came again: so it comes again.
            let mut received = Vec::new();
            let end = loop {
                match first.recv_batch(3) {
                    Ok(batch) => received.extend(batch.iter().map(number)),
                    Err(error) => break error,
                }
                if received.len() % 1000 == 0 {
                    let held = first.try_recv().map(|message| message.hold());
                    received.extend(held.map(|message| number(&message)));
                }
            };
            assert_eq!(end, RecvError::Disconnected);
            over.store(true, Ordering::Relaxed);
            sending.join().unwrap();
            let (theirs, joined) = coming.join().unwrap();
            received.extend(theirs);
            (received, joined)
        });
        let mut sorted = received;
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..MESSAGES), "{} of {MESSAGES}", sorted.len());
        assert!(joined > 0);
    }
}

#[test]
fn each_first_message_finds_the_lane_becoming_shared() {
    // As above, from the start each time: the lane is left to one just before another comes.
    const ROUNDS: u64 = 2_000;
    let channel = channel(WaitStrategy::Park);
    let mut sender = channel.sender().unwrap();
    for round in 0..ROUNDS {
        let mut first = channel.receiver().unwrap();
        assert!(is_alone(&channel));
        (0..4).for_each(|i| sender.send(&message(4 * round + i)).unwrap());
        let second = thread::spawn({
            let channel = channel.clone();
            move || drain(&mut channel.receiver().unwrap())
        });
        let mut received = drain(&mut first);
        received.extend(second.join().unwrap());
        received.extend(drain(&mut first));
        received.sort_unstable();
        assert!(received.iter().copied().eq(4 * round..4 * round + 4), "{received:?} in round {round}");
        assert_eq!(channel.len(), 0);
    }
}

#[test]
fn whoever_dies_as_it_comes_second_leaves_all_to_the_others() {
    let mut deaths = 0;
    loop {
        let channel = channel(WaitStrategy::SpinYield);
        let (mut sender, mut first) = (channel.sender().unwrap(), channel.receiver().unwrap());
        (0..6).for_each(|i| sender.send(&message(i)).unwrap());
        let mut received = vec![number(&first.recv().unwrap())];
        let in_hand = first.recv_batch(2).unwrap();
        mortal::die_after(deaths);
        let lived = mortal::live(|| channel.receiver().unwrap());
        if mortal::survived() {
            break;
        }
        assert!(lived.is_none());
        received.extend(in_hand.iter().map(number));
        drop(in_hand);
        let received = unless_it_sleeps_on(move || {
            received.push(number(&first.recv().unwrap()));
            let mut third = channel.receiver().unwrap();
            // More than the ring holds.
            let sending = thread::spawn(move || (6..200).for_each(|i| sender.send(&message(i)).unwrap()));
            let helping =
                thread::spawn(move || third.iter().map(|message| number(&message.unwrap())).collect::<Vec<_>>());
            received.extend(first.iter().map(|message| number(&message.unwrap())));
            received.extend(helping.join().unwrap());
            sending.join().unwrap();
            assert_eq!(channel.len(), 0);
            received
        });
        let mut sorted = received;
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..200), "{sorted:?}, death {deaths}");
        deaths += 1;
    }
    assert!(deaths > 10, "{deaths}: nobody died where it matters");
}

#[test]
fn what_the_first_had_not_done_with_goes_to_the_second() {
    for is_second_there in [false, true] {
        let mut deaths = 0;
        loop {
            let channel = channel(WaitStrategy::SpinYield);
            let (mut sender, mut first) = (channel.sender().unwrap(), channel.receiver().unwrap());
            (0..70).for_each(|i| sender.send(&message(i)).unwrap());
            let (mut done, mut second) = (Vec::new(), None);
            mortal::die_after(deaths);
            let lived = mortal::live(|| {
                for turn in 0..3 {
                    let batch = first.recv_batch(30).unwrap();
                    let numbers: Vec<_> = batch.iter().map(number).collect();
                    if turn == 1 && is_second_there {
                        second = Some(channel.receiver().unwrap());
                    }
                    drop(batch);
                    done.extend(numbers);
                }
            });
            if mortal::survived() {
                break;
            }
            assert!(lived.is_none());
            die_receiving(&channel, first);
            drop(sender);
            let mut rest = unless_it_sleeps_on(move || {
                let mut second = second.unwrap_or_else(|| channel.receiver().unwrap());
                second.iter().filter_map(Result::ok).map(|message| number(&message)).collect::<Vec<_>>()
            });
            let doubled = done.iter().filter(|done| rest.contains(done)).count();
            assert_eq!(doubled, 0, "{done:?} {rest:?}");
            rest.extend(&done);
            rest.sort_unstable();
            rest.dedup();
            // The batch whose release came just before the death was not reported to us as done.
            let missing: Vec<_> = (0..70).filter(|i| !rest.contains(i)).collect();
            assert!(missing.len() <= 30, "{missing:?}, death {deaths}");
            let in_hand = done.len() as u64..done.len() as u64 + 30;
            assert!(missing.iter().all(|missing| in_hand.contains(missing)), "{missing:?} after {done:?}");
            deaths += 1;
        }
        assert!(deaths > 3, "{deaths}: nobody died where it matters");
    }
}
