//! Where a lock's words lie. No behaviour.
//!
//! ```text
//! +0    word       who holds the lock, and who waits how: see `word`     read and written by all
//! +8    strategy   how to wait                                           written by who tunes the lock
//! +16   died       pid of who died with the lock in hand, last           written by the owner
//! +24   ...        what waits have cost                                  written by the owner
//! +128  nodes      64 bytes each: a place in the queue                   written by its owner and the next in line
//! ```

use crate::prim::{AtomicU32, AtomicU64};

/// Places in the queue. Who finds none waits beside it until there is one.
#[cfg(not(loom))]
pub(crate) const NODES: usize = 64;
/// In the model each is a branch of every search.
#[cfg(loom)]
pub(crate) const NODES: usize = 3;

/// A lock in shared memory.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct LockWords {
    /// See [`super::word`].
    pub(super) word: AtomicU64,
    /// How to wait ([`super::strategy::LockStrategy`]).
    pub(crate) strategy: AtomicU64,
    /// Process that died with the lock in hand, last; 0: none. Written by the owner.
    pub(crate) died: AtomicU64,
    /// Times that the lock was had only after a wait. Written by the owner.
    pub(crate) waits: AtomicU64,
    /// Nanoseconds of these waits. Written by the owner.
    pub(crate) wait_ns: AtomicU64,
    /// Sleeps in these waits. Written by the owner.
    pub(crate) parks: AtomicU64,
    /// Where the kernel's part is played by the model.
    #[cfg(loom)]
    pub(super) kernel: [crate::sync::futex::FutexQueue; 2],
    #[cfg(not(loom))]
    _pad: [AtomicU64; 10],
    pub(super) nodes: [Node; NODES],
}

/// A place in the queue.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Node {
    /// 0 free, else the seat of the participant whose thread stands here.
    pub(super) owner: AtomicU64,
    /// One of the constants below; also the futex word of who stands behind.
    pub(super) state: AtomicU32,
    #[cfg(loom)]
    pub(super) kernel: crate::sync::futex::FutexQueue,
}

/// [`Node::state`]: who stands here waits. Set by it.
pub(super) const WAITING: u32 = 0;
/// As [`WAITING`], and who stands behind sleeps over it. Set by that one.
pub(super) const SLEPT_ON: u32 = 1;
/// Who stood here has left, and who stands behind is to free the node. Set by who stood here.
pub(super) const PASSED: u32 = 2;
/// Who stood behind has left, and who stands here is to free the node. Set by who stood behind.
pub(super) const LAST: u32 = 3;

#[cfg(not(loom))]
mod layout {
    use super::{LockWords, NODES, Node};
    use crate::shm::window::SharedLayout;

    // SAFETY: atomics only, `repr(C)`.
    unsafe impl SharedLayout for LockWords {}

    const _: () = assert!(size_of::<Node>() == 64 && size_of::<LockWords>() == 128 + NODES * 64);
}

#[cfg(loom)]
impl Default for LockWords {
    fn default() -> Self {
        let word = || AtomicU64::new(0);
        let node = || Node { owner: word(), state: AtomicU32::new(0), kernel: Default::default() };
        Self {
            word: word(),
            strategy: word(),
            died: word(),
            waits: word(),
            wait_ns: word(),
            parks: word(),
            kernel: Default::default(),
            nodes: std::array::from_fn(|_| node()),
        }
    }
}
