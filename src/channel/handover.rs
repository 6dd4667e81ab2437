//! A lane changes hands while somebody dies, stands still, or does not look again. Nothing makes up for a lost wake-up here, as
//! in `wakes.rs`.

use std::thread;
use std::time::Duration;

use crate::channel::deaths::{die_receiving, die_sending};
use crate::channel::wakes::unless_it_sleeps_on;
use crate::channel::{Channel, ChannelOptions, Order, Receiver, Receivers, RecvError, SendError, TryRecvError};
use crate::prim::mortal;
use crate::ring::alone;
use crate::ring::lock::Holder;
use crate::sync::wait::WaitStrategy;

fn options() -> ChannelOptions {
    Channel::options().ring_bytes(1 << 12).receivers(Receivers::Competing)
}

/// With waits in which the dead are looked for.
fn spinning(options: ChannelOptions) -> Channel {
    let channel = options.create_anonymous().unwrap();
    channel.set_wait_strategy(WaitStrategy::SpinYield);
    channel
}

/// What is there now, but for deaths.
fn drain(receiver: &mut Receiver) -> Vec<u8> {
    let mut received = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(message) => received.push(message[0]),
            Err(TryRecvError::PeerDied { .. }) => {}
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return received,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs `life` once for each of its stores, and has it die there; shows each time what is left.
fn at_each_death<T, U>(world: impl Fn() -> U, life: impl Fn(&mut U) -> T, left: impl Fn(U)) {
    let mut deaths = 0;
    loop {
        let mut made = world();
        mortal::die_after(deaths);
        let lived = mortal::live(|| life(&mut made));
        if mortal::survived() {
            break;
        }
        assert!(lived.is_none());
        left(made);
        deaths += 1;
    }
    assert!(deaths > 5, "{deaths}: nobody died where it matters");
}

/// Has the lane shared, as who comes second does, while `meanwhile` happens.
fn share_while(channel: &Channel, meanwhile: impl FnOnce()) {
    let lane = channel.core.lane(0).unwrap();
    let held = lane.taking.lock.try_lock(Holder::Resizer).unwrap();
    assert!(alone::share(&lane, &channel.core.area(0).unwrap(), &channel.core.classes(), &held));
    meanwhile();
    let _all_are_woken = held.unlock();
    channel.core.wake_lane(0).unwrap();
}

#[test]
fn a_lane_whose_founder_died_has_not_two_kinds_of_readers() {
    at_each_death(
        || {
            let channel = spinning(options());
            let first = channel.receiver().unwrap();
            (channel, first)
        },
        |(channel, _)| channel.sender().unwrap(),
        |(channel, mut first)| {
            let (mut second, mut sender) = (channel.receiver().unwrap(), channel.sender().unwrap());
            (0..4).for_each(|i| sender.send(&[i]).unwrap());
            let mut received = drain(&mut first);
            received.extend(drain(&mut second));
            assert_eq!(received, [0, 1, 2, 3]);
        },
    );
}

#[test]
fn who_has_not_looked_yet_goes_on_where_it_is_its_turn() {
    at_each_death(
        || {
            let channel = spinning(options());
            let (mut sender, mut before) = (channel.sender().unwrap(), channel.receiver().unwrap());
            (0..4).for_each(|i| sender.send(&[i]).unwrap());
            assert_eq!(drain(&mut before), [0, 1, 2, 3]);
            drop(before);
            let idle = channel.receiver().unwrap();
            sender.send(&[4]).unwrap();
            (channel, sender, idle)
        },
        |(channel, ..)| channel.receiver().unwrap(),
        |(channel, _sender, mut idle)| {
            channel.reclaim().unwrap();
            // It may take the one that comes next to have the lane shared.
            let mut received = unless_it_sleeps_on(move || vec![idle.recv().unwrap()[0]]);
            received.extend(drain(&mut channel.receiver().unwrap()));
            assert_eq!(received, [4]);
            assert_eq!(channel.len(), 0);
        },
    );
}

#[test]
fn who_is_done_while_the_lane_becomes_shared_need_not_look_again() {
    let channel = spinning(options());
    let (mut sender, mut busy) = (channel.sender().unwrap(), channel.receiver().unwrap());
    (0..2).for_each(|i| sender.send(&[i]).unwrap());
    let in_hand = busy.recv().unwrap();
    share_while(&channel, || drop(in_hand));
    let mut other = channel.receiver().unwrap();
    unless_it_sleeps_on(move || {
        let sending = thread::spawn(move || (2..200).for_each(|i| sender.send(&[i; 64]).unwrap()));
        let received: Vec<_> = other.iter().map(|message| message.unwrap()[0]).collect();
        assert!(received.iter().copied().eq(1..200), "{received:?}");
        sending.join().unwrap();
        assert_eq!(other.recv().unwrap_err(), RecvError::Disconnected);
    });
    drop(busy);
}

#[test]
fn a_long_message_done_with_while_the_lane_becomes_shared_is_done_with() {
    let channel = spinning(options().message_bytes_max(1 << 20));
    let (mut sender, mut dead) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send(&[7; 100_000]).unwrap();
    let in_hand = dead.recv().unwrap();
    share_while(&channel, || drop(in_hand));
    die_receiving(&channel, dead);
    let mut other = channel.receiver().unwrap();
    assert_eq!(other.recv_timeout(Duration::from_millis(1)).unwrap_err(), RecvError::Stalled);
    assert_eq!(channel.core.slab.owners().count(), 0);
}

#[test]
fn what_was_left_is_for_whoever_comes() {
    let channel = spinning(options());
    let (mut sender, mut first) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send(&[1]).unwrap();
    first.recv().unwrap().leave();
    let mut second = channel.receiver().unwrap();
    assert_eq!(*unless_it_sleeps_on(move || second.recv().unwrap().to_vec()), [1]);
    drop(first);
}

#[test]
fn a_receiver_comes_although_a_sender_died_at_the_lane() {
    let channel = spinning(options().order(Order::Global));
    let mut sender = channel.sender().unwrap();
    sender.send(&[1]).unwrap();
    let lane = channel.core.lane(0).unwrap();
    let _in_its_turn = lane.producing.lock.try_lock(Holder::Sender(0)).unwrap();
    let _at_the_lane = lane.taking.lock.try_lock(Holder::Producer).unwrap();
    die_sending(&channel, sender);
    assert_eq!(drain(&mut channel.receiver().unwrap()), [1]);
}

#[test]
fn a_ring_with_an_open_claim_before_its_end_is_not_reclaimed() {
    for is_somebody_at_it in [false, true] {
        let channel = spinning(options().order(Order::Global).receivers(Receivers::Each));
        let mut receiver = channel.receiver().unwrap();
        let (mut one, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        for i in 0..5 {
            one.send(&[i; 64]).unwrap();
            assert_eq!(*receiver.recv().unwrap(), [i; 64]);
        }
        channel.resize(1 << 13).unwrap();
        let claim = other.claim(64).unwrap(); // It moves first.
        assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
        let lane = channel.core.lane(0).unwrap();
        let turn = is_somebody_at_it.then(|| lane.producing.lock.try_lock(Holder::Sender(0)).unwrap());
        channel.reclaim().unwrap();
        turn.into_iter().for_each(|turn| assert!(turn.unlock().0));
        claim.commit();
        unless_it_sleeps_on(move || {
            for _ in 0..1000 {
                one.send(&[9; 64]).unwrap();
                while receiver.try_recv().is_ok() {}
            }
        });
    }
}

#[test]
fn claims_given_up_in_a_row_of_rings_end_no_channel() {
    let channel = spinning(Channel::options().ring_bytes(1 << 12).order(Order::Global));
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send(&[1]).unwrap();
    assert_eq!(drain(&mut receiver), [1]);
    for bytes in [1 << 13, 1 << 14, 1 << 15] {
        channel.resize(bytes).unwrap();
        (0..bytes / 8 - 80).for_each(|_| drop(sender.try_claim(0).unwrap()));
    }
    sender.send(&[2]).unwrap();
    drop(sender);
    let received = unless_it_sleeps_on(move || receiver.iter().map(|message| message.unwrap()[0]).collect::<Vec<_>>());
    assert_eq!(received, [2]);
}

#[test]
fn whoever_dies_in_the_dead_ones_seat_the_senders_are_told() {
    at_each_death(
        || {
            let channel = spinning(options());
            let (mut sender, receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
            while sender.try_send(&[0; 64]).is_ok() {}
            die_receiving(&channel, receiver);
            (channel, sender)
        },
        |(channel, _)| channel.receiver().unwrap(),
        |(_channel, mut sender)| {
            let told = unless_it_sleeps_on(move || sender.send(&[0; 64]));
            assert_eq!(told, Err(SendError::PeerDied { pid: std::process::id() }));
        },
    );
}
