//! The queue: who stands in line for a lock, in the order of coming. Steps N1-N5 of `PROTOCOL.md`.
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
    /// The node before, until who stood there has left.
    pub(super) before: Option<usize>,
}

impl LockWords {
    /// N1: a node for the participant in that seat, if one is free.
    pub(super) fn take_node(&self, owner: u64) -> Option<usize> {
        let first = owner as usize % self.nodes.len();
        let mut nodes = (first..self.nodes.len()).chain(0..first);
        let found = nodes.find(|&node| {
            let taken = &self.nodes[node].owner;
            // Edge `node-freed`, reading end: whoever had it is done with it.
            taken.load(Relaxed) == 0 && taken.compare_exchange(0, owner, Acquire, Relaxed).is_ok()
        })?;
        // Seen, by edge `enqueued`, by who comes to stand behind.
        self.nodes[found].state.store(WAITING, Relaxed);
        Some(found)
    }

    pub(super) fn free_node(&self, node: usize) {
        // Edge `node-freed`, writing end.
        self.nodes[node].owner.store(0, Release);
    }

    /// N3: whether nobody stands before that place any more.
    pub(super) fn is_head(&self, place: &mut Place) -> bool {
        if let Some(before) = place.before
            && self.nodes[before].state.load(Acquire) == PASSED
        {
            self.free_node(before);
            place.before = None;
        }
        place.before.is_none()
    }

    /// N4: leaves the queue; `was_last` where the word no longer says that anybody stands there.
    pub(super) fn leave(&self, place: Place, was_last: bool) {
        if let Some(before) = place.before
            && !self.orphan(&self.nodes[before])
        {
            self.free_node(before);
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

    /// Says that nobody stands behind `node`; false if who stood there has left, and left the node to us.
    fn orphan(&self, node: &Node) -> bool {
        let mut state = node.state.load(Relaxed);
        // It changes twice at most: somebody sleeps, and somebody leaves.
        for _ in 0..3 {
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

    /// N5: sleeps until who stands at `before` leaves, at most `limit`.
    pub(super) fn sleep_behind(&self, before: usize, limit: Duration) -> Slept {
        let node = &self.nodes[before];
        match node.state.compare_exchange(WAITING, SLEPT_ON, Relaxed, Relaxed) {
            Ok(_) | Err(SLEPT_ON) => node.sleep(limit),
            Err(_) => Slept::Not,
        }
    }

    /// Nodes that are not free.
    #[cfg(loom)]
    pub(crate) fn nodes_taken(&self) -> usize {
        self.nodes.iter().filter(|node| node.owner.load(Relaxed) != 0).count()
    }

    /// Frees the nodes of participants that are dead.
    #[cfg(not(loom))]
    pub(super) fn free_nodes_of(&self, mut is_dead: impl FnMut(u64) -> bool) {
        for node in &self.nodes {
            let owner = node.owner.load(Relaxed);
            if owner != 0 && is_dead(owner) {
                // Somebody may stand behind it, and find it free or taken again: it goes on when its patience ends.
                let _another_has_freed_it = node.owner.compare_exchange(owner, 0, AcqRel, Relaxed);
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
    fn sleep(&self, _limit: Duration) -> Slept {
        if self.kernel.wait(|| self.state.load(Relaxed) == SLEPT_ON) { Slept::Woken } else { Slept::Not }
    }

    fn wake(&self) {
        self.kernel.wake();
    }
}
