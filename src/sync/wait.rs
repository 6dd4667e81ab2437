//! Wait strategies: how an endpoint passes the time until there is something to do.

use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::prim::AtomicU64;
use crate::prim::Ordering::Relaxed;
use crate::shm::window::SharedLayout;
use crate::sync::clock::now_ns;
use crate::sync::eventcount::EventCount;
use crate::sync::{fences, owed};

/// How an endpoint waits. Switchable at any moment, by any process, while endpoints wait.
///
/// A spinning waiter reacts within a fraction of a microsecond and burns a core; a parked one costs nothing and takes
/// a wake-up through the kernel, tens of microseconds. On a machine or cgroup with one CPU every strategy parks: the
/// peer that is waited for needs that CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Poll without pause.
    Spin,
    /// Poll, giving the CPU to another runnable thread between polls (`sched_yield(2)`).
    SpinYield,
    /// Poll for a while, giving the CPU to another runnable thread now and then, then sleep.
    SpinPark {
        /// Nanoseconds of polling before the sleep.
        budget_ns: u32,
    },
    /// Sleep at once (`futex(2)`).
    Park,
}

impl Default for WaitStrategy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl WaitStrategy {
    /// Spinning for 40 us, a little more than a wake-up through the kernel costs, then sleeping: at most twice the
    /// cost of the better choice, whichever it is (Karlin et al., "Competitive randomized algorithms", 1990).
    pub const DEFAULT: Self = Self::SpinPark { budget_ns: 40_000 };

    /// The strategy's name, without its budget.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::SpinYield => "spin_yield",
            Self::SpinPark { .. } => "spin_park",
            Self::Park => "park",
        }
    }

    /// The shared word: kind in the low byte, budget in the upper half. 0, fresh memory, is the default.
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Self::Spin => 1,
            Self::SpinYield => 2,
            Self::SpinPark { budget_ns } => 3 | u64::from(budget_ns) << 32,
            Self::Park => 4,
        }
    }

    /// Reads any word, also one that no process of ours wrote: unknown kinds mean the default.
    pub(crate) fn from_word(word: u64) -> Self {
        match word as u8 {
            1 => Self::Spin,
            2 => Self::SpinYield,
            3 => Self::SpinPark { budget_ns: (word >> 32) as u32 },
            4 => Self::Park,
            _ => Self::DEFAULT,
        }
    }

    fn on_this_machine(self) -> Self {
        if cpus() == 1 { Self::Park } else { self }
    }
}

impl std::fmt::Display for WaitStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SpinPark { budget_ns } => write!(f, "spin_park({} us)", budget_ns / 1000),
            other => f.write_str(other.name()),
        }
    }
}

/// CPUs that this machine has online, or the cgroup's quota if that is less; at least 1.
///
/// Not the calling thread's own affinity: a thread pinned to one CPU may spin for a peer on another.
pub fn cpus() -> usize {
    static CPUS: OnceLock<usize> = OnceLock::new();
    *CPUS.get_or_init(|| {
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok().and_then(|list| count_cpus(&list));
        let quota = cgroup_cpus().unwrap_or(usize::MAX);
        online.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1).min(quota).max(1)
    })
}

/// Finds out what waits need to know of this machine. To be called before a process can have another thread that does: one that
/// is about it as the process forks is not there in the child, which would wait for it for ever.
pub(crate) fn know_this_machine() {
    fences::register();
    cpus();
    poll_ns();
    #[cfg(target_arch = "x86_64")]
    crate::shm::window::can_flush();
}

/// CPUs in a list such as `0-3,8` (`cpuset(7)`, list format).
fn count_cpus(list: &str) -> Option<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        (last + 1).checked_sub(first)
    };
    list.trim().split(',').map(range).sum()
}

/// Whole CPUs that the cgroup v2 quota allows (`cpu.max`: quota and period in microseconds), if there is one.
fn cgroup_cpus() -> Option<usize> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let max = std::fs::read_to_string(format!("/sys/fs/cgroup{path}/cpu.max")).ok()?;
    let (quota, period) = max.trim().split_once(' ')?;
    Some((quota.parse::<usize>().ok()? / period.parse::<usize>().ok()?.max(1)).max(1))
}

/// Buckets of a log2 histogram of nanoseconds: bucket b counts values below 2^b, the last one all larger.
pub(crate) const WAIT_BUCKETS: usize = 32;

/// The bucket that a wait of so long is counted in.
pub(crate) fn wait_bucket(ns: u64) -> usize {
    ((u64::BITS - ns.leading_zeros()) as usize).min(WAIT_BUCKETS - 1)
}

/// What one side's waits cost. One endpoint writes it, on slow paths only; telemetry reads it.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct WaitCounters {
    /// Waits that outlasted the first burst of polls.
    pub(crate) waits: AtomicU64,
    /// Sleeps.
    pub(crate) parks: AtomicU64,
    /// Nanoseconds spent in ended waits, short bursts included.
    pub(crate) wait_ns: AtomicU64,
    /// When the wait that goes on now began, or 0.
    pub(crate) waiting_since_ns: AtomicU64,
    /// Ended waits by duration.
    pub(crate) histogram: [AtomicU64; WAIT_BUCKETS],
}

/// Where one endpoint waits, and what its waits have cost. Endpoints that wait for the same share the event of one of their
/// points.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct WaitPoint {
    /// Rung by the peers when there may be something to do.
    pub(crate) event: EventCount,
    /// Written by the endpoint that waits; away from the line that its peers read with every message.
    pub(crate) counters: WaitCounters,
}

// SAFETY: atomics only, `repr(C)`.
unsafe impl SharedLayout for WaitPoint {}

const _: () = assert!(size_of::<WaitPoint>() == 512);

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeadlinePassed;

/// Polls before the first look at the clock: a wait this short is not worth two clock reads.
const BURST_POLLS: u32 = 64;
/// Polls between looks at the clock and the strategy word.
const SPIN_POLLS: u32 = 64;
/// Rounds of so many polls between two yields of a spinner that may park.
const ROUNDS_BETWEEN_YIELDS: u32 = 4;
/// How often a waiter looks whether its peers still live.
pub(crate) const PEER_CHECK_NS: u64 = 20_000_000;

/// Whether that look is due, for who does not wait: the last was at `checked_ns`, and this one is now.
pub(crate) fn is_peer_check_due(checked_ns: &mut u64) -> bool {
    let now = now_ns();
    let is_due = now.saturating_sub(*checked_ns) >= PEER_CHECK_NS;
    if is_due {
        *checked_ns = now;
    }
    is_due
}

/// When some thread of a handle last looked whether those that hold what it wants live.
#[derive(Debug, Default)]
pub(crate) struct PeerCheck {
    looked_ns: AtomicU64,
}

impl PeerCheck {
    /// Whether that look is due, which is then the caller's to do, at `now` of [`now_ns`].
    pub(crate) fn is_due(&self, now: u64) -> bool {
        let is_due = now.saturating_sub(self.looked_ns.load(Relaxed)) >= PEER_CHECK_NS;
        if is_due {
            self.looked_ns.store(now, Relaxed);
        }
        is_due
    }
}

/// A short burst of polls, which costs nothing but itself: for what comes within a microsecond.
#[inline]
pub(crate) fn burst<T>(counters: &WaitCounters, mut glance: impl FnMut() -> Option<T>) -> Option<T> {
    for polls in 1..=BURST_POLLS {
        std::hint::spin_loop();
        if let Some(value) = glance() {
            add(&counters.wait_ns, u64::from(polls * poll_ns()));
            return Some(value);
        }
    }
    None
}

/// Waits until `poll` yields a value.
///
/// `glance` looks only for what is waited for, as fast as can be: it is what polls. `poll` looks for all that can end
/// the wait, before each sleep and each look at the clock. `check_peers` runs when the last time, in `peers_checked_ns`, is
/// 20 ms ago, be it in an earlier wait, and may make system calls. Each ends the wait by returning something. `deadline_ns`
/// is on [`now_ns`]'s clock.
///
/// Call [`burst`] first: this begins with a look at the clock.
#[cold]
#[allow(clippy::too_many_arguments)] // Where, how, how long, and what for.
pub(crate) fn wait<T>(
    event: &EventCount,
    counters: &WaitCounters,
    strategy: &AtomicU64,
    deadline_ns: Option<u64>,
    peers_checked_ns: &mut u64,
    mut glance: impl FnMut() -> Option<T>,
    mut poll: impl FnMut() -> Option<T>,
    mut check_peers: impl FnMut() -> Option<T>,
) -> Result<T, DeadlinePassed> {
    owed::settle();
    let began_ns = now_ns();
    let ongoing = Ongoing::begin(counters, began_ns);
    let mut rounds: u32 = 0;
    loop {
        if let Some(value) = poll() {
            return Ok(value);
        }
        let now = now_ns();
        if deadline_ns.is_some_and(|deadline| now >= deadline) {
            // One last look: a descheduled waiter should find what came while it was away.
            return poll().ok_or(DeadlinePassed);
        }
        if now.saturating_sub(*peers_checked_ns) >= PEER_CHECK_NS {
            *peers_checked_ns = now;
            if let Some(value) = check_peers() {
                return Ok(value);
            }
        }
        let spun_ns = now - began_ns;
        let word = strategy.load(Relaxed);
        let switched = || strategy.load(Relaxed) != word;
        let found = match WaitStrategy::from_word(word).on_this_machine() {
            WaitStrategy::SpinPark { budget_ns } if spun_ns >= u64::from(budget_ns) => {
                ongoing.park(event, now, deadline_ns, &mut poll, switched)
            }
            WaitStrategy::Park => ongoing.park(event, now, deadline_ns, &mut poll, switched),
            spinning @ (WaitStrategy::Spin | WaitStrategy::SpinPark { .. }) => {
                // The peer may need this very CPU. At once, since then nothing comes before it has run.
                if spinning != WaitStrategy::Spin && rounds.is_multiple_of(ROUNDS_BETWEEN_YIELDS) {
                    std::thread::yield_now();
                }
                rounds += 1;
                (0..SPIN_POLLS).find_map(|_| {
                    std::hint::spin_loop();
                    glance()
                })
            }
            WaitStrategy::SpinYield => {
                std::thread::yield_now();
                glance()
            }
        };
        if let Some(value) = found {
            return Ok(value);
        }
    }
}

impl WaitCounters {
    /// Books the beginning of a wait.
    pub(crate) fn begin(&self, began_ns: u64) {
        add(&self.waits, 1);
        self.waiting_since_ns.store(began_ns, Relaxed);
    }

    /// Books a sleep.
    pub(crate) fn park(&self) {
        add(&self.parks, 1);
    }

    /// Books the end of a wait.
    pub(crate) fn end(&self, began_ns: u64) {
        let waited_ns = now_ns() - began_ns;
        self.waiting_since_ns.store(0, Relaxed);
        add(&self.wait_ns, waited_ns);
        add(&self.histogram[wait_bucket(waited_ns)], 1);
    }
}

/// A wait in progress; books its time when it ends, in whatever way.
struct Ongoing<'a> {
    counters: &'a WaitCounters,
    began_ns: u64,
}

impl<'a> Ongoing<'a> {
    fn begin(counters: &'a WaitCounters, began_ns: u64) -> Self {
        counters.begin(began_ns);
        Self { counters, began_ns }
    }

    fn park<T>(
        &self,
        event: &EventCount,
        now_ns: u64,
        deadline_ns: Option<u64>,
        poll: &mut impl FnMut() -> Option<T>,
        switched: impl Fn() -> bool,
    ) -> Option<T> {
        let limit = deadline_ns.map_or(u64::MAX, |deadline| deadline - now_ns);
        self.counters.park();
        // A switch between the caller's look at the strategy and the sleep has rung already: it is a reason not to sleep.
        let ready = || poll().map(Some).or_else(|| switched().then_some(None));
        event.park(Duration::from_nanos(limit), ready).unwrap_or_else(poll)
    }
}

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        self.counters.end(self.began_ns);
    }
}

/// Adds to a counter that only this endpoint writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

/// Nanoseconds one poll of a burst takes, measured once a process.
fn poll_ns() -> u32 {
    static POLL_NS: OnceLock<u32> = OnceLock::new();
    *POLL_NS.get_or_init(|| {
        const ROUNDS: u32 = 256;
        let word = AtomicU64::new(0);
        let began = now_ns();
        for _ in 0..ROUNDS {
            std::hint::black_box(word.load(Relaxed));
            std::hint::spin_loop();
        }
        ((now_ns() - began) / u64::from(ROUNDS)).clamp(1, 1000) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_survives_its_word() {
        for strategy in [
            WaitStrategy::Spin,
            WaitStrategy::SpinYield,
            WaitStrategy::SpinPark { budget_ns: 0 },
            WaitStrategy::SpinPark { budget_ns: u32::MAX },
            WaitStrategy::Park,
        ] {
            assert_eq!(WaitStrategy::from_word(strategy.to_word()), strategy);
        }
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(["0", "0-1\n", "0-3,8", "0,2,4-7"].map(count_cpus), [Some(1), Some(2), Some(5), Some(6)]);
        assert_eq!(["", "x", "3-1"].map(count_cpus), [None; 3]);
    }

    #[test]
    fn fresh_memory_and_unknown_words_mean_the_default() {
        for word in [0, 5, 0xff, u64::MAX] {
            assert_eq!(WaitStrategy::from_word(word), WaitStrategy::DEFAULT);
        }
    }
}
