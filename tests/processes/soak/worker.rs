//! What the processes of a soak do, and how they note it: what is written to a file stays when its process is killed.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use tidegate::channel::{RecvError, SendError};
use tidegate::{Channel, Receiver, Sender};

use super::notes;
use crate::child::{say, stop_flag};
use crate::message::{self, mix};

pub(crate) const BYTES_MAX: usize = 20_000;
/// Messages sent at once, at most.
pub(super) const BATCH_MAX: u64 = 5;
/// Bit of the first note of what a receiver has in hand at one time.
pub(super) const FIRST: u64 = 1 << 63;

/// A note of one message.
pub(super) fn note(producer: u64, sequence: u64) -> u64 {
    producer << 32 | sequence
}

pub(crate) fn run(role: &str, channel: &str, number: u64) {
    match role {
        "soak_send" => send(channel, number),
        "soak_receive" => receive(channel, number),
        other => crate::locking::run(other, channel),
    }
}

fn len(producer: u64, sequence: u64) -> usize {
    let choice = mix(producer << 40 ^ sequence);
    // Now and then one that goes through a block.
    if choice.is_multiple_of(31) { 16_500 + (choice >> 8 & 0x7ff) as usize } else { message::len(producer, sequence) }
}

fn body(producer: u64, sequence: u64) -> Vec<u8> {
    let mut bytes = vec![0; len(producer, sequence)];
    message::fill(&mut bytes, producer, sequence);
    bytes
}

/// The note of a message, every byte of which is right.
fn check(bytes: &[u8]) -> u64 {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let (producer, sequence) = (number(0), number(8));
    assert!(bytes == body(producer, sequence), "message {sequence} of {producer} is damaged");
    note(producer, sequence)
}

/// Sends in every way until told to stop; notes how many messages it has sent for certain.
fn send(channel: &str, producer: u64) {
    let notes = File::create(notes(channel).join(format!("sent-{producer}"))).expect("notes");
    let channel = Channel::open(channel).expect("open");
    let mut sender = channel.sender().expect("sender");
    let stop = stop_flag();
    say("ready");
    let mut sent = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        match send_some(&mut sender, producer, sent) {
            Ok(more) => sent += more,
            Err(SendError::PeerDied { .. }) => continue,
            Err(error) => panic!("{error}"),
        }
        notes.write_all_at(&sent.to_le_bytes(), 0).expect("note");
    }
    drop(sender);
    say(sent);
}

/// Sends messages from `sequence` on; how many.
fn send_some(sender: &mut Sender, producer: u64, sequence: u64) -> Result<u64, SendError> {
    let len = len(producer, sequence);
    match mix(sequence ^ producer << 50) % 12 {
        0 => {
            let mut loan = sender.loan(len)?;
            message::fill(&mut loan, producer, sequence);
            sender.send_loan(loan)?;
        }
        1 => {
            sender.claim(len)?.abort();
            sender.send(&body(producer, sequence))?;
        }
        2 => {
            let batch: Vec<_> = (0..BATCH_MAX).map(|more| body(producer, sequence + more)).collect();
            return match sender.send_batch(&batch) {
                Ok(sent) => Ok(sent as u64),
                Err(error) if matches!(error.error, SendError::PeerDied { .. }) => Ok(error.sent as u64),
                Err(error) => Err(error.error),
            };
        }
        _ => {
            let mut claim = sender.claim(len)?;
            message::fill(&mut claim, producer, sequence);
            claim.commit();
        }
    }
    Ok(1)
}

/// Receives in every way until there is nobody to receive from; notes what it has in hand before it lets go of it.
fn receive(channel: &str, number: u64) {
    let mut notes = notes_of_receiver(channel, number);
    // Every other one is guarded, where receivers can be.
    let guarded = if number.is_multiple_of(2) { None } else { Channel::open_to_receive(channel).ok() };
    let channel = guarded.unwrap_or_else(|| Channel::open(channel).expect("open"));
    let mut receiver = channel.receiver().expect("receiver");
    say("ready");
    let mut received = 0;
    loop {
        match receive_some(&mut receiver, &mut notes, received) {
            Ok(more) => received += more,
            Err(RecvError::PeerDied { .. }) => {}
            Err(RecvError::Disconnected) => break,
            Err(error) => panic!("{error}"),
        }
    }
    drop(receiver);
    say(received);
}

/// What receivers that were killed last have left.
pub(super) fn receive_what_is_left(channel: &Channel, name: &str, number: u64) {
    let mut notes = notes_of_receiver(name, number);
    let mut receiver = channel.receiver().expect("receiver");
    loop {
        match receive_some(&mut receiver, &mut notes, 1) {
            Ok(_) | Err(RecvError::PeerDied { .. }) => {}
            Err(RecvError::Disconnected) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn notes_of_receiver(channel: &str, number: u64) -> File {
    File::create(notes(channel).join(format!("received-{number}"))).expect("notes")
}

fn receive_some(receiver: &mut Receiver, notes: &mut File, received: u64) -> Result<u64, RecvError> {
    let mut in_hand = |messages: &mut dyn Iterator<Item = u64>| {
        let mut words: Vec<u64> = messages.collect();
        words[0] |= FIRST;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        notes.write_all(&bytes).expect("note");
        words.len() as u64
    };
    match received % 5 {
        0 => {
            let batch = receiver.recv_batch(20)?;
            Ok(in_hand(&mut batch.iter().map(check)))
        }
        1 => {
            let message = receiver.recv()?;
            let noted = check(&message);
            let count = in_hand(&mut std::iter::once(noted));
            // It may count as received from here on.
            assert_eq!(check(&message.hold()), noted);
            Ok(count)
        }
        _ => {
            let message = receiver.recv()?;
            Ok(in_hand(&mut std::iter::once(check(&message))))
        }
    }
}
