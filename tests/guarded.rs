//! Receivers that map what senders write read-only.

use std::thread;
use std::time::Duration;

use tidegate::channel::{ChannelError, RecvError, ResizeError};
use tidegate::{Channel, ChannelOptions, Order, Receivers, WhenFull};

const MESSAGES: u64 = 20_000;

fn name(of: &str) -> String {
    format!("guarded-{of}-{}", std::process::id())
}

fn options(receivers: Receivers) -> ChannelOptions {
    let options = Channel::options().receivers(receivers).senders_max(3).message_bytes_max(30_000).blocks(4);
    options.ring_bytes(1 << 16).ring_bytes_min(1 << 16).ring_bytes_max(1 << 19)
}

fn message(sender: u8, number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(97) { 20_000 } else { 16 + number as usize % 300 };
    let mut bytes = vec![sender; len];
    bytes[..8].copy_from_slice(&number.to_ne_bytes());
    bytes
}

/// Receives in every way until all senders have left; how many messages there were of each.
fn receive_all(channel: &Channel) -> [u64; 3] {
    let mut receiver = channel.receiver().unwrap();
    let mut next = [0; 3];
    let mut enter = |bytes: &[u8]| {
        let sender = bytes[8];
        let next = &mut next[usize::from(sender)];
        assert!(bytes == message(sender, *next), "message {next} of {sender}");
        *next += 1;
    };
    for turn in 0.. {
        let outcome = match turn % 4 {
            0 => receiver.recv().map(|message| enter(&message)),
            1 => receiver.recv_batch(20).map(|batch| batch.iter().for_each(&mut enter)),
            2 => receiver.recv_timeout(Duration::from_secs(60)).map(|message| enter(&message.hold())),
            _ => receiver.recv().map(|message| enter(&message)),
        };
        match outcome {
            Ok(()) => {}
            Err(RecvError::Disconnected) => break,
            Err(error) => panic!("{error}"),
        }
    }
    next
}

#[test]
fn whoever_only_receives_gets_what_the_others_get() {
    for receivers in [Receivers::One, Receivers::Each] {
        let name = name("all");
        let channel = options(receivers).create(&name).unwrap();
        let guarded: Vec<_> = (0..if receivers == Receivers::One { 1 } else { 2 })
            .map(|_| Channel::open_to_receive(&name).unwrap())
            .collect();
        let received = thread::scope(|scope| {
            let mut senders: Vec<_> = (0..3).map(|_| channel.sender().unwrap()).collect();
            let receiving: Vec<_> = guarded.iter().map(|channel| scope.spawn(|| receive_all(channel))).collect();
            if receivers == Receivers::Each {
                // Those that come later have missed something.
                while channel.view().receiver_pids.len() < receiving.len() {
                    thread::yield_now();
                }
            }
            for (mut sender, number) in senders.drain(..).zip(0u8..) {
                let channel = &channel;
                scope.spawn(move || {
                    for at in 0..MESSAGES {
                        sender.send(&message(number, at)).unwrap();
                        if number == 0 && at % 1000 == 0 {
                            // Rings change under them, and memory comes and goes.
                            channel.resize(1 << (16 + at / 1000 % 4)).unwrap();
                        }
                    }
                });
            }
            receiving.into_iter().map(|receiving| receiving.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(received.iter().all(|counts| *counts == [MESSAGES; 3]), "{received:?}");
    }
}

#[test]
fn nothing_is_written_through_such_a_handle() {
    let name = name("refused");
    let channel = options(Receivers::Each).create(&name).unwrap();
    let guarded = Channel::open_to_receive(&name).unwrap();
    assert!(matches!(guarded.sender(), Err(ChannelError::ReceiveOnly { .. })));
    assert!(matches!(guarded.resize(1 << 17), Err(ResizeError::ReceiveOnly)));
    assert!(matches!(guarded.reclaim(), Err(ResizeError::ReceiveOnly)));
    guarded.set_wait_strategy(tidegate::WaitStrategy::Park);
    assert_eq!(channel.wait_strategy(), tidegate::WaitStrategy::Park);
    assert_eq!((guarded.len(), guarded.view().lanes.len()), (0, 0));
}

#[test]
fn where_receivers_must_write_it_is_refused() {
    let kinds = [
        options(Receivers::Competing),
        options(Receivers::Each).when_full(WhenFull::DropOldest),
        options(Receivers::One).when_full(WhenFull::DropOldest),
        options(Receivers::One).order(Order::Global),
    ];
    for (options, number) in kinds.into_iter().zip(0..) {
        let name = name(&format!("kind-{number}"));
        let _channel = options.create(&name).unwrap();
        let refused = Channel::open_to_receive(&name).unwrap_err();
        assert!(matches!(refused, ChannelError::ReceiveOnly { .. }), "{refused:?}");
        assert!(refused.to_string().ends_with("open the channel with Channel::open"), "{refused}");
    }
}

#[test]
fn a_task_receives_so_too_and_a_closed_receiver_drains() {
    let name = name("task");
    let channel = options(Receivers::One).create(&name).unwrap();
    let guarded = Channel::open_to_receive(&name).unwrap();
    let mut sender = channel.sender().unwrap();
    let mut receiver = tidegate::AsyncReceiver::from(guarded.receiver().unwrap());
    let sending = thread::spawn(move || {
        (0..1000).for_each(|number| sender.send(&message(0, number)).unwrap());
        sender
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for number in 0..1000 {
            assert!(*receiver.recv().await.unwrap() == message(0, number), "message {number}");
        }
    });
    let mut sender = sending.join().unwrap();
    sender.send(&message(0, 1000)).unwrap();
    let mut receiver = receiver.into_inner();
    receiver.close();
    assert!(sender.try_send(b"refused").is_err());
    assert!(*receiver.recv().unwrap() == message(0, 1000));
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}
