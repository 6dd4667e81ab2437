//! Receivers that compete: what becomes of messages when one is slow, leaves or dies. Nothing makes up for a lost wake-up
//! here, as in `wakes.rs`.

use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::thread;

use crate::channel::deaths::die_receiving;
use crate::channel::slab::in_flight;
use crate::channel::wakes::{unless_it_sleeps_on, until_asleep};
use crate::channel::{Channel, Guard, Receivers, RecvError, SendError, TryRecvError, WhenFull};
use crate::prim::mortal;
use crate::ring::lock::Holder;
use crate::sync::wait::WaitStrategy;

fn channel() -> Channel {
    let options = Channel::options().ring_bytes(1 << 12).receivers(Receivers::Competing);
    let channel = options.create_anonymous().unwrap();
    channel.set_wait_strategy(WaitStrategy::Park);
    channel
}

#[test]
fn a_lane_that_somebody_is_at_is_not_empty() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut receiver, _other) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    sender.send(b"one").unwrap();
    drop(sender);
    let lane = channel.core.lane(0).unwrap();
    let lock = lane.taking.lock.try_lock(Holder::Seat(7)).unwrap();
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
    assert!(lock.unlock().0, "who found it locked has left its mark");
    assert_eq!(*receiver.recv().unwrap(), *b"one");
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}

#[test]
fn no_sender_waits_for_ever_behind_others_that_never_pause() {
    for receivers in [Receivers::One, Receivers::Competing] {
        let options = Channel::options().message_bytes_max(1 << 20).receivers(receivers);
        let channel = options.create_anonymous().unwrap();
        let mut streaming = [channel.sender().unwrap(), channel.sender().unwrap()];
        let mut rare = channel.sender().unwrap();
        let mut receiver = channel.receiver().unwrap();
        let _other = channel.receiver();
        // In a block, and in the ring: one is not found by the same look as the other.
        for message in [vec![1; 100_000], vec![2; 8]] {
            rare.send(&message).unwrap();
            let passed = (0..10_000).find(|_| {
                streaming.iter_mut().for_each(|sender| sender.send(&[0; 8]).unwrap());
                (0..2).any(|_| *receiver.recv().unwrap() == *message)
            });
            assert!(passed.is_some(), "{receivers:?}: {} bytes were not received", message.len());
        }
    }
}

#[test]
fn long_messages_have_their_turns_beside_short_ones() {
    for receivers in [Receivers::One, Receivers::Competing] {
        let options = Channel::options().message_bytes_max(1 << 20).receivers(receivers);
        let channel = options.create_anonymous().unwrap();
        let (mut long, mut short) = (channel.sender().unwrap(), channel.sender().unwrap());
        let mut receiver = channel.receiver().unwrap();
        let _other = channel.receiver();
        let mut long_ones = 0;
        for _ in 0..4000 {
            while long.try_send(&[1; 20_000]).is_ok() {}
            while short.try_send(&[2; 8]).is_ok() {}
            long_ones += u32::from(receiver.recv().unwrap().len() > 8);
        }
        assert!(long_ones > 1000, "{receivers:?}: {long_ones} of 4000");
    }
}

#[test]
fn idle_lanes_give_nobody_their_turns() {
    let channel = Channel::options().create_anonymous().unwrap();
    let mut senders: Vec<_> = (0..8).map(|_| channel.sender().unwrap()).collect();
    let mut receiver = channel.receiver().unwrap();
    let mut received = [0u32; 2];
    for _ in 0..40_000 {
        for (sender, number) in senders.iter_mut().take(2).zip(0..) {
            while sender.try_send(&[number; 500]).is_ok() {}
        }
        received[usize::from(receiver.recv().unwrap()[0])] += 1;
    }
    assert!(received.iter().all(|count| *count > 10_000), "{received:?}");
}

#[test]
fn who_comes_while_others_never_pause_is_heard() {
    let channel = Channel::options().create_anonymous().unwrap();
    let mut streaming = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut late = None;
    let heard = (0..100_000).find(|i| {
        while streaming.try_send(&[0; 8]).is_ok() {}
        if *i == 10 {
            late.insert(channel.sender().unwrap()).send(b"late").unwrap();
        }
        *receiver.recv().unwrap() == *b"late"
    });
    assert!(heard.is_some_and(|at| at < 10_000), "{heard:?}");
}

#[test]
fn what_the_dead_had_in_hand_is_received_before_the_end() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut dead, mut heir) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    sender.send(b"in hand").unwrap();
    std::mem::forget(dead.recv().unwrap());
    drop(sender);
    die_receiving(&channel, dead);
    unless_it_sleeps_on(move || {
        assert_eq!(*heir.recv().unwrap(), *b"in hand");
        assert_eq!(heir.recv().unwrap_err(), RecvError::Disconnected);
    });
}

#[test]
fn what_the_dead_held_is_received_by_another() {
    let options = Channel::options().message_bytes_max(1 << 20).receivers(Receivers::Competing);
    let channel = options.create_anonymous().unwrap();
    let mut sender = channel.sender().unwrap();
    let (mut dead, mut heir) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    let mut loan = sender.loan(3).unwrap();
    loan.fill(1);
    sender.send_loan(loan).unwrap();
    sender.send(&[2; 3]).unwrap();
    sender.send(&[3; 100_000]).unwrap();
    (0..3).for_each(|_| std::mem::forget(dead.recv().unwrap().hold()));
    assert_eq!(heir.try_recv().unwrap_err(), TryRecvError::Empty);
    drop(sender);
    die_receiving(&channel, dead);
    unless_it_sleeps_on(move || {
        let mut held = Vec::new();
        for (value, len) in [(1, 3), (2, 3), (3, 100_000)] {
            held.push(heir.recv().unwrap().hold());
            assert_eq!(**held.last().unwrap(), vec![value; len]);
        }
        drop(held);
        assert_eq!(heir.recv().unwrap_err(), RecvError::Disconnected);
        assert_eq!(channel.core.slab.owners().count(), 0, "every block is free");
    });
}

/// A channel of four blocks, and another mapping of it, as another process has one.
fn of_four_blocks() -> (Channel, Channel) {
    let options = Channel::options().message_bytes_max(1 << 20).blocks(4).receivers(Receivers::Competing);
    let channel = options.create_anonymous().unwrap();
    let dying = Channel::from_fd(channel.as_fd().try_clone_to_owned().unwrap()).unwrap();
    (channel, dying)
}

fn free_blocks(channel: &Channel) -> usize {
    4 - channel.core.slab.owners().count()
}

#[test]
fn what_was_received_for_good_is_ones_own_to_change_and_send_on() {
    for is_alone in [false, true] {
        let (channel, elsewhere) = of_four_blocks();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), elsewhere.receiver().unwrap());
        let _beside = (!is_alone).then(|| channel.receiver().unwrap());
        sender.send(&[1; 100_000]).unwrap();
        let mut kept = receiver.recv().unwrap().into_loan().unwrap();
        kept[99_999] = 2;
        sender.send(b"short").unwrap();
        let short = receiver.recv().unwrap().into_loan().expect_err("it is in the ring");
        assert_eq!(*short, *b"short");
        drop(short);
        let mut back = elsewhere.sender().unwrap();
        back.send_loan(kept).unwrap();
        let came_back = receiver.recv().unwrap().into_loan().unwrap();
        assert_eq!((came_back[0], came_back[99_999]), (1, 2));
        drop(came_back);
        assert_eq!(free_blocks(&channel), 4);
    }
}

#[test]
fn who_keeps_half_of_the_blocks_keeps_no_more() {
    let (channel, elsewhere) = of_four_blocks();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), elsewhere.receiver().unwrap());
    let mut keep = || {
        sender.send(&[1; 100_000]).unwrap();
        receiver.recv().unwrap().into_loan().ok()
    };
    let kept = [keep(), keep(), keep()];
    assert_eq!(kept.map(|kept| kept.is_some()), [true, true, false]);
    assert!(keep().is_some(), "the others were let go");
}

#[test]
fn who_waits_for_a_block_is_woken_when_one_is_let_go() {
    let (channel, elsewhere) = of_four_blocks();
    channel.set_wait_strategy(WaitStrategy::Park);
    let (mut sender, mut receiver) = (channel.sender().unwrap(), elsewhere.receiver().unwrap());
    sender.send(&[1; 100_000]).unwrap();
    let kept = receiver.recv().unwrap().into_loan().unwrap();
    let filling: Vec<_> = (0..3).map(|_| sender.loan(1).unwrap()).collect();
    let waiting = thread::spawn(move || sender.loan(1).map(|_| ()));
    until_asleep(|| channel.view().sender_waits().parks);
    drop(kept);
    unless_it_sleeps_on(move || waiting.join().unwrap().unwrap());
    drop(filling);
}

#[test]
fn what_was_not_yet_received_for_good_at_a_death_is_received_by_another() {
    for is_done in [false, true] {
        let (channel, dying) = of_four_blocks();
        let mut sender = channel.sender().unwrap();
        let (mut dead, mut heir) = (dying.receiver().unwrap(), channel.receiver().unwrap());
        sender.send(&[1; 100_000]).unwrap();
        drop(sender);
        let Guard { lane, frame, block, .. } = *ManuallyDrop::new(dead.recv().unwrap());
        let owner = dead.share_place().word();
        assert!(dying.core.slab.adopt(block, in_flight(lane, frame.position()), owner));
        if is_done {
            dead.lanes.all[lane].release(frame);
        }
        die_receiving(&dying, dead);
        channel.core.sweep_seats();
        unless_it_sleeps_on(move || {
            if !is_done {
                assert_eq!(*heir.recv().unwrap(), [1; 100_000]);
            }
            assert_eq!(heir.recv().unwrap_err(), RecvError::Disconnected);
            assert_eq!(free_blocks(&channel), 4);
        });
    }
}

#[test]
fn the_end_comes_when_the_last_message_is_done_with() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut busy, mut idle) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    sender.send(b"takes its time").unwrap();
    let in_hand = busy.recv().unwrap();
    drop(sender);
    assert_eq!(idle.try_recv().unwrap_err(), TryRecvError::Empty, "it may come back");
    let ending = thread::spawn(move || idle.recv().map(|message| message.to_vec()));
    until_asleep(|| channel.view().receiver_waits.parks);
    drop(in_hand);
    assert_eq!(unless_it_sleeps_on(move || ending.join().unwrap()), Err(RecvError::Disconnected));
    assert_eq!(busy.recv().unwrap_err(), RecvError::Disconnected, "its own do not keep it");
}

#[test]
fn what_was_forgotten_comes_again_when_its_receiver_has_left() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut forgetful, mut other) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    sender.send(b"forgotten").unwrap();
    std::mem::forget(forgetful.recv().unwrap());
    drop(forgetful);
    drop(sender);
    unless_it_sleeps_on(move || {
        assert_eq!(*other.recv().unwrap(), *b"forgotten");
        assert_eq!(other.recv().unwrap_err(), RecvError::Disconnected);
    });
    let _the_seat_is_free = (0..16).map(|_| channel.receiver().unwrap()).collect::<Vec<_>>();
}

#[test]
fn a_newcomer_wakes_others_for_what_it_gives_back() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut dead, mut sleeper) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    sender.send(b"in hand").unwrap();
    std::mem::forget(dead.recv().unwrap());
    unless_it_sleeps_on(move || {
        let sleeping = thread::spawn(move || sleeper.recv().map(|message| message.to_vec()));
        until_asleep(|| channel.view().receiver_waits.parks);
        die_receiving(&channel, dead);
        let _takes_the_seat_and_receives_nothing = channel.receiver().unwrap();
        assert_eq!(sleeping.join().unwrap().unwrap(), b"in hand");
        drop(sender);
    });
}

#[test]
fn a_sweep_takes_no_room_from_the_sender() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (dead, mut receiver) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    while sender.try_send(&[0; 64]).is_ok() {}
    while receiver.try_recv().is_ok() {}
    die_receiving(&channel, dead);
    channel.core.sweep_seats();
    sender.try_send(&[0; 64]).unwrap();
}

#[test]
fn a_message_that_cannot_be_given_back_now_stays_with_who_left_it() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut typed, _other) = (channel.typed_receiver::<u64>().unwrap(), channel.receiver().unwrap());
    sender.send(b"no such value").unwrap();
    sender.send(&7u64.to_ne_bytes()).unwrap();
    let wrong = RecvError::WrongSize { bytes: 13, expected: 8 };
    assert_eq!(typed.recv().unwrap_err(), wrong);
    {
        // Taken again while nobody is there, left again while somebody is.
        let bytes = typed.recv_bytes().unwrap();
        let lane = channel.core.lane(0).unwrap();
        let lock = lane.taking.lock.try_lock(Holder::Resizer).unwrap();
        assert_eq!(*bytes, *b"no such value");
        bytes.leave();
        let _marked = lock.unlock();
    }
    assert_eq!(typed.recv().unwrap_err(), wrong);
    assert_eq!(*typed.recv_bytes().unwrap(), *b"no such value");
    assert_eq!(*typed.recv().unwrap(), 7);
}

/// Calls `attach` again and again, in a channel of its own that has a receiver, with a death before one more of its stores
/// each time, until it lives. After each death messages go through, more than the ring holds.
fn dying_at_each_store<T>(has_a_lane: bool, attach: impl Fn(&Channel) -> T) {
    let mut deaths = 0;
    loop {
        let channel = Channel::options().ring_bytes(1 << 12).receivers(Receivers::Each).create_anonymous().unwrap();
        channel.set_wait_strategy(WaitStrategy::SpinYield);
        let mut receiver = channel.receiver().unwrap();
        if has_a_lane {
            drop(channel.sender().unwrap());
        }
        mortal::die_after(deaths);
        let lived = mortal::live(|| attach(&channel));
        if mortal::survived() {
            break;
        }
        assert!(lived.is_none());
        let mut sender = channel.sender().unwrap();
        unless_it_sleeps_on(move || {
            let sending = thread::spawn(move || (0..20u64).for_each(|i| sender.send(&[i as u8; 1000]).unwrap()));
            let mut received = receiver.iter().filter(|message| !matches!(message, Err(RecvError::PeerDied { .. })));
            (0..20u64).for_each(|i| assert_eq!(received.next().unwrap().unwrap(), [i as u8; 1000]));
            sending.join().unwrap();
        });
        deaths += 1;
    }
    assert!(deaths > 5, "{deaths}: nobody died where it matters");
}

#[test]
fn a_receiver_that_dies_as_it_attaches_holds_nobody_back() {
    dying_at_each_store(true, |channel| channel.receiver().unwrap());
}

#[test]
fn a_lane_whose_founder_died_is_followed_by_all() {
    dying_at_each_store(false, |channel| channel.sender().unwrap());
}

#[test]
fn a_seat_is_cleared_although_the_sender_died_at_the_lane_too() {
    let options = Channel::options().ring_bytes(1 << 12).when_full(WhenFull::DropOldest);
    let channel = options.create_anonymous().unwrap();
    let (receiver, sender) = (channel.receiver().unwrap(), channel.sender().unwrap());
    let lane = channel.core.lane(0).unwrap();
    let _never_unlocked = lane.taking.lock.try_lock(Holder::Producer).unwrap();
    drop(sender);
    die_receiving(&channel, receiver);
    let _takes_the_dead_ones_seat = channel.receiver().unwrap();
}

#[test]
fn what_was_given_back_is_no_end() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut one, mut other) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    sender.send(b"given back").unwrap();
    drop(sender);
    let in_hand = one.recv().unwrap();
    assert_eq!(other.try_recv().unwrap_err(), TryRecvError::Empty);
    in_hand.leave();
    assert!(other.lanes.others_have_some(), "it was given back after the look at the lanes");
    assert_eq!(*other.recv().unwrap(), *b"given back");
    assert_eq!(other.recv().unwrap_err(), RecvError::Disconnected);
}

#[test]
fn a_death_that_was_found_without_waiting_is_told_to_the_next_wait() {
    let channel = channel();
    let (mut sender, receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    die_receiving(&channel, receiver);
    while sender.try_send(&[0; 64]).is_ok() {}
    let told = unless_it_sleeps_on(move || sender.send(&[0; 64]));
    assert_eq!(told, Err(SendError::PeerDied { pid: std::process::id() }));
}

#[test]
fn the_death_of_the_last_makes_room_for_another() {
    let channel = channel();
    let mut sender = channel.sender().unwrap();
    let (mut draining, dead) = (channel.receiver().unwrap(), channel.receiver().unwrap());
    sender.send(b"one").unwrap();
    draining.close();
    die_receiving(&channel, dead);
    channel.core.sweep_seats();
    assert!(sender.send(b"two").is_err(), "those that are left take no more");
    assert_eq!(*draining.recv().unwrap(), *b"one");
    drop(draining);
    assert!(sender.send(b"three").is_err());
    let last = channel.receiver().unwrap();
    sender.send(b"four").unwrap();
    die_receiving(&channel, last);
    channel.core.sweep_seats();
    assert_eq!(sender.send(b"told once"), Err(SendError::PeerDied { pid: std::process::id() }));
    sender.send(b"as if nobody had come yet").unwrap();
}
