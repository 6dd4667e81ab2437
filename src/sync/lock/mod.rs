//! Locks in shared memory, for what must be exclusive between processes.
//!
//! One word says who holds a lock; a queue beside it says who may try next, where that matters. How a thread waits is
//! apart from both, so that ways of waiting mix and change while threads wait. The protocol is in `PROTOCOL.md`.

pub(crate) mod queue;
pub(crate) mod raw;
pub(crate) mod readers;
pub(crate) mod word;
pub(crate) mod words;

#[cfg(not(loom))]
pub(crate) mod draining;
#[cfg(not(loom))]
pub(crate) mod error;
#[cfg(not(loom))]
pub(crate) mod guarded;
#[cfg(not(loom))]
pub(crate) mod strategy;
#[cfg(not(loom))]
pub(crate) mod wait;
