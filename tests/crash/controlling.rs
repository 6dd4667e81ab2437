//! A process that resizes a channel, or controls it, and is killed over it while messages flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tidegate::control::{Action, ControlAgent, ControllerOptions};
use tidegate::{Channel, WaitStrategy};

use crate::channel::{Scribe, all_once, ascending, left, numbers_of, send};
use crate::child::{Fate, Process, say, wait_until};
use crate::kind::{Kind, RING_BYTES};
use crate::ledger::Producer;
use crate::matrix::Outcome;

/// Resizes of the child.
const RESIZES: usize = 12;
/// Messages of the referee afterwards.
const AFTER: u64 = 20;

/// The child's part: resizes up and down, switches how to wait, gives memory back.
pub(crate) fn resize(name: &str) {
    let channel = Channel::open(name).expect("open");
    let sizes = [1, 2, 4].map(|times| times * RING_BYTES);
    for bytes in sizes.into_iter().cycle().take(RESIZES) {
        let sent = channel.view().lanes.first().map_or(0, |lane| lane.sent_messages);
        channel.resize(bytes).expect("resize");
        channel.set_wait_strategy(WaitStrategy::Park);
        channel.reclaim().expect("reclaim");
        wait_until(|| channel.view().lanes.iter().any(|lane| lane.sent_messages > sent + 20)).expect("traffic");
    }
    say("done");
}

/// The child's part: a controller, until it has put a decision in force.
pub(crate) fn control(name: &str) {
    let channel = Channel::open(name).expect("open");
    let mut agent = ControlAgent::new(&channel, name, ControllerOptions::default());
    let state = agent.state();
    wait_until(|| {
        agent.step();
        state.journal.lock().decisions().any(|decision| decision.action != Action::Hold)
    })
    .expect("a ring that overflows is a reason to decide something");
    say("done");
}

/// The referee's part: messages flow until the child is over.
pub(crate) fn judge(role: &str, kind: Kind, name: &str, fate: &Fate) -> Result<Outcome, String> {
    let channel = kind.create(name);
    let scribe = Scribe::start(channel.receiver().map_err(|error| error.to_string())?, || true);
    let over = Arc::new(AtomicBool::new(false));
    let sending = thread::spawn({
        let (mut sender, over) = (channel.sender().map_err(|error| error.to_string())?, Arc::clone(&over));
        move || {
            let mut next = 0;
            while !over.load(Ordering::Relaxed) {
                send(&mut sender, next..next + 1)?;
                next += 1;
            }
            Ok::<_, String>((sender, next))
        }
    });
    let mut child = Process::start(role, name, fate);
    let end = child.end();
    over.store(true, Ordering::Relaxed);
    let (mut sender, sent) = sending.join().map_err(|_| "the sender panicked")??;
    // Another controller can take over, whatever step the child has died at.
    wait_until(|| channel.try_steer().is_ok()).map_err(|error| format!("the dead still steer: {error:?}"))?;
    // The channel works on, and can be resized.
    let mut next = sent + AFTER;
    send(&mut sender, sent..next)?;
    let left_bytes = left(&channel, &mut sender, |sender| {
        next += 1;
        send(sender, next - 1..next)
    })?;
    drop(sender);
    let numbers = numbers_of(&scribe.finish()?, Producer::Referee);
    ascending("the referee", &numbers)?;
    let received = all_once("the referee", numbers)?;
    if received != next {
        return Err(format!("lost: {next} sent, and {received} received"));
    }
    Ok(Outcome { end, left_bytes })
}
