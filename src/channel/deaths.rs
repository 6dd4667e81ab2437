//! Deaths are told to all whom they concern, once to each.

use std::thread;

use crate::channel::wakes::unless_it_sleeps_on;
use crate::channel::{Channel, Order, Receiver, Receivers, RecvError, SendError, Sender, TryRecvError, TrySendError};
use crate::shm::participants::ROLE_SHIFT;
use crate::sync::wait::WaitStrategy;

const KINDS: [Receivers; 3] = [Receivers::One, Receivers::Competing, Receivers::Each];

fn channel(receivers: Receivers, order: Order) -> Channel {
    let options = Channel::options().ring_bytes(1 << 12).receivers(receivers).order(order);
    let channel = options.create_anonymous().unwrap();
    channel.set_wait_strategy(WaitStrategy::SpinYield);
    channel
}

/// Leaves everything that `word` stands for as it is, as death does.
fn evict(channel: &Channel, word: u64) {
    assert!(word >> ROLE_SHIFT != 0);
    let (participants, slot) = (&channel.core.participants, usize::from((word >> 32) as u8));
    let occupant = participants.occupant(slot).unwrap();
    assert!(participants.evict(slot, occupant));
}

pub(super) fn die_receiving(channel: &Channel, receiver: Receiver) {
    evict(channel, receiver.share_place().word());
    std::mem::forget(receiver);
}

pub(super) fn die_sending(channel: &Channel, sender: Sender) {
    evict(channel, sender.membership.word());
    std::mem::forget(sender);
}

fn fill(sender: &mut Sender) {
    while sender.try_send(&[0; 64]).is_ok() {}
}

#[test]
fn every_sender_that_waits_is_told_of_the_last_receivers_death() {
    for receivers in KINDS {
        for order in [Order::PerSender, Order::Global] {
            let channel = channel(receivers, order);
            let mut senders = [0, 1, 2].map(|_| channel.sender().unwrap());
            let receiver = channel.receiver().unwrap();
            senders.iter_mut().for_each(fill);
            die_receiving(&channel, receiver);
            // Where each receiver gets every message, a dead one's room comes back before its death is told.
            let until_told = |mut sender: Sender| {
                move || loop {
                    if let Err(error) = sender.send(&[0; 64]) {
                        break error;
                    }
                }
            };
            let told = unless_it_sleeps_on(move || {
                senders.map(|sender| thread::spawn(until_told(sender))).map(|sender| sender.join().unwrap())
            });
            assert_eq!(told, [SendError::PeerDied { pid: std::process::id() }; 3], "{receivers:?} {order:?}");
        }
    }
}

#[test]
fn who_only_tries_is_told_too_and_told_once() {
    for receivers in KINDS {
        let channel = channel(receivers, Order::PerSender);
        let (mut sender, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        let receiver = channel.receiver().unwrap();
        fill(&mut sender);
        die_receiving(&channel, receiver);
        let told = TrySendError::PeerDied { pid: std::process::id() };
        while sender.try_send(&[0; 64]) != Err(told) {
            thread::yield_now();
        }
        assert_eq!(other.try_send(b"one"), Err(told));
        assert_eq!(other.try_send(b"two"), Ok(()));
        assert_ne!(sender.try_send(&[0; 64]), Err(told));
        channel.sender().unwrap().send(b"who comes later was not there").unwrap();
    }
}

#[test]
fn every_receiver_is_told_of_a_senders_death_after_its_messages() {
    for receivers in [Receivers::Competing, Receivers::Each] {
        for order in [Order::PerSender, Order::Global] {
            let channel = channel(receivers, order);
            let mut all = [0, 1, 2].map(|_| channel.receiver().unwrap());
            let mut sender = channel.sender().unwrap();
            (0..10u8).for_each(|value| sender.send(&[value]).unwrap());
            die_sending(&channel, sender);
            // One of them only tries.
            let mut trying = loop {
                match all[0].try_recv() {
                    Ok(_) => {}
                    Err(TryRecvError::Empty) => thread::yield_now(),
                    Err(error) => break vec![RecvError::from(error)],
                }
            };
            trying.push(all[0].try_recv().unwrap_err().into());
            let mut ends = vec![trying];
            for receiver in &mut all[1..] {
                let mut errors = || loop {
                    if let Err(error) = receiver.recv() {
                        break error;
                    }
                };
                ends.push(vec![errors(), errors()]);
            }
            let end = [RecvError::PeerDied { pid: std::process::id() }, RecvError::Disconnected];
            assert!(ends.iter().all(|errors| *errors == end), "{receivers:?} {order:?}: {ends:?}");
        }
    }
}

#[test]
fn a_death_is_told_although_a_successor_has_come() {
    let channel = channel(Receivers::One, Order::PerSender);
    let (mut receiver, mut sender) = (channel.receiver().unwrap(), channel.sender().unwrap());
    sender.send(b"of the dead").unwrap();
    die_sending(&channel, sender);
    let mut successor = channel.sender().unwrap();
    successor.send(b"of its successor").unwrap();
    assert_eq!(*receiver.recv().unwrap(), *b"of the dead");
    assert_eq!(*receiver.recv().unwrap(), *b"of its successor");
    drop(successor);
    assert_eq!(receiver.recv().unwrap_err(), RecvError::PeerDied { pid: std::process::id() });
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}
