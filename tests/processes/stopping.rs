//! Processes that are stopped past every deadline, and go on: nobody takes from them what they have.

use std::time::Duration;

use rustix::process::Signal;
use tidegate::channel::{RecvError, SendError};
use tidegate::{Channel, ChannelOptions, Order, Receivers, Sender};

use crate::child::{Process, say, wait_for_stop};
use crate::message::{self, Ledger};

const BLOCKS: u32 = 4;
const BLOCK_BYTES: usize = 50_000;
/// Longer than the time between two looks for the dead.
const SHORT: Duration = Duration::from_millis(60);

/// What a child does, by role: it has something in hand until its input ends.
pub(crate) fn run(role: &str, channel: &str, number: u64) {
    if !["claim_and_commit", "receive_one", "loan_all"].contains(&role) {
        return crate::soak::run(role, channel, number);
    }
    let channel = Channel::open(channel).expect("open");
    match role {
        "claim_and_commit" => {
            let mut sender = channel.sender().expect("sender");
            let mut claim = sender.claim(message::len(number, 0)).expect("claim");
            message::fill(&mut claim, number, 0);
            say("ready");
            wait_for_stop();
            claim.commit();
            say(0);
        }
        "receive_one" => {
            let mut receiver = channel.receiver().expect("receiver");
            let message = receiver.recv().expect("message");
            say("ready");
            wait_for_stop();
            say(message::check(&message).1);
        }
        "loan_all" => {
            let mut sender = channel.sender().expect("sender");
            let mut loans: Vec<_> = (0..BLOCKS).map(|_| sender.loan(BLOCK_BYTES).expect("a block")).collect();
            say("ready");
            wait_for_stop();
            for (loan, byte) in loans.iter_mut().zip(1..) {
                loan.fill(byte);
            }
            loans.into_iter().for_each(|loan| sender.send_loan(loan).expect("room"));
            say(0);
        }
        _ => unreachable!("one of these"),
    }
}

fn options() -> ChannelOptions {
    let options = Channel::options().ring_bytes(1 << 16).ring_bytes_min(1 << 16).ring_bytes_max(1 << 16);
    options.message_bytes_max(BLOCK_BYTES as u32).blocks(BLOCKS)
}

/// A child that has something in hand, and is stopped.
fn stopped(role: &str, channel: &str) -> Process {
    let mut process = Process::start(role, channel, 7);
    process.wait_ready();
    process.signal(Signal::STOP);
    process
}

fn go_on(process: Process) -> u64 {
    process.signal(Signal::CONT);
    process.finish()
}

fn send(sender: &mut Sender, sequence: u64) -> Result<(), SendError> {
    let mut bytes = vec![0; message::len(3, sequence)];
    message::fill(&mut bytes, 3, sequence);
    sender.send_timeout(&bytes, SHORT)
}

/// Sends from `sequence` on until nothing goes any more; the number of the first that did not go.
fn send_until_stalled(sender: &mut Sender, sequence: u64) -> u64 {
    let refused = (sequence..).find_map(|sequence| send(sender, sequence).err().map(|error| (sequence, error)));
    let (sequence, error) = refused.expect("it fills");
    assert_eq!(error, SendError::Stalled);
    assert_eq!(send(sender, sequence), Err(SendError::Stalled), "it is found dead after all");
    sequence
}

pub(crate) fn a_stopped_senders_claim_keeps_its_place() {
    let channel = options().order(Order::Global).create("stopped-claim").expect("create");
    let (mut sender, mut receiver) = (channel.sender().expect("sender"), channel.receiver().expect("receiver"));
    send(&mut sender, 0).expect("room");
    let process = stopped("claim_and_commit", "stopped-claim");
    let mut ledger = Ledger::default();
    ledger.enter(&receiver.recv().expect("it was before the claim"));
    let end = send_until_stalled(&mut sender, 1);
    for _ in 0..3 {
        assert_eq!(receiver.recv_timeout(SHORT).expect_err("the claim comes next"), RecvError::Stalled);
    }
    assert_eq!(go_on(process), 0);
    assert_eq!(message::check(&receiver.recv().expect("committed")), (7, 0));
    (1..end).for_each(|_| ledger.enter(&receiver.recv().expect("message")));
    assert_eq!(receiver.recv_timeout(SHORT).expect_err("that was all"), RecvError::Stalled);
}

pub(crate) fn a_stopped_receiver_keeps_what_it_has_in_hand() {
    let channel = options().receivers(Receivers::Competing).create("stopped-hand").expect("create");
    let (mut sender, mut receiver) = (channel.sender().expect("sender"), channel.receiver().expect("receiver"));
    send(&mut sender, 0).expect("room");
    let process = stopped("receive_one", "stopped-hand");
    let mut next = 1;
    // What it has in hand lies in the ring, which goes no further than once around.
    let refused = loop {
        if let Err(error) = send(&mut sender, next) {
            break error;
        }
        assert_eq!(message::check(&receiver.recv().expect("the one sent")), (3, next));
        next += 1;
    };
    assert_eq!(refused, SendError::Stalled);
    for _ in 0..3 {
        assert_eq!(receiver.recv_timeout(SHORT).expect_err("it lives, and has it"), RecvError::Stalled);
    }
    assert_eq!(go_on(process), 0);
    send(&mut sender, next).expect("it is released");
    assert_eq!(message::check(&receiver.recv().expect("message")), (3, next), "nothing came again");
}

pub(crate) fn a_stopped_sender_keeps_its_loans() {
    let channel = options().create("stopped-loans").expect("create");
    let (mut sender, mut receiver) = (channel.sender().expect("sender"), channel.receiver().expect("receiver"));
    let process = stopped("loan_all", "stopped-loans");
    for _ in 0..3 {
        assert_eq!(sender.loan_timeout(BLOCK_BYTES, SHORT).expect_err("it has all"), SendError::Stalled);
        assert_eq!(sender.send_timeout(&[1; BLOCK_BYTES], SHORT), Err(SendError::Stalled));
    }
    send(&mut sender, 0).expect("short ones need no block");
    assert_eq!(message::check(&receiver.recv().expect("message")), (3, 0));
    assert_eq!(go_on(process), 0);
    for byte in 1..=BLOCKS as u8 {
        assert!(*receiver.recv().expect("a loan") == [byte; BLOCK_BYTES], "loan {byte} was written to by another");
    }
    let all: Result<Vec<_>, _> = (0..BLOCKS).map(|_| sender.loan_timeout(BLOCK_BYTES, SHORT)).collect();
    assert!(all.is_ok(), "blocks are lost");
}

pub(crate) fn a_stopped_follower_misses_nothing() {
    let channel = options().receivers(Receivers::Each).create("stopped-follower").expect("create");
    let mut sender = channel.sender().expect("sender");
    let mut process = Process::start("receive", "stopped-follower", 0);
    process.wait_ready();
    process.signal(Signal::STOP);
    let end = send_until_stalled(&mut sender, 0);
    process.signal(Signal::CONT);
    // Each of them checks that it gets one after the other.
    let last = (end..end + 100).find_map(|sequence| send(&mut sender, sequence).err());
    assert_eq!(last, None);
    drop(sender);
    assert_eq!(process.line(), (end + 100).to_string());
}
