//! What stands behind a claim that is neither committed nor given up. Nothing makes up for a lost wake-up here, as in
//! `wakes.rs`.

use std::thread;
use std::time::Duration;

use crate::channel::deaths::{die_receiving, die_sending};
use crate::channel::wakes::{unless_it_sleeps_on, until_asleep};
use crate::channel::{Channel, ChannelOptions, Order, Receivers, RecvError, SendError, TryRecvError, TrySendError};
use crate::prim::Ordering::Relaxed;
use crate::ring::lock::Holder;
use crate::sync::wait::WaitStrategy;

const PID_TOLD: fn() -> RecvError = || RecvError::PeerDied { pid: std::process::id() };

fn options() -> ChannelOptions {
    Channel::options().ring_bytes(1 << 12).order(Order::Global).message_bytes_max(1 << 20)
}

fn parking(options: ChannelOptions) -> Channel {
    waiting(options, WaitStrategy::Park)
}

/// For waits in which the dead are looked for: a sleep is an hour.
fn spinning(options: ChannelOptions) -> Channel {
    waiting(options, WaitStrategy::SpinYield)
}

fn waiting(options: ChannelOptions, strategy: WaitStrategy) -> Channel {
    let channel = options.create_anonymous().unwrap();
    channel.set_wait_strategy(strategy);
    channel
}

#[test]
fn a_dead_resizers_turn_costs_the_living_no_claim() {
    let channel = options().create_anonymous().unwrap();
    let (mut slow, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    let mut claim = slow.claim(1).unwrap();
    let lane = channel.core.lane(0).unwrap();
    let _until_it_is_taken_over = lane.producing.lock.try_lock(Holder::Resizer).unwrap();
    channel.core.settle_dead_senders();
    other.send(b"2").unwrap();
    claim[0] = b'1';
    claim.commit();
    assert_eq!(*receiver.recv().unwrap(), *b"1");
    assert_eq!(*receiver.recv().unwrap(), *b"2");
}

#[test]
fn an_open_claim_is_not_written_over_whoever_comes_and_goes() {
    for comes in [false, true] {
        let options = Channel::options().ring_bytes(1 << 12).order(Order::Global).receivers(Receivers::Each);
        let channel = options.create_anonymous().unwrap();
        let (mut slow, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        let mut claim = slow.claim(64).unwrap();
        let mut receiver = comes.then(|| channel.receiver().unwrap());
        let mut sent = 0u64;
        let mut read = 0;
        let mut read_all = |receiver: &mut Option<crate::channel::Receiver>| {
            while let Some(Ok(message)) = receiver.as_mut().map(crate::channel::Receiver::try_recv) {
                assert_eq!(*message, [read as u8; 64], "message {read}");
                read += 1;
            }
            read
        };
        while other.try_send(&[sent as u8; 64]).is_ok() {
            sent += 1;
            read_all(&mut receiver);
            assert!(sent < 100, "the claim is in the way");
        }
        channel.resize(1 << 13).unwrap();
        channel.resize(1 << 14).unwrap();
        claim.fill(255);
        claim.commit();
        for _ in 0..200 {
            other.try_send(&[sent as u8; 64]).unwrap();
            sent += 1;
            read_all(&mut receiver);
        }
        assert_eq!(read_all(&mut receiver), if comes { sent } else { 0 });
    }
}

#[test]
fn who_may_drop_what_stood_behind_a_claim_is_woken() {
    let ends: [fn(crate::channel::Claim<'_>); 2] = [|claim| claim.commit(), |claim| drop(claim)];
    for (receivers, end) in [Receivers::One, Receivers::Each].into_iter().flat_map(|r| ends.map(|end| (r, end))) {
        let channel = parking(options().receivers(receivers).when_full(crate::channel::WhenFull::DropOldest));
        let _receiver = channel.receiver().unwrap();
        let (mut slow, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        unless_it_sleeps_on(move || {
            let claim = slow.claim(8).unwrap();
            while other.try_send(&[0; 64]).is_ok() {}
            let sending = thread::spawn(move || other.send(&[1; 64]));
            until_asleep(|| channel.view().lanes[1].sender_waits.parks);
            end(claim);
            sending.join().unwrap().unwrap();
        });
    }
}

#[test]
fn a_death_is_told_after_what_stands_behind_a_claim() {
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        let channel = spinning(options().receivers(receivers));
        let mut receiver = channel.receiver().unwrap();
        let (mut slow, mut dead) = (channel.sender().unwrap(), channel.sender().unwrap());
        let claim = slow.claim(0).unwrap();
        dead.send(b"of the dead").unwrap();
        die_sending(&channel, dead);
        assert_eq!(receiver.recv_timeout(Duration::from_millis(1)).unwrap_err(), RecvError::Stalled);
        claim.commit();
        assert_eq!(*receiver.recv().unwrap(), *b"");
        assert_eq!(*receiver.recv().unwrap(), *b"of the dead");
        assert_eq!(receiver.recv().unwrap_err(), PID_TOLD());
        drop(slow);
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
    }
}

#[test]
fn a_closed_receiver_drains_what_stands_behind_a_claim() {
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        let channel = options().receivers(receivers).create_anonymous().unwrap();
        let mut receiver = channel.receiver().unwrap();
        let (mut slow, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
        let claim = slow.claim(100).unwrap();
        other.send(b"before the close").unwrap();
        receiver.close();
        assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
        drop(claim);
        assert_eq!(*receiver.recv().unwrap(), *b"before the close");
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
    }
}

#[test]
fn a_long_message_hears_of_the_end_although_no_block_is_free() {
    for order in [Order::PerSender, Order::Global] {
        let full = || {
            let channel = spinning(options().order(order).blocks(1));
            let (mut sender, receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
            sender.send(&[0; 100_000]).unwrap();
            assert_eq!(sender.try_send(&[0; 100_000]), Err(TrySendError::Full));
            (channel, sender, receiver)
        };
        let (_channel, mut sender, receiver) = full();
        drop(receiver);
        assert_eq!(sender.try_send(&[0; 100_000]), Err(TrySendError::Disconnected));
        assert_eq!(unless_it_sleeps_on(move || sender.send(&[0; 100_000])), Err(SendError::Disconnected));
        let (channel, mut sender, receiver) = full();
        die_receiving(&channel, receiver);
        let told = SendError::PeerDied { pid: std::process::id() };
        assert_eq!(unless_it_sleeps_on(move || sender.send(&[0; 100_000])), Err(told));
    }
}

#[test]
fn nobody_waits_for_a_block_behind_a_claim_that_it_forgot() {
    let channel = parking(options().blocks(1));
    let (mut forgetful, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    unless_it_sleeps_on(move || {
        for long in [
            |sender: &mut crate::channel::Sender| sender.send(&[3; 50_000]),
            |sender: &mut crate::channel::Sender| {
                let mut loan = sender.loan(50_000)?;
                loan.fill(3);
                sender.send_loan(loan)
            },
        ] {
            std::mem::forget(forgetful.claim(8).unwrap());
            other.send(&[2; 50_000]).unwrap();
            thread::scope(|scope| {
                let sending = scope.spawn(|| long(&mut forgetful));
                assert_eq!(*receiver.recv().unwrap(), [2; 50_000]);
                assert_eq!(*receiver.recv().unwrap(), [3; 50_000]);
                sending.join().unwrap().unwrap();
            });
        }
    });
}

#[test]
fn a_death_that_was_told_while_a_successor_failed_to_come_is_settled_all_the_same() {
    let channel = spinning(options());
    let (sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let lane = channel.core.lane(0).unwrap();
    let word = lane.shape.owner.load(Relaxed);
    die_sending(&channel, sender);
    // As a successor does, which then leaves the lane as it was.
    lane.shape.died.store(word, Relaxed);
    lane.shape.owner.store(0, Relaxed);
    assert_eq!(receiver.recv().unwrap_err(), PID_TOLD());
    lane.shape.owner.store(word, Relaxed);
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}
