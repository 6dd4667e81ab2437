//! Senders that share a lane: what becomes of the others when one is slow or dies. Nothing makes up for a lost wake-up here,
//! as in `wakes.rs`.

use std::thread;

use crate::channel::deaths::die_sending;
use crate::channel::slab::in_flight;
use crate::channel::wakes::{unless_it_sleeps_on, until_asleep};
use crate::channel::{Channel, Order, Receivers, RecvError, Sender, TryRecvError, WhenFull};
use crate::prim::mortal;
use crate::ring::lock::Holder;
use crate::ring::{self, Event};
use crate::sync::wait::WaitStrategy;

fn channel(receivers: Receivers) -> Channel {
    let options = Channel::options().ring_bytes(1 << 12).order(Order::Global).message_bytes_max(1 << 20).blocks(2);
    let channel = options.receivers(receivers).create_anonymous().unwrap();
    channel.set_wait_strategy(WaitStrategy::Park);
    channel
}

#[test]
fn who_sleeps_behind_a_claim_is_woken() {
    type End = fn(&mut Sender);
    let ends: [End; 3] = [
        |sender| sender.claim(8).unwrap().commit(),
        |sender| drop(sender.claim(8).unwrap()),
        |sender| std::mem::forget(sender.claim(8).unwrap()),
    ];
    for (receivers, end) in [Receivers::One, Receivers::Competing].into_iter().flat_map(|r| ends.map(|end| (r, end))) {
        let channel = channel(receivers);
        let (mut slow, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        let mut receiver = channel.receiver().unwrap();
        std::mem::forget(slow.claim(100).unwrap());
        other.send(b"behind").unwrap();
        unless_it_sleeps_on(move || {
            let receiving = thread::spawn(move || receiver.recv().map(|message| message.to_vec()));
            until_asleep(|| channel.view().receiver_waits.parks);
            end(&mut slow); // It gives up the claim that was forgotten.
            assert_eq!(receiving.join().unwrap().unwrap(), b"behind");
        });
    }
}

#[test]
fn who_sleeps_for_its_turn_is_woken() {
    let channel = channel(Receivers::One);
    let (mut one, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    let lane = channel.core.lane(0).unwrap();
    let _until_it_is_broken = lane.producing.lock.try_lock(Holder::Sender(0)).unwrap();
    unless_it_sleeps_on(move || {
        let sending = thread::spawn(move || other.send(b"waited for its turn"));
        until_asleep(|| channel.view().lanes[1].sender_waits.parks);
        assert!(lane.producing.lock.break_from(Holder::Sender(0)).unwrap().0, "it has left its mark");
        channel.core.on_event(0, Event::TurnAwaited);
        sending.join().unwrap().unwrap();
        assert_eq!(*receiver.recv().unwrap(), *b"waited for its turn");
        one.send(b"afterwards").unwrap();
    });
}

#[test]
fn nobody_sleeps_on_in_a_crowd() {
    const MESSAGES: u64 = 10_000;
    let channel = channel(Receivers::Competing);
    let senders = [0, 1, 2].map(|_| channel.sender().unwrap());
    let receivers = [0, 1].map(|_| channel.receiver().unwrap());
    let received: usize = unless_it_sleeps_on(move || {
        let sending = senders.map(|mut sender| {
            thread::spawn(move || (0..MESSAGES).for_each(|sequence| sender.send(&sequence.to_le_bytes()).unwrap()))
        });
        let receiving =
            receivers.map(|mut receiver| thread::spawn(move || receiver.iter().map(Result::unwrap).count()));
        sending.into_iter().for_each(|sender| sender.join().unwrap());
        receiving.into_iter().map(|receiver| receiver.join().unwrap()).sum()
    });
    assert_eq!(received as u64, 3 * MESSAGES);
}

#[test]
fn senders_that_wait_for_room_are_all_woken() {
    let channel = channel(Receivers::One);
    let mut receiver = channel.receiver().unwrap();
    let mut senders = [0, 1, 2].map(|_| channel.sender().unwrap());
    while senders[0].try_send(&[0; 100]).is_ok() {}
    unless_it_sleeps_on(move || {
        let sending = senders.map(|mut sender| thread::spawn(move || sender.send(&[1; 100])));
        for lane in 0..3 {
            until_asleep(|| channel.view().lanes[lane].sender_waits.parks);
        }
        let received = receiver.iter().map(|message| message.unwrap()[0]).filter(|&first| first == 1).count();
        assert_eq!(received, 3);
        sending.into_iter().for_each(|sender| sender.join().unwrap().unwrap());
    });
}

#[test]
fn a_claim_of_the_dead_is_given_up_before_its_death_is_told() {
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        let channel = channel(receivers);
        let (mut dead, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        let mut receiver = channel.receiver().unwrap();
        std::mem::forget(dead.claim(100_000).unwrap());
        other.send(b"behind").unwrap();
        die_sending(&channel, dead);
        let found = loop {
            match receiver.try_recv() {
                Ok(message) => break message.to_vec(),
                Err(TryRecvError::Empty) => thread::yield_now(),
                Err(e) => panic!("{e}"),
            }
        };
        assert_eq!(found, b"behind", "who only tries finds it, too");
        drop(other);
        assert_eq!(receiver.recv().unwrap_err(), RecvError::PeerDied { pid: std::process::id() });
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
        assert!(channel.is_empty());
    }
}

/// A sender that dies at each store of `act`, with another at work before and after.
fn dying_at_each_store(options: fn() -> Channel, act: impl Fn(&mut Sender)) {
    let mut deaths = 0;
    loop {
        let channel = options();
        channel.set_wait_strategy(WaitStrategy::SpinYield);
        let (mut sender, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        let mut receiver = channel.receiver().unwrap();
        other.send(b"before").unwrap();
        mortal::die_after(deaths);
        let lived = mortal::live(|| act(&mut sender));
        if mortal::survived() {
            break;
        }
        assert!(lived.is_none());
        die_sending(&channel, sender);
        let mut successor = channel.sender().unwrap();
        unless_it_sleeps_on(move || {
            let sending = thread::spawn(move || {
                other.send(b"after").unwrap();
                // The blocks of the dead are to be had again.
                (0..4).for_each(|_| successor.send(&[7; 50_000]).unwrap());
            });
            let mut received =
                receiver.iter().filter_map(|message| message.ok().filter(|message| *message != [9; 20_000]));
            if channel.view().lanes[0].dropped == 0 {
                assert_eq!(received.next().unwrap(), b"before");
            }
            assert!(received.any(|message| message == b"after"));
            assert_eq!(received.filter(|message| *message == [7; 50_000]).count(), 4);
            sending.join().unwrap();
            // What it had taken and not sent is its process's, which lives on here. Where each receiver gets every message, a
            // sender frees blocks when it needs one.
            let sent = in_flight(0, 0)..in_flight(1, 0);
            let left = channel.core.slab.owners().filter(|(_, owner)| sent.contains(owner)).count();
            assert!(
                channel.core.readers() == ring::Readers::Each || left == 0,
                "{left} blocks of the dead are not free"
            );
        });
        deaths += 1;
    }
    assert!(deaths > 5, "{deaths}: nobody died where it matters");
}

#[test]
fn who_dies_at_the_lane_leaves_it_to_the_others() {
    dying_at_each_store(|| channel(Receivers::One), |sender| sender.send(b"before").unwrap());
    dying_at_each_store(|| channel(Receivers::Each), |sender| drop(sender.claim(100).unwrap()));
    dying_at_each_store(|| channel(Receivers::Competing), |sender| sender.send(&[9; 20_000]).unwrap());
}

#[test]
fn who_dies_while_it_drops_leaves_the_lane_to_the_others() {
    let dropping = || {
        let options = Channel::options().ring_bytes(1 << 12).order(Order::Global).message_bytes_max(1 << 20).blocks(8);
        options.when_full(WhenFull::DropOldest).create_anonymous().unwrap()
    };
    dying_at_each_store(dropping, |sender| (0..6).for_each(|_| sender.send(&[0; 1000]).unwrap()));
}
