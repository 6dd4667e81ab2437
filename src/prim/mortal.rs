//! An atomic word whose writer can be killed just before any of its stores.
//!
//! What a process that is killed leaves behind is a prefix of its stores. A test that runs a piece of code once for
//! each of its stores, and lets it die there, has seen every such prefix.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{self, Ordering};

thread_local! {
    /// Stores this thread has left to live, if its death is set.
    static STORES_LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What a death unwinds with.
struct Killed;

/// Sets this thread's death before the store after the next `stores`.
pub(crate) fn die_after(stores: u64) {
    STORES_LEFT.set(Some(stores));
}

/// Whether the death that was set is still to come; it is off afterwards.
pub(crate) fn survived() -> bool {
    STORES_LEFT.take().is_some()
}

/// Runs `life`; `None` if the death that was set came in it.
pub(crate) fn live<T>(life: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(life)) {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<Killed>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

fn before_store() {
    match STORES_LEFT.get() {
        None => {}
        Some(0) => {
            STORES_LEFT.set(None);
            resume_unwind(Box::new(Killed));
        }
        Some(left) => STORES_LEFT.set(Some(left - 1)),
    }
}

/// As `std::sync::atomic::AtomicU64`.
#[repr(transparent)]
#[derive(Debug, Default)]
pub(crate) struct AtomicU64(atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) const fn new(value: u64) -> Self {
        Self(atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        before_store();
        self.0.store(value, order);
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        before_store();
        self.0.swap(value, order)
    }

    pub(crate) fn compare_exchange(&self, old: u64, new: u64, done: Ordering, failed: Ordering) -> Result<u64, u64> {
        before_store();
        self.0.compare_exchange(old, new, done, failed)
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        before_store();
        self.0.fetch_add(value, order)
    }

    pub(crate) fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
        before_store();
        self.0.fetch_and(value, order)
    }

    pub(crate) fn fetch_update(
        &self,
        done: Ordering,
        failed: Ordering,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        before_store();
        self.0.fetch_update(done, failed, change)
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        before_store();
        self.0.fetch_sub(value, order)
    }
}
