//! The queue: who stands in line for a lock, in the order of coming. Steps N1-N6 of `PROTOCOL.md`.
//!
//! Each thread waits on the node before its own (Craig, "Building FIFO and priority-queueing spin locks from atomic
//! swap", 1993; Magnusson, Landin and Hagersten, "Queue locks on cache coherent multiprocessors", 1994), and the head of
//! the queue, which has none before it, on the lock's word. The queue only advises who may try next: who holds the lock,
//! the word alone says. So a node that is wrong, of the dead or of the hostile, costs time and nothing else.

use std::time::Duration;

use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::futex::Slept;
use crate::sync::lock::words::{LAST, LockWords, Node, PASSED, SLEPT_ON, WAITING};

/// A thread's place in the queue.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) node: usize,
    /// Who stands before, until it has left.
    pub(super) before: Option<Before>,
}

/// Who stands before a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    node: usize,
    /// The seat of its participant. Where the node is another's, it has left or was found dead.
    owner: u64,
}

/// Beside the seat, while the node's state is still that of its use before.
const TAKING: u64 = 1 << 32;

/// Changes of a node's state by others that one step follows. More than two, by who sleeps and who leaves, are no
/// protocol's.
const TRIES: u32 = 3;

impl LockWords {
    /// N1: a node for the participant in that seat, if one is free.
    pub(super) fn take_node(&self, owner: u64) -> Option<usize> {
        let first = owner as usize % self.nodes.len();
        let mut nodes = (first..self.nodes.len()).chain(0..first);
        let found = nodes.find(|&node| {
            let taken = &self.nodes[node].owner;
            // Edge `node-freed`, reading end: whoever had it is done with it. Edge `seated`, writing end.
            taken.load(Relaxed) == 0 && taken.compare_exchange(0, owner | TAKING, AcqRel, Relaxed).is_ok()
        })?;
        // Seen, by edge `enqueued`, by who comes to stand behind.
        self.nodes[found].state.store(WAITING, Relaxed);
        // Edge `node-taken`, writing end: it says `PASSED` no more.
        self.nodes[found].owner.store(owner, Release);
        Some(found)
    }

    pub(super) fn free_node(&self, node: usize) {
        // Edge `node-freed`, writing end.
        let _owner = self.nodes[node].owner.swap(0, Release);
        #[cfg(loom)]
        assert_ne!(_owner, 0, "freed twice");
    }

    /// Who stands at `node`, for who has come to stand behind it at `own`.
    pub(super) fn before(&self, node: Option<usize>, own: usize) -> Option<Before> {
        let node = node.filter(|&node| node != own)?;
        let owner = self.nodes[node].owner.load(Relaxed);
        (owner != 0).then_some(Before { node, owner })
    }

    /// Frees the node of who stood before, unless somebody else has.
    fn free_before(&self, before: Before) {
        // Edge `node-freed`, writing end.
        let _another_has = self.nodes[before.node].owner.compare_exchange(before.owner, 0, Release, Relaxed);
    }

    /// N3: whether nobody stands before that place any more.
    pub(super) fn is_head(&self, place: &mut Place) -> bool {
        let Some(before) = place.before else { return true };
        let node = &self.nodes[before.node];
        if node.owner.load(Relaxed) != before.owner {
            place.before = None;
        } else if node.state.load(Acquire) == PASSED {
            self.free_before(before);
            place.before = None;
        }
        place.before.is_none()
    }

    /// N4: leaves the queue; `was_last` where the word no longer says that anybody stands there.
    pub(super) fn leave(&self, place: Place, was_last: bool) {
        if let Some(before) = place.before
            && !self.orphan(before)
        {
            self.free_before(before);
        }
        if was_last {
            return self.free_node(place.node);
        }
        let node = &self.nodes[place.node];
        match node.state.swap(PASSED, AcqRel) {
            LAST => self.free_node(place.node),
            SLEPT_ON => node.wake(),
            _ => {}
        }
    }

    /// Says that nobody stands behind `before`; false if who stood there has left, and left the node to us.
    fn orphan(&self, before: Before) -> bool {
        let node = &self.nodes[before.node];
        let mut state = node.state.load(Relaxed);
        for _ in 0..TRIES {
            if state == PASSED {
                return false;
            }
            match node.state.compare_exchange(state, LAST, AcqRel, Acquire) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        true
    }

    /// N6, before the word: the one behind has left, and whoever comes is to stand behind this place again. False where
    /// nobody has left it so.
    pub(super) fn reopen(&self, place: &Place) -> bool {
        // The one behind has read the word that we are about to change before it said so: see `orphan`.
        self.nodes[place.node].state.compare_exchange(LAST, WAITING, Acquire, Relaxed).is_ok()
    }

    /// N6, where the word has changed meanwhile: nobody has come to stand behind this place.
    pub(super) fn close_again(&self, place: &Place) {
        self.nodes[place.node].state.store(LAST, Relaxed);
    }

    /// N5: sleeps until who stands before leaves, at most `limit`.
    pub(super) fn sleep_behind(&self, before: Before, limit: Duration) -> Slept {
        let node = &self.nodes[before.node];
        let mut state = node.state.load(Relaxed);
        for _ in 0..TRIES {
            if state == PASSED {
                return Slept::Not;
            }
            if state == SLEPT_ON {
                return node.sleep(limit);
            }
            match node.state.compare_exchange(state, SLEPT_ON, Relaxed, Relaxed) {
                Ok(_) => state = SLEPT_ON,
                Err(now) => state = now,
            }
        }
        Slept::Not
    }

    /// Nodes that are not free.
    #[cfg(loom)]
    pub(crate) fn nodes_taken(&self) -> usize {
        self.nodes.iter().filter(|node| node.owner.load(Relaxed) != 0).count()
    }

    /// Frees the nodes of those that `is_dead`, and those that who was to free them has not: it may be dead. For the
    /// participant in the seat `own`, which has them meanwhile.
    pub(crate) fn free_nodes_of(&self, own: u64, mut is_dead: impl FnMut(u64) -> bool) {
        for (number, node) in self.nodes.iter().enumerate() {
            // Edge `node-taken`, reading end.
            let owner = node.owner.load(Acquire);
            let has_passed = owner & TAKING == 0 && node.state.load(Acquire) == PASSED;
            let is_over = owner != 0 && (has_passed || is_dead(owner & !TAKING));
            // Edge `node-freed`, both ends: from who had it, to who takes it after us.
            if is_over && node.owner.compare_exchange(owner, own, AcqRel, Relaxed).is_ok() {
                if node.state.swap(PASSED, AcqRel) == SLEPT_ON {
                    node.wake();
                }
                self.forget_tail(number);
                // Who has come to stand behind it meanwhile may have freed it.
                self.free_before(Before { node: number, owner: own });
            }
        }
    }
}

#[cfg(not(loom))]
impl Node {
    fn sleep(&self, limit: Duration) -> Slept {
        crate::sync::futex::wait(&self.state, SLEPT_ON, super::raw::WHOEVER, limit)
    }

    fn wake(&self) {
        crate::sync::futex::wake(&self.state, super::raw::WHOEVER, i32::MAX as u32);
    }
}

#[cfg(loom)]
impl Node {
    fn sleep(&self, limit: Duration) -> Slept {
        self.kernel.wait(|| self.state.load(Relaxed) == SLEPT_ON, limit)
    }

    fn wake(&self) {
        self.kernel.wake();
    }
}
