//! Points at which a test has a process killed: every step of the protocols that leaves something behind.
//!
//! In a build with `--cfg failpoints` the variable `TIDEGATE_FAILPOINT` says what a process does when it comes to one:
//! `NAME` or `NAME:COUNT` kills it with SIGKILL as it comes there, or as it comes there for that time; `census=FILE` adds the
//! name of each point that it comes to to that file, a line each. In other builds a point is nothing.

/// All points, each named where it stands: what was done just before.
#[rustfmt::skip]
#[cfg_attr(not(failpoints), allow(unreachable_pub))]
pub const STEPS: &[&str] = &[
    // Attaching and leaving.
    "attach.joined", "attach.owned", "attach.backed", "attach.founded", "attach.counted",
    "seat.joined", "seat.in_lanes", "seat.closed_before_joining", "seat.taken", "seat.opened",
    "seat.closing", "seat.left", "place.taken", "place.left", "detach.closed", "detach.left",
    // Sending.
    "claim.reserved", "claim.padded", "claim.filled", "commit.ahead", "commit.committed", "commit.published",
    "commit.notified", "abort.given_up", "batch.appended", "batch.ahead", "batch.committed", "batch.published",
    // Senders that share a lane.
    "turn.taken", "turn.left", "claim.shortened", "claim.committed", "claim.voided",
    // Dropping the oldest.
    "drop.marked", "drop.passed", "helm.taken", "lap.moved",
    // Receiving.
    "receive.found", "receive.moved", "take.locked", "take.marked", "take.passed", "take.unlocked", "done.marked",
    "collect.published", "give_back.returned", "release.begun", "release.published", "release.notified",
    // A lane that two come to share.
    "share.begun", "share.marked", "share.done",
    // Blocks.
    "loan.adopted", "loan.received", "loan.owned",
    "block.owned", "block.backed", "block.launched", "block.committed", "block.read", "block.freed",
    // Rings of another size.
    "resize.prepared", "resize.backed", "resize.offered", "resize.woken", "move.taken", "move.prepared", "move.closed",
    "move.published", "move.done", "reclaim.released", "reclaim.marked",
    // Sleeping and waking.
    "park.announced", "park.fenced", "park.slept", "wake.cleared", "wake.rung", "wake.woken",
    // Locks.
    "lock.taken", "lock.left_queue", "lock.placed", "lock.queued", "lock.announced", "lock.slept", "lock.inherited",
    "lock.gave_up", "unlock.freed", "unlock.chosen", "unlock.woken", "strategy.stored", "strategy.woken",
    "read.counted", "read.left", "read.cleared", "read.woken", "write.closed", "write.announced", "write.drained",
    "permit.taken", "permit.freed", "permit.notified",
    // The controller.
    "decision.made", "decision.applied", "decision.entered",
];

/// A point of that name.
#[cfg(not(failpoints))]
#[inline(always)]
pub(crate) fn step(_name: &str) {}

#[cfg(failpoints)]
pub(crate) use armed::step;

#[cfg(failpoints)]
mod armed {
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock};

    use rustix::process::{Signal, getpid, kill_process};

    enum Plan {
        Nothing,
        Die { at: String, times_left: AtomicU64 },
        Census { file: String, seen: Mutex<BTreeSet<String>> },
    }

    fn plan() -> Plan {
        let Ok(text) = std::env::var("TIDEGATE_FAILPOINT") else { return Plan::Nothing };
        if let Some(file) = text.strip_prefix("census=") {
            return Plan::Census { file: file.into(), seen: Mutex::default() };
        }
        let (at, times) = text.split_once(':').unwrap_or((&text, "1"));
        assert!(super::STEPS.contains(&at), "no failpoint is called {at}");
        let times = times.parse().expect("TIDEGATE_FAILPOINT=NAME:COUNT");
        Plan::Die { at: at.into(), times_left: AtomicU64::new(times) }
    }

    pub(crate) fn step(name: &str) {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        match PLAN.get_or_init(plan) {
            Plan::Nothing => {}
            Plan::Die { at, times_left } => {
                if at == name && times_left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
                    // The signal may take a moment to be delivered.
                    loop {
                        std::thread::park();
                    }
                }
            }
            Plan::Census { file, seen } => {
                if seen.lock().expect("no panic under the lock").insert(name.into()) {
                    let mut file = std::fs::File::options().append(true).create(true).open(file).expect("census");
                    writeln!(file, "{name}").expect("census");
                }
            }
        }
    }
}
