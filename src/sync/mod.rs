//! Waiting across processes: fences, futex words, the eventcount and the wait strategies.
//!
//! The protocol, its race and its proof are in `PROTOCOL.md` beside this file.
#![allow(unsafe_code)]

pub(crate) mod eventcount;
pub(crate) mod fences;
pub(crate) mod per_process;

#[cfg(not(loom))]
pub(crate) mod clock;
#[cfg(not(loom))]
pub(crate) mod reactor;
#[cfg(not(loom))]
pub(crate) mod wait;
