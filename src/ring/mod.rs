//! The bounded buffer: a lane, which is a chain of rings.
//!
//! The protocol and its proof are in `PROTOCOL.md` beside this file. A ring knows no clock, no channel and no waiting:
//! what is not there now is the caller's to wait for.
#![allow(unsafe_code)]

pub(crate) mod alone;
#[cfg(all(test, not(loom)))]
mod claim_deaths;
pub(crate) mod claims;
pub(crate) mod consumer;
#[cfg(all(test, not(loom)))]
mod deaths;
pub(crate) mod followers;
#[cfg(all(test, not(loom)))]
mod hostile;
pub(crate) mod lapped;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod producer;
pub(crate) mod resize;
pub(crate) mod taker;
#[cfg(all(test, not(loom)))]
mod taker_deaths;
pub(crate) mod word;

use crate::prim::AtomicU64;
use crate::shm::window::Window;

/// A value in shared memory that the protocol never puts there, with the position it was found at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingCorrupt {
    /// Bytes from the lane's beginning.
    pub(crate) position: u64,
    /// The word found there.
    pub(crate) word: u64,
}

/// Who reads a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// One consumer.
    One,
    /// Consumers that each take some of the frames.
    Competing,
    /// Consumers that each get every frame.
    Each,
}

/// What a producer does in a full ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// It finds no room.
    Wait,
    /// It makes room at the expense of the oldest frames, where nobody reads them.
    DropOldest,
}

/// What a producer's look for room has come upon, besides room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// Somebody failed to get a lock of the lane meanwhile: all who wait for it must be woken.
    Contended,
    /// Another of the producers that share the lane failed to get its turn meanwhile: all who wait for one must be woken.
    TurnAwaited,
    /// A claim was given up: what stands behind it can be read.
    Voided,
    /// A loan was dropped: its frame's position, and its block's number as it stood there.
    DroppedLoan {
        /// Bytes from the lane's beginning.
        position: u64,
        /// Number of the block. Untrusted.
        block: u64,
    },
}

/// One ring of a lane's area, by its class.
#[derive(Debug, Clone, Copy)]
struct Ring {
    class: u8,
    mask: u64,
}

impl Ring {
    fn of(class: u8) -> Self {
        Self { class, mask: (1 << class) - 1 }
    }

    fn bytes(self) -> u64 {
        self.mask + 1
    }

    /// Offset in the lane's area of the byte at `position`.
    #[inline]
    fn offset(self, position: u64) -> usize {
        (self.mask + 1 + (position & self.mask)) as usize
    }

    #[inline]
    fn word(self, area: &Window, position: u64) -> &AtomicU64 {
        area.word(self.offset(position))
    }

    /// Bytes from `position` to where the ring wraps.
    #[inline]
    fn to_end(self, position: u64) -> u64 {
        self.bytes() - (position & self.mask)
    }
}
