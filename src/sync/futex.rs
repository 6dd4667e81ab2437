//! Futex words: compare and sleep in one step, on 32 bits of shared memory (`futex(2)`).

#[cfg(not(loom))]
pub(crate) use kernel::{Half, wait, wake};
#[cfg(loom)]
pub(crate) use model::FutexQueue;

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    /// By a wake meant for it.
    Woken,
    /// The word was not, or no longer, what was compared; or a signal came.
    Not,
    /// The time was over.
    TimedOut,
}

#[cfg(not(loom))]
mod kernel {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::thread::futex;

    use super::Slept;
    use crate::prim::{AtomicU32, AtomicU64};
    use crate::sync::clock::now_ns;

    /// The lower half of a 64-bit word, for the kernel alone to look at.
    pub(crate) struct Half<'a>(&'a AtomicU32);

    impl<'a> Half<'a> {
        pub(crate) fn of(word: &'a AtomicU64) -> Self {
            // SAFETY: the first four bytes of an eight-byte word that is borrowed, and aligned for it; the layout is
            // little-endian (asserted in `shm::layout`). We read and write them only as part of the word: through this
            // reference nobody does but the kernel.
            Self(unsafe { &*std::ptr::from_ref(word).cast::<AtomicU32>() })
        }

        /// Sleeps while the half is `value`, at most `limit`, as one of those that a wake of `whom` is for.
        pub(crate) fn wait(&self, value: u32, whom: NonZeroU32, limit: Duration) -> Slept {
            wait(self.0, value, whom, limit)
        }

        /// Wakes at most `count` of those that sleep as one of `whom`; how many.
        pub(crate) fn wake(&self, whom: NonZeroU32, count: u32) -> usize {
            wake(self.0, whom, count)
        }
    }

    /// Sleeps while `word` is `value`, at most `limit`, as one of those that a wake of `whom` is for. Not PRIVATE: the word
    /// is shared between processes.
    pub(crate) fn wait(word: &AtomicU32, value: u32, whom: NonZeroU32, limit: Duration) -> Slept {
        let until_ns =
            now_ns().saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)).min(i64::MAX as u64);
        let until = rustix::time::Timespec {
            tv_sec: (until_ns / 1_000_000_000) as i64,
            tv_nsec: (until_ns % 1_000_000_000) as i64,
        };
        match futex::wait_bitset(word, futex::Flags::empty(), value, Some(&until), whom) {
            Ok(_) => Slept::Woken,
            Err(Errno::TIMEDOUT) => Slept::TimedOut,
            Err(_) => Slept::Not,
        }
    }

    /// Wakes at most `count` of those that sleep on `word` as one of `whom`; how many.
    pub(crate) fn wake(word: &AtomicU32, whom: NonZeroU32, count: u32) -> usize {
        // It fails only on a bad address.
        futex::wake_bitset(word, futex::Flags::empty(), count, whom).unwrap_or(0)
    }
}

#[cfg(loom)]
mod model {
    use std::time::Duration;

    use loom::sync::{Condvar, Mutex};

    use super::Slept;

    /// The kernel's side of a futex: compare and sleep are one step. A time is over at once, if it is none, or never, so that
    /// a lost wake-up is a deadlock, which loom reports.
    #[derive(Debug)]
    pub(crate) struct FutexQueue {
        sleepers: Mutex<usize>,
        queue: Condvar,
    }

    impl Default for FutexQueue {
        fn default() -> Self {
            Self { sleepers: Mutex::new(0), queue: Condvar::new() }
        }
    }

    impl FutexQueue {
        /// Sleeps, if `unchanged` says so.
        pub(crate) fn wait(&self, unchanged: impl Fn() -> bool, limit: Duration) -> Slept {
            let mut sleepers = self.sleepers.lock().unwrap();
            if !unchanged() {
                return Slept::Not;
            }
            if limit.is_zero() {
                return Slept::TimedOut;
            }
            *sleepers += 1;
            drop(self.queue.wait(sleepers).unwrap());
            Slept::Woken
        }

        /// Wakes all sleepers; whether there was one.
        pub(crate) fn wake(&self) -> bool {
            let slept = std::mem::take(&mut *self.sleepers.lock().unwrap());
            self.queue.notify_all();
            slept > 0
        }

        /// Wakes one sleeper, if there is one.
        pub(crate) fn wake_one(&self) -> bool {
            let mut sleepers = self.sleepers.lock().unwrap();
            let wakes = *sleepers > 0;
            if wakes {
                *sleepers -= 1;
                self.queue.notify_one();
            }
            wakes
        }
    }
}
