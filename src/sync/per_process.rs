//! One value a process, also in a child that `fork` made.
//!
//! A child finds its parent's value as it was at that moment: locked perhaps, and about threads that it does not have.
//! So it founds its own, and leaves the parent's where it is.

use std::ptr;

use crate::prim::AtomicPtr;
use crate::prim::Ordering::{AcqRel, Acquire};

/// The value of one process.
#[derive(Debug)]
pub(crate) struct PerProcess<P: 'static, T: 'static> {
    current: AtomicPtr<Founded<P, T>>,
}

#[derive(Debug)]
struct Founded<P, T> {
    process: P,
    value: T,
}

impl<P: Copy + PartialEq + 'static, T: Sync> PerProcess<P, T> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self { current: AtomicPtr::new(ptr::null_mut()) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self { current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The value of `process`, which is the caller's, founded by the first thread of it that asks.
    pub(crate) fn get(&self, process: P, found: impl FnOnce() -> T) -> &'static T {
        // Edge `founded`, reading end.
        let current = self.current.load(Acquire);
        if let Some(value) = value_of(current, &process) {
            return value;
        }
        let own = Box::into_raw(Box::new(Founded { process, value: found() }));
        // Edge `founded`, both ends: our value is whole for who reads the pointer, and so is another's for us.
        match self.current.compare_exchange(current, own, AcqRel, Acquire) {
            // SAFETY: as in `value_of`.
            Ok(_) => unsafe { &(*own).value },
            Err(theirs) => {
                // SAFETY: the pointer came from `Box::into_raw` and was given to nobody.
                drop(unsafe { Box::from_raw(own) });
                value_of(theirs, &process).unwrap_or_else(|| unreachable!("only this process's threads share the word"))
            }
        }
    }
}

fn value_of<P: PartialEq + 'static, T: 'static>(current: *mut Founded<P, T>, process: &P) -> Option<&'static T> {
    // SAFETY: null, or a box that was leaked when the pointer was stored: it is never freed and never borrowed mutably.
    let founded: Option<&'static Founded<P, T>> = unsafe { current.as_ref() };
    founded.filter(|founded| founded.process == *process).map(|founded| &founded.value)
}
