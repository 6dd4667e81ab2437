//! The eventcount: sleeping until another process has done something, at one load a wake-up not needed.
//!
//! Steps W1-W5 and K1-K5 are those of `PROTOCOL.md`.

use std::time::Duration;

use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::prim::step;
use crate::prim::{AtomicU32, AtomicU64};
use crate::sync::fences;

/// A sleep is never longer, so that a wake lost with its waker's life is made up for.
#[cfg(any(not(test), loom))]
pub(crate) const PARK_NS_MAX: u64 = 50_000_000;
/// In unit tests nothing makes up for a lost wake-up.
#[cfg(all(test, not(loom)))]
pub(crate) const PARK_NS_MAX: u64 = 3_600_000_000_000;
/// The bound where this process's heavy fence does not reach wakers in other processes.
pub(crate) const PARK_NS_MAX_UNFENCED: u64 = 1_000_000;

/// Two words in shared memory (the pad keeps their line's neighbours at known offsets).
#[repr(C)]
#[derive(Debug)]
pub(crate) struct EventCount {
    /// Futex word; see the table in `PROTOCOL.md`.
    event: AtomicU32,
    /// 1 while somebody may be asleep.
    parked: AtomicU32,
    /// Wakes that reached the kernel. Written by wakers on the slow path, read by telemetry.
    wakes: AtomicU64,
    #[cfg(loom)]
    kernel: crate::sync::futex::FutexQueue,
}

/// A sleep that was announced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared {
    key: u32,
    /// Whether wakers of other processes are sure to see it.
    pub(crate) fenced: bool,
}

impl EventCount {
    /// Tells a sleeper, if there may be one, that what it waits for has happened.
    #[inline]
    pub(crate) fn notify(&self) {
        fences::light(); // K1
        // K2: Relaxed suffices, the fence orders it after the caller's write.
        if self.parked.load(Relaxed) != 0 {
            self.wake_all();
        }
    }

    /// As [`EventCount::notify`], if it is `due` to wake a sleeper now. What is not due must be made up for before the caller waits.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn notify_if(&self, due: impl FnOnce() -> bool) {
        fences::light(); // K1
        // K2: as there.
        if self.parked.load(Relaxed) != 0 && due() {
            self.wake_all();
        }
    }

    /// Wakes every sleeper, whether or not it has something to see: K3 to K5.
    #[cold]
    pub(crate) fn wake_all(&self) {
        self.parked.swap(0, AcqRel); // K3: edge `parked-flag`, reading end
        step("wake.cleared");
        self.event.fetch_add(1, Release); // K4: edge `event-bumped`, writing end
        step("wake.rung");
        self.wakes.fetch_add(1, Relaxed);
        self.futex_wake(); // K5
        step("wake.woken");
    }

    /// Sleeps until woken, at most `limit`, unless `ready` yields something first.
    pub(crate) fn park<T>(&self, limit: Duration, ready: impl FnOnce() -> Option<T>) -> Option<T> {
        let Prepared { key, fenced } = self.prepare();
        if let Some(value) = ready() {
            return Some(value); // W4
        }
        let bound = if fenced { PARK_NS_MAX } else { PARK_NS_MAX_UNFENCED };
        self.futex_wait(key, limit.min(Duration::from_nanos(bound))); // W5
        step("park.slept");
        None
    }

    /// Announces a sleep: W1 to W3.
    pub(crate) fn prepare(&self) -> Prepared {
        let key = self.event.load(Acquire); // W1: edge `event-bumped`, reading end
        self.parked.store(1, Release); // W2: edge `parked-flag`, writing end
        step("park.announced");
        let fenced = fences::heavy(); // W3
        step("park.fenced");
        Prepared { key, fenced }
    }

    /// Whether a wake came after the sleep was announced.
    #[cfg(not(loom))]
    pub(crate) fn has_rung_since(&self, sleep: Prepared) -> bool {
        self.event.load(Acquire) != sleep.key // edge `event-bumped`, reading end
    }

    /// W5 as one of several, for `futex_waitv(2)`. The words must outlive the call.
    #[cfg(not(loom))]
    pub(crate) fn futex_entry(&self, sleep: Prepared) -> rustix::thread::futex::Wait {
        futex_entry(&self.event, sleep.key)
    }

    /// Wakes counted so far.
    #[cfg(not(loom))]
    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(Relaxed)
    }

    #[cfg(not(loom))]
    fn futex_wait(&self, key: u32, limit: Duration) {
        use rustix::thread::futex;
        let limit = rustix::time::Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
        // Not PRIVATE: the word is shared between processes. Every way it can return (woken, changed, interrupted,
        // timed out) means the same to the caller: look again.
        let _look_again = futex::wait(&self.event, futex::Flags::empty(), key, Some(&limit));
    }

    #[cfg(not(loom))]
    fn futex_wake(&self) {
        use rustix::thread::futex;
        let _fails_only_on_a_bad_address = futex::wake(&self.event, futex::Flags::empty(), i32::MAX as u32);
    }

    #[cfg(loom)]
    fn futex_wait(&self, key: u32, limit: Duration) {
        self.kernel.wait(|| self.event.load(Relaxed) == key, limit);
    }

    #[cfg(loom)]
    fn futex_wake(&self) {
        self.kernel.wake();
    }
}

/// An entry for `futex_waitv(2)`: `word` is waited on while it is `value`.
#[cfg(not(loom))]
pub(crate) fn futex_entry(word: &AtomicU32, value: u32) -> rustix::thread::futex::Wait {
    use rustix::thread::futex::{Wait, WaitFlags, WaitPtr};
    let mut entry = Wait::new();
    entry.val = value.into();
    entry.uaddr = WaitPtr::new(std::ptr::from_ref(word).cast_mut().cast());
    // Not PRIVATE: the word may be shared between processes.
    entry.flags = WaitFlags::SIZE_U32;
    entry
}

#[cfg(loom)]
impl Default for EventCount {
    fn default() -> Self {
        Self {
            event: AtomicU32::new(0),
            parked: AtomicU32::new(0),
            wakes: AtomicU64::new(0),
            kernel: Default::default(),
        }
    }
}
