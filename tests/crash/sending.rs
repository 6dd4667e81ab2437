//! A sender that is killed; and the referee who counts what it has sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate::channel::SendError;
use tidegate::{Channel, Sender};

use crate::channel::{Scribe, all_once, ascending, left, numbers_of, send};
use crate::child::{Fate, Process, say, wait_until};
use crate::kind::{Kind, LONG, RING_BYTES, SHORT};
use crate::ledger::{self, Producer};
use crate::matrix::Outcome;

/// Messages in a batch of the child.
const BATCH: u64 = 5;
/// Messages that fill the smallest ring more than once.
const MANY: u64 = 90;
/// Messages of the referee afterwards.
const AFTER: u64 = 20;

/// The child's part: every way of sending. After each step it says how many messages it has sent.
pub(crate) fn run(name: &str) {
    let channel = Channel::open(name).expect("open");
    let mut sender = channel.sender().expect("sender");
    let mut sent = 0;
    let message = |number: u64, len: usize| ledger::message(len, Producer::Child, number);
    say("attached");
    for _ in 0..3 {
        keep_on(|| sender.send(&message(sent, SHORT)));
        sent += 1;
        say(sent);
    }
    for (claimed, len) in [(SHORT, SHORT), (SHORT, 200), (LONG, LONG), (LONG, 17_000)] {
        let mut claim = sender.claim(claimed).expect("room");
        ledger::fill(&mut claim[..len], Producer::Child, sent);
        claim.commit_len(len);
        sent += 1;
        say(sent);
    }
    let mut given_up = sender.claim(SHORT).expect("room");
    ledger::fill(&mut given_up, Producer::Nobody, 0);
    given_up.abort();
    // More than the ring holds: it sleeps, unless it drops the oldest.
    while sent < MANY {
        keep_on(|| sender.send(&message(sent, SHORT)));
        sent += 1;
        say(sent);
    }
    for _ in 0..3 {
        let batch: Vec<Vec<u8>> = (sent..sent + BATCH).map(|number| message(number, SHORT)).collect();
        assert_eq!(sender.send_batch(&batch).expect("sent"), batch.len());
        sent += BATCH;
        say(sent);
    }
    let mut loan = sender.loan(LONG).expect("block");
    ledger::fill(&mut loan, Producer::Child, sent);
    sender.send_loan(loan).expect("sent");
    sent += 1;
    say(sent);
    for bytes in [4 * RING_BYTES, RING_BYTES] {
        channel.resize(bytes).expect("resize");
        for _ in 0..10 {
            keep_on(|| sender.send(&message(sent, SHORT)));
            sent += 1;
            say(sent);
        }
        channel.reclaim().expect("reclaim");
    }
    // Receivers that sleep are woken.
    for _ in 0..5 {
        let slept = channel.view().receiver_waits.parks;
        wait_until(|| channel.view().receiver_waits.parks > slept).expect("they sleep when there is nothing");
        keep_on(|| sender.send(&message(sent, SHORT)));
        sent += 1;
        say(sent);
    }
    drop(sender);
    say("left");
}

/// A death of others is no reason to stop.
fn keep_on<T>(mut attempt: impl FnMut() -> Result<T, SendError>) -> T {
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(SendError::PeerDied { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether what the child was sending as it died was sent, where the step it died at tells.
fn in_flight_is_sent(kind: Kind, step: &str) -> Option<bool> {
    let frame_is_claim = kind.is_one_order();
    match step {
        "claim.reserved" | "claim.filled" | "commit.ahead" => Some(false),
        "turn.taken" | "turn.left" | "claim.shortened" | "block.owned" | "block.backed" | "block.launched" => {
            Some(false)
        }
        "commit.committed" | "commit.published" => Some(!frame_is_claim),
        "commit.notified" | "batch.committed" | "batch.published" | "claim.committed" | "block.committed" => Some(true),
        _ => None,
    }
}

/// The referee's part.
pub(crate) fn judge(kind: Kind, name: &str, fate: &Fate, after_a_death: bool) -> Result<Outcome, String> {
    let channel = kind.create(name);
    let receivers = if kind.receivers() == tidegate::Receivers::One { 1 } else { 2 };
    if after_a_death {
        let at = if kind.is_one_order() { "turn.left" } else { "batch.appended" };
        let mut dead = Process::start("send", name, &Fate::Dies(at, 3));
        // Its messages are received by nobody.
        let mut alone = channel.receiver().map_err(|error| error.to_string())?;
        wait_until(|| {
            while alone.try_recv().is_ok() {}
            dead.is_over()
        })?;
        dead.end();
        while alone.try_recv().is_ok() {}
    }
    let over = Arc::<AtomicBool>::default();
    let scribes: Vec<Scribe> = (0..receivers)
        .map(|_| {
            let receiver = channel.receiver().map_err(|error| error.to_string())?;
            let (channel, over) = (channel.clone(), Arc::clone(&over));
            // Not before the sender has slept for room, or has sent what would fill the ring.
            Ok(Scribe::start(receiver, move || {
                let lanes = channel.view().lanes;
                let is_full = lanes.iter().any(|lane| lane.sender_waits.parks > 0 || lane.dropped > 0);
                is_full || over.load(Ordering::Relaxed)
            }))
        })
        .collect::<Result<_, String>>()?;
    let mut child = Process::start("send", name, fate);
    let end = child.end();
    over.store(true, Ordering::Relaxed);
    let log = child.log();
    let said = log.iter().rev().find_map(|line| line.parse::<u64>().ok()).unwrap_or(0);
    // The channel works on.
    let mut sender = channel.sender().map_err(|error| format!("attaching a successor: {error}"))?;
    send(&mut sender, 0..AFTER)?;
    let last = (Producer::Referee as u64, AFTER - 1);
    wait_until(|| scribes.iter().any(|scribe| scribe.has(last))).map_err(|_| "lost: the successor's last message")?;
    let mut next = AFTER;
    let pass = |sender: &mut Sender| {
        next += 1;
        send(sender, next - 1..next)
    };
    let left_bytes = left(&channel, &mut sender, pass)?;
    drop(sender);
    let mut of_each = Vec::new();
    for scribe in scribes {
        of_each.push(scribe.finish()?);
    }
    let in_flight = match fate {
        Fate::Dies(step, _) => in_flight_is_sent(kind, step),
        _ => Some(false),
    };
    let check = |numbers: Vec<u64>| -> Result<(), String> {
        let sent = all_once("the dead", numbers)?;
        // A batch for which there is no room at once comes in parts.
        let fits = match in_flight {
            Some(false) => sent == said,
            Some(true) => sent > said && sent <= said + BATCH,
            None => (said..=said + BATCH).contains(&sent),
        };
        if fits { Ok(()) } else { Err(format!("lost or made up: {said} sent, and {sent} received, {in_flight:?}")) }
    };
    let all: Vec<_> = of_each.iter().flatten().copied().collect();
    for entries in &of_each {
        for (who, producer) in [("the dead", Producer::Child), ("the successor", Producer::Referee)] {
            ascending(who, &numbers_of(entries, producer))?;
        }
    }
    match kind {
        Kind::Each | Kind::OneOrderEach => {
            of_each.iter().try_for_each(|entries| check(numbers_of(entries, Producer::Child)))?;
        }
        Kind::One | Kind::OneOrder | Kind::Competing => {
            check(numbers_of(&all, Producer::Child))?;
            all_once("the successor", numbers_of(&all, Producer::Referee))?;
        }
        // What was dropped is not received; what was received was sent.
        Kind::Dropping | Kind::EachDropping => {
            let newest = numbers_of(&all, Producer::Child).into_iter().max().map_or(0, |number| number + 1);
            if newest > said + BATCH || (in_flight == Some(false) && newest > said) {
                return Err(format!("made up: {said} sent, and number {newest} received"));
            }
        }
    }
    Ok(Outcome { end, left_bytes })
}
