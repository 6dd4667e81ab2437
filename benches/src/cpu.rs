//! CPU time of this process and of the children that have ended.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// All that was used so far, in user and kernel mode (`getrusage(2)`).
///
/// # Errors
/// The kernel does not tell.
pub fn used() -> anyhow::Result<Duration> {
    let own = getrusage(UsageWho::RUSAGE_SELF)?;
    let children = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let times = [own.user_time(), own.system_time(), children.user_time(), children.system_time()];
    Ok(times.into_iter().map(duration).sum())
}

fn duration(time: TimeVal) -> Duration {
    let microseconds = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}
