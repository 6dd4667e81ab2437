//! Many messages, none lost: 10^8 where the code is optimised (`cargo test --release --test long`), else 10^6.

use std::thread;

use tidegate::channel::RecvError;
use tidegate::{Channel, Receivers};

const MESSAGES: u64 = if cfg!(debug_assertions) { 1_000_000 } else { 100_000_000 };

#[test]
fn a_stream_arrives_whole_and_in_order_while_its_ring_changes() {
    let channel = Channel::options().ring_bytes(1 << 16).create_anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let sending = thread::spawn(move || {
        for number in 0..MESSAGES {
            if number % (MESSAGES / 100) == 0 {
                channel.resize(1 << (12 + number / (MESSAGES / 100) % 9)).unwrap();
            }
            sender.send(&number.to_ne_bytes()).unwrap();
        }
    });
    for number in 0..MESSAGES {
        let message = receiver.recv().unwrap();
        assert!(*message == number.to_ne_bytes(), "message {number}");
    }
    sending.join().unwrap();
    assert_eq!(receiver.recv().unwrap_err(), RecvError::Disconnected);
}

#[test]
fn shared_streams_arrive_once_each() {
    const SENDERS: u64 = 2;
    let channel = Channel::options().receivers(Receivers::Competing).create_anonymous().unwrap();
    let senders: Vec<_> = (0..SENDERS).map(|_| channel.sender().unwrap()).collect();
    let receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
    let messages = MESSAGES / 10;
    thread::scope(|scope| {
        for mut sender in senders {
            scope.spawn(move || (0..messages).for_each(|number| sender.send(&number.to_ne_bytes()).unwrap()));
        }
        let receiving = receivers.map(|mut receiver| {
            scope.spawn(move || {
                let (mut count, mut sum) = (0, 0u64);
                while let Ok(message) = receiver.recv() {
                    count += 1;
                    sum += u64::from_ne_bytes((*message).try_into().unwrap());
                }
                (count, sum)
            })
        });
        let received = receiving.map(|receiver| receiver.join().unwrap());
        assert_eq!(received[0].0 + received[1].0, SENDERS * messages);
        assert_eq!(received[0].1 + received[1].1, SENDERS * (messages * (messages - 1) / 2));
    });
}
