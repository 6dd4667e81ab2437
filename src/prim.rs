//! The primitives that the concurrent layers are written against.
//!
//! A normal build takes them from `std` and the kernel; a build with `--cfg loom` takes them from
//! [loom](https://docs.rs/loom), which runs a test through every interleaving and every stale read that the C11
//! memory model allows. `ring` and `sync` name nothing else, so the code that is checked is the code that ships. Unit
//! tests take [`mortal::AtomicU64`], whose writer can be made to die at any store.

#[path = "prim/failpoint.rs"]
#[cfg_attr(not(failpoints), allow(dead_code))]
pub(crate) mod failpoint;

pub(crate) use failpoint::step;

#[cfg(all(test, not(loom)))]
#[path = "prim/mortal.rs"]
pub(crate) mod mortal;

#[cfg(all(test, not(loom)))]
pub(crate) use mortal::AtomicU64;
#[cfg(all(not(test), not(loom)))]
pub(crate) use std::sync::atomic::AtomicU64;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
