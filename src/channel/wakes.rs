//! Every event that an endpoint can sleep for wakes it.
//!
//! Unit tests sleep for an hour where the library sleeps for milliseconds (`PARK_NS_MAX`), so a wake-up that is lost
//! is not healed: it runs into the watchdog.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::channel::{AsyncReceiver, AsyncSender, Channel, Receiver, Receivers, RecvError, SendError, Sender};
use crate::sync::wait::WaitStrategy;

const WATCHDOG: Duration = Duration::from_secs(120);
const ROUNDS: u64 = 20_000;

fn parking_channel() -> Channel {
    let channel = Channel::options().ring_bytes(1 << 12).create_anonymous().unwrap();
    channel.set_wait_strategy(WaitStrategy::Park);
    channel
}

/// Runs `test`, which must end before the watchdog does.
pub(super) fn unless_it_sleeps_on<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let running = thread::spawn(move || done.send(test()).unwrap());
    match result.recv_timeout(WATCHDOG) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still asleep: a wake-up was lost"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(running.join().unwrap_err()),
    }
}

/// Waits until `parks`, a count of sleeps, says that somebody has gone to sleep.
pub(super) fn until_asleep(parks: impl Fn() -> u64) {
    while parks() == 0 {
        thread::yield_now();
    }
}

fn full(sender: &mut Sender) {
    while sender.try_send(&[0; 64]).is_ok() {}
}

#[test]
fn each_message_wakes_the_receiver() {
    let (there, back) = (parking_channel(), parking_channel());
    let (mut ping, mut pong) = (there.sender().unwrap(), back.sender().unwrap());
    let (mut echo, mut ear): (Receiver, Receiver) = (there.receiver().unwrap(), back.receiver().unwrap());
    let parks = unless_it_sleeps_on(move || {
        let echoing = thread::spawn(move || {
            for _ in 0..ROUNDS {
                let message = echo.recv().unwrap();
                pong.send(&message).unwrap();
            }
        });
        for round in 0..ROUNDS {
            ping.send(&round.to_le_bytes()).unwrap();
            assert_eq!(*ear.recv().unwrap(), round.to_le_bytes());
        }
        echoing.join().unwrap();
        there.view().receiver_waits.parks
    });
    assert!(parks > 0, "nobody ever slept, so nothing was tested");
}

#[test]
fn each_message_and_room_for_the_next_wake_the_task() {
    let (there, back) = (parking_channel(), parking_channel());
    let (mut ping, mut ear) =
        (AsyncSender::from(there.sender().unwrap()), AsyncReceiver::from(back.receiver().unwrap()));
    let (mut echo, mut pong) = (there.receiver().unwrap(), back.sender().unwrap());
    let waits = unless_it_sleeps_on(move || {
        let echoing = thread::spawn(move || {
            for _ in 0..ROUNDS {
                let message = echo.recv().unwrap().to_vec();
                pong.send(&message).unwrap();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            // Three at a time do not fit into a ring, so the task sleeps for room, too.
            let pinging = async {
                for i in 0..ROUNDS {
                    ping.send(&[i as u8; 1000]).await.unwrap();
                }
            };
            let hearing = async {
                for i in 0..ROUNDS {
                    assert_eq!(*ear.recv().await.unwrap(), [i as u8; 1000]);
                }
            };
            tokio::join!(pinging, hearing);
        });
        echoing.join().unwrap();
        (back.view().receiver_waits.waits, there.view().lanes[0].sender_waits.waits)
    });
    assert!(waits.0 > 0 && waits.1 > 0, "{waits:?}");
}

#[test]
fn room_for_a_long_message_wakes_the_sender() {
    let channel = parking_channel();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let parks = unless_it_sleeps_on(move || {
        let sending = thread::spawn(move || (0..ROUNDS).for_each(|i| sender.send(&[i as u8; 1000]).unwrap()));
        // Not before the sender sleeps in the full ring; from there on the two take turns.
        until_asleep(|| channel.view().lanes[0].sender_waits.parks);
        (0..ROUNDS).for_each(|i| assert_eq!(*receiver.recv().unwrap(), [i as u8; 1000]));
        sending.join().unwrap();
        channel.view().lanes[0].sender_waits.parks
    });
    assert!(parks > 0);
}

#[test]
fn a_sender_is_woken_for_a_quarter_of_the_ring_or_when_all_is_read() {
    for receivers in [Receivers::One, Receivers::Competing, Receivers::Each] {
        let options = Channel::options().ring_bytes(1 << 12).receivers(receivers);
        let channel = options.create_anonymous().unwrap();
        channel.set_wait_strategy(WaitStrategy::Park);
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        unless_it_sleeps_on(move || {
            full(&mut sender);
            let wakes = || channel.view().lanes[0].sender_waits.wakes;
            let sending = thread::spawn(move || (0..1000u32).for_each(|_| sender.send(&[0; 64]).unwrap()));
            until_asleep(|| channel.view().lanes[0].sender_waits.parks);
            // Some 50 messages are in the ring: each is received, the last few when nothing else comes.
            (0..1000 + 56).for_each(|_| drop(receiver.recv().unwrap()));
            sending.join().unwrap();
            assert!(wakes() < 500, "{receivers:?}: {} wakes for 1000 messages", wakes());
        });
    }
}

#[test]
fn two_that_send_to_each_other_ahead_wake_each_other() {
    const MESSAGE: [u8; 56] = [0; 56];
    let (there, back) = (parking_channel(), parking_channel());
    let (mut ping, mut ear) = (there.sender().unwrap(), back.receiver().unwrap());
    let (mut echo, mut pong) = (there.receiver().unwrap(), back.sender().unwrap());
    unless_it_sleeps_on(move || {
        let echoing = thread::spawn(move || {
            while let Ok(message) = echo.recv() {
                pong.send(&message).unwrap();
            }
        });
        // Frames of 64 bytes, so that the end of a ring takes no more room than the rest. As many as both rings hold, so that each sleeps for room that the other gives a message at a time.
        let mut ahead = 0;
        while ping.send_timeout(&MESSAGE, Duration::from_millis(200)).is_ok() {
            ahead += 1;
        }
        for _ in 0..ROUNDS {
            drop(ear.recv().unwrap());
            ping.send(&MESSAGE).unwrap();
        }
        drop(ping);
        assert_eq!(ear.iter().count(), ahead);
        echoing.join().unwrap();
    });
}

#[test]
fn a_larger_ring_wakes_the_sender() {
    let channel = parking_channel();
    let mut sender = channel.sender().unwrap();
    unless_it_sleeps_on(move || {
        full(&mut sender);
        let sending = thread::spawn(move || sender.send(&[0; 64]));
        until_asleep(|| channel.view().lanes[0].sender_waits.parks);
        channel.resize(1 << 16).unwrap();
        sending.join().unwrap().unwrap();
    });
}

#[test]
fn a_closing_receiver_wakes_every_sender() {
    let channel = parking_channel();
    let receiver = channel.receiver().unwrap();
    // Attached after the receiver, which has not looked at its lanes since.
    let mut senders = [channel.sender().unwrap(), channel.sender().unwrap()];
    senders.iter_mut().for_each(full);
    unless_it_sleeps_on(move || {
        let sending = senders.map(|mut sender| thread::spawn(move || sender.send(&[0; 64])));
        for lane in 0..2 {
            until_asleep(|| channel.view().lanes[lane].sender_waits.parks);
        }
        drop(receiver);
        for sender in sending {
            assert_eq!(sender.join().unwrap(), Err(SendError::Disconnected));
        }
    });
}

#[test]
fn the_last_sender_to_close_wakes_the_receiver() {
    let channel = parking_channel();
    let (sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    unless_it_sleeps_on(move || {
        let receiving = thread::spawn(move || receiver.recv().map(|message| message.len()));
        until_asleep(|| channel.view().receiver_waits.parks);
        drop(sender);
        assert_eq!(receiving.join().unwrap(), Err(RecvError::Disconnected));
    });
}
