//! Waiting across processes: fences, futex words, the eventcount, the wait strategies, and locks.
//!
//! The protocol of waiting, its race and its proof are in `PROTOCOL.md` beside this file, that of locks in `lock`.
#![allow(unsafe_code)]

pub(crate) mod eventcount;
pub(crate) mod fences;
pub(crate) mod futex;
pub(crate) mod lock;
pub(crate) mod per_process;
pub(crate) mod signal;

#[cfg(not(loom))]
pub(crate) mod clock;
#[cfg(not(loom))]
pub(crate) mod mutex;
#[cfg(not(loom))]
pub(crate) mod owed;
#[cfg(not(loom))]
pub(crate) mod reactor;
#[cfg(not(loom))]
pub(crate) mod rwlock;
#[cfg(not(loom))]
pub(crate) mod semaphore;
#[cfg(not(loom))]
pub(crate) mod support;
#[cfg(not(loom))]
pub(crate) mod wait;
