//! Clocks, and waiting for them.

use std::num::NonZeroU64;

use rustix::thread::{NanosleepRelativeResult, nanosleep, set_current_timer_slack};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A gap that is slept through; one that is shorter is spun through.
const SLEPT_NS: u64 = 100_000;

/// Nanoseconds on CLOCK_MONOTONIC, which all processes share.
pub(crate) fn now_ns() -> u64 {
    of(ClockId::Monotonic)
}

/// CPU time of this process, nanoseconds.
pub(crate) fn cpu_ns() -> u64 {
    of(ClockId::ProcessCPUTime)
}

fn of(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Asks the kernel to wake this thread when it is due, not up to 50 us later (`PR_SET_TIMERSLACK`, prctl(2)).
pub(crate) fn be_punctual() -> anyhow::Result<()> {
    Ok(set_current_timer_slack(NonZeroU64::new(1))?)
}

/// Sleeps until then.
pub(crate) fn sleep_until(due_ns: u64) {
    loop {
        let left_ns = due_ns.saturating_sub(now_ns());
        let request = Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
        if left_ns == 0 || matches!(nanosleep(&request), NanosleepRelativeResult::Ok) {
            return;
        }
    }
}

/// Waits until `due_ns` as one does that has something else to do meanwhile; yields the nanoseconds that were spun.
pub(crate) fn work_until(due_ns: u64) -> u64 {
    let now = now_ns();
    if due_ns.saturating_sub(now) > SLEPT_NS {
        sleep_until(due_ns);
        return 0;
    }
    while now_ns() < due_ns {
        std::hint::spin_loop();
    }
    due_ns.saturating_sub(now)
}
