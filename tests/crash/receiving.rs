//! A receiver that is killed; and the referee who looks where its messages have gone.

use std::collections::BTreeSet as Sorted;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tidegate::channel::{LaneView, RecvError};
use tidegate::{Channel, Receiver, Receivers};

use crate::channel::{Scribe, all_once, ascending, left, numbers_of, send};
use crate::child::{Fate, Process, say, wait_until};
use crate::kind::{Kind, LONG_EVERY, RING_BYTES};
use crate::ledger::{self, Producer};
use crate::matrix::Outcome;

/// Messages that the referee sends while the child receives.
const MESSAGES: u64 = 140;
/// Messages after which the sender waits until the receiver sleeps.
const PAUSE_AT: u64 = 90;
/// Messages after which the sender goes on in a larger ring.
const RESIZED_AT: u64 = 70;
/// Messages that the child receives, one by one, before it waits until the sender sleeps.
const SINGLY: u64 = 12;
/// Messages in a batch of the child.
const BATCH: usize = 8;
/// Messages of the referee afterwards.
const AFTER: u64 = 20;

fn number(message: &[u8]) -> u64 {
    ledger::read(message).expect("a sound message").1
}

/// The child's part: every way of receiving. Before it is done with a message it says which one it has, and afterwards.
pub(crate) fn run(name: &str) {
    let channel = Channel::open(name).expect("open");
    let mut receiver = channel.receiver().expect("receiver");
    say("attached");
    for count in 0u64.. {
        match receiver.recv() {
            Ok(message) => {
                let number = number(&message);
                say(format!("has {number}"));
                if count == SINGLY {
                    // The sender sleeps for want of room, and is woken, unless it drops the oldest; or it has sent all.
                    wait_until(|| channel.view().lanes.iter().any(is_full_or_left)).expect("more than the ring holds");
                }
                drop(message);
                say(format!("done {number}"));
            }
            Err(RecvError::Lapped { .. } | RecvError::PeerDied { .. }) => continue,
            Err(RecvError::Disconnected) => break,
            Err(error) => panic!("{error}"),
        }
        if count == 2 * SINGLY {
            batches(&mut receiver);
            held(&mut receiver);
            loans(&mut receiver);
        }
    }
    drop(receiver);
    say("left");
}

fn is_full_or_left(lane: &LaneView) -> bool {
    lane.sender_waits.parks > 0 || lane.dropped > 0 || lane.sender_pid.is_none()
}

fn batches(receiver: &mut Receiver) {
    for _ in 0..2 {
        let Ok(batch) = receiver.recv_batch(BATCH) else { continue };
        let numbers: Vec<u64> = batch.iter().map(number).collect();
        numbers.iter().for_each(|number| say(format!("has {number}")));
        drop(batch);
        numbers.iter().for_each(|number| say(format!("done {number}")));
    }
}

/// Holds some at once, and lets go of the last first.
fn held(receiver: &mut Receiver) {
    let mut held = Vec::new();
    for _ in 0..4 {
        let Ok(message) = receiver.recv() else { continue };
        say(format!("has {}", number(&message)));
        held.push(message.hold());
    }
    while let Some(message) = held.pop() {
        let number = number(&message);
        drop(message);
        say(format!("done {number}"));
    }
}

/// Receives some for good, with their blocks where they have one, and lets go of all at last.
fn loans(receiver: &mut Receiver) {
    let mut kept = Vec::new();
    for _ in 0..3 * LONG_EVERY {
        let Ok(message) = receiver.recv() else { continue };
        let number = number(&message);
        say(format!("has {number}"));
        kept.extend(message.into_loan().ok());
        say(format!("done {number}"));
    }
}

/// A child that takes some messages in hand and keeps them.
pub(crate) fn hold(name: &str) {
    let channel = Channel::open(name).expect("open");
    let mut receiver = channel.receiver().expect("receiver");
    let held: Vec<_> = (0..3).filter_map(|_| Some(receiver.recv().ok()?.hold())).collect();
    say("holds");
    wait_until(|| false).expect_err("killed before");
    drop(held);
}

/// The numbers that the child has said it `what`.
fn said(log: &[String], what: &str) -> Vec<u64> {
    log.iter().filter_map(|line| line.strip_prefix(what)?.trim().parse().ok()).collect()
}

/// Sends all that the child is to receive, and leaves.
fn send_all(channel: &Channel, is_over: impl Fn() -> bool) -> Result<(), String> {
    let mut sender = channel.sender().map_err(|error| error.to_string())?;
    send(&mut sender, 0..RESIZED_AT)?;
    channel.resize(4 * RING_BYTES).map_err(|error| error.to_string())?;
    send(&mut sender, RESIZED_AT..PAUSE_AT)?;
    // A receiver that sleeps is woken.
    let slept = channel.view().receiver_waits.parks;
    wait_until(|| is_over() || channel.view().receiver_waits.parks > slept)?;
    send(&mut sender, PAUSE_AT..MESSAGES)
}

/// The referee's part.
pub(crate) fn judge(kind: Kind, name: &str, fate: &Fate, after_a_death: bool) -> Result<Outcome, String> {
    let channel = kind.create(name);
    let attach = || channel.receiver().map_err(|error| format!("attaching a receiver: {error}"));
    let over = Arc::new(AtomicBool::new(false));
    let mut scribes = Vec::new();
    if kind.receivers() == Receivers::Each {
        scribes.push(Scribe::start(attach()?, || true));
    }
    let sending = thread::spawn({
        let (channel, over) = (channel.clone(), Arc::clone(&over));
        move || send_all(&channel, || over.load(Ordering::Relaxed))
    });
    if after_a_death {
        let mut dead = Process::start("receive_and_hold", name, &Fate::Lives);
        wait_until(|| dead.has_said("holds"))?;
        dead.kill();
    }
    // Where they compete, one has a message in hand while the child comes.
    let mut beside = if kind.receivers() == Receivers::Competing && !after_a_death { Some(attach()?) } else { None };
    let in_hand = beside.as_mut().map(Receiver::recv).transpose().map_err(|error| error.to_string())?;
    let mut child = Process::start("receive", name, fate);
    wait_until(|| child.has_said("attached") || child.is_over())?;
    let first = in_hand.map(|message| ledger::read(&message)).transpose()?;
    let end = child.end();
    over.store(true, Ordering::Relaxed);
    if scribes.is_empty() {
        let heir = beside.map_or_else(attach, Ok)?;
        scribes.push(Scribe::start(heir, || true));
    }
    sending.join().map_err(|_| "the sender panicked")??;
    // The channel works on.
    let mut sender = channel.sender().map_err(|error| error.to_string())?;
    send(&mut sender, MESSAGES..MESSAGES + AFTER)?;
    let last = (Producer::Referee as u64, MESSAGES + AFTER - 1);
    wait_until(|| scribes[0].has(last)).map_err(|_| "lost: the last message")?;
    let mut next = MESSAGES + AFTER;
    let left_bytes = left(&channel, &mut sender, |sender| {
        next += 1;
        send(sender, next - 1..next)
    })?;
    drop(sender);
    let mut rest: Vec<_> = first.into_iter().collect();
    for scribe in scribes {
        rest.extend(scribe.finish()?);
    }
    let log = child.log();
    let (has, done) = (said(&log, "has "), said(&log, "done "));
    if !(after_a_death && kind.receivers() == Receivers::Competing) {
        // What a dead one had in hand comes to another out of its turn.
        ascending("the child", &has)?;
    }
    let (has, done) = (all_different(&has)?, all_different(&done)?);
    check(kind, &numbers_of(&rest, Producer::Referee), &has, &done, after_a_death)?;
    Ok(Outcome { end, left_bytes })
}

fn all_different(numbers: &[u64]) -> Result<Sorted<u64>, String> {
    let sorted: Sorted<u64> = numbers.iter().copied().collect();
    if sorted.len() < numbers.len() { Err(format!("duplicated: {numbers:?}")) } else { Ok(sorted) }
}

/// Checks that each message went to the child or to the `rest`, and to both only if the child had it in hand as it died.
fn check(kind: Kind, rest: &[u64], has: &Sorted<u64>, done: &Sorted<u64>, after_a_death: bool) -> Result<(), String> {
    let child: Vec<u64> = has.iter().copied().collect();
    if kind == Kind::EachDropping {
        return ascending("the rest", rest);
    }
    if kind.drops() {
        // What was in hand at the death comes after what was taken meanwhile.
        let mut sorted: Vec<u64> = rest.iter().chain(done).copied().collect();
        sorted.sort_unstable();
        return ascending("all", &sorted);
    }
    if kind.receivers() == Receivers::Each {
        if !after_a_death && child.windows(2).any(|pair| pair[1] != pair[0] + 1) {
            return Err("lost: the child has missed a message".into());
        }
        return all_once("the rest", rest.to_vec()).map(|_| ());
    }
    if let Some(twice) = done.iter().find(|number| rest.contains(number)) {
        return Err(format!("duplicated: message {twice} was done with and came again"));
    }
    let in_hand: Vec<u64> = has.difference(done).copied().filter(|number| !rest.contains(number)).collect();
    if in_hand.len() > BATCH {
        return Err(format!("lost: {in_hand:?} were in hand, and come no more"));
    }
    all_once("all", rest.iter().chain(done).copied().chain(in_hand).collect()).map(|_| ())
}
