//! Shared memory: segments, their layout, the names they go by, and who takes part in them.
//!
//! Everything here that a peer can write is read once, checked and then used as a copy.
#![allow(unsafe_code)]

pub(crate) mod window;

#[cfg(not(loom))]
pub(crate) mod directory;
#[cfg(not(loom))]
pub(crate) mod error;
#[cfg(not(loom))]
pub(crate) mod header;
#[cfg(not(loom))]
pub(crate) mod inventory;
#[cfg(not(loom))]
pub(crate) mod layout;
#[cfg(not(loom))]
pub(crate) mod locks;
#[cfg(not(loom))]
mod name_file;
#[cfg(not(loom))]
pub(crate) mod object;
#[cfg(not(loom))]
pub(crate) mod own_process;
#[cfg(not(loom))]
pub(crate) mod participants;
#[cfg(not(loom))]
pub(crate) mod process;
#[cfg(not(loom))]
pub(crate) mod segment;

#[cfg(not(loom))]
pub use error::ShmError;
