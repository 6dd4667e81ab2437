//! What else the machine does: how many threads want to run, and how often CPUs change hands.

use std::time::Duration;

use parking_lot::Mutex;

use crate::sync::clock::now_ns;

/// Between two looks: a look takes about a tenth of a millisecond, whichever channels it is for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Of all CPUs (`proc_stat(5)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// Threads that run or could.
    pub(super) runnable: u32,
    /// Context switches since boot.
    pub(super) context_switches: u64,
}

/// As of the last look, of this process; at most a second old where it is asked for all the time. Zeros where `/proc` tells
/// nothing.
pub(super) fn machine() -> Machine {
    static LAST: Mutex<(u64, Machine)> = Mutex::new((0, Machine { runnable: 0, context_switches: 0 }));
    let now_ns = now_ns();
    let mut last = LAST.lock();
    if last.0 == 0 || now_ns.saturating_sub(last.0) >= LOOK_EVERY.as_nanos() as u64 {
        *last = (now_ns, look().unwrap_or(last.1));
    }
    last.1
}

fn look() -> Option<Machine> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn parse(stat: &str) -> Option<Machine> {
    let number = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(Machine { runnable: number("procs_running ")? as u32, context_switches: number("ctxt ")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_as_the_manual_page_has_it() {
        let stat = "cpu  1 2 3\nintr 5 6\nctxt 115315\nbtime 1\nprocesses 7\nprocs_running 3\nprocs_blocked 0\n";
        assert_eq!(parse(stat), Some(Machine { runnable: 3, context_switches: 115_315 }));
        assert_eq!(parse("cpu 1"), None);
        let here = machine();
        assert!(here.runnable > 0 && here.context_switches > 0, "{here:?}");
    }
}
