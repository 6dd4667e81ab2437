//! The word of a lock. What its bits mean, and no behaviour.
//!
//! | bits | name | 0 | else | set by | cleared by |
//! |---|---|---|---|---|---|
//! | 0-29 | owner | free | seat of the participant that holds the lock | who takes it | its owner; who proves its death, with the bits of its own |
//! | 30 | [`SLEEPERS`] | nobody needs a wake | somebody may sleep who is not the head of the queue | who goes to sleep; who was woken, for those left | who wakes one |
//! | 31 | [`HEAD_SLEEPS`] | it does not | the head of the queue may sleep | the head | who wakes it |
//! | 32 | [`DIED`] | the data are whole | an owner died and nobody has said since that they are | who proves the death | the owner |
//! | 33 | [`WOKEN`] | none is | a sleeper was woken, and has neither the lock nor gone back to sleep: no other need be | who wakes it | the woken; any whose sleep has timed out |
//! | 34 | [`UNTOUCHED`] | its owner may change the data | it does not: it waits for readers, or is about to read | who takes it; who proves the death, with its own | the owner, before it changes them or as it gives the lock back |
//! | 40-47 | tail | no queue | the node of who came last to the queue, and 1 | who comes to it | who takes the lock or gives up, and came last |
//!
//! The lower half is the futex word of all sleepers but those in the queue behind its head.

/// Who holds the lock.
pub(crate) const OWNER: u64 = (1 << 30) - 1;
/// Somebody may sleep.
pub(crate) const SLEEPERS: u64 = 1 << 30;
/// The head of the queue may sleep.
pub(crate) const HEAD_SLEEPS: u64 = 1 << 31;
/// An owner died with the lock in hand.
pub(crate) const DIED: u64 = 1 << 32;
/// A sleeper is on its way.
pub(crate) const WOKEN: u64 = 1 << 33;
/// Beside the owner: it does not change the data.
pub(crate) const UNTOUCHED: u64 = 1 << 34;
/// Who came last to the queue.
pub(crate) const TAIL: u64 = 0xff << TAIL_SHIFT;
const TAIL_SHIFT: u32 = 40;

/// The node at the queue's end, if there is a queue and the word can be believed.
pub(crate) fn tail(word: u64, nodes: usize) -> Option<usize> {
    let tail = ((word & TAIL) >> TAIL_SHIFT) as usize;
    tail.checked_sub(1).filter(|&node| node < nodes)
}

/// `word` with `node` at the queue's end.
pub(crate) fn with_tail(word: u64, node: usize) -> u64 {
    word & !TAIL | (node as u64 + 1) << TAIL_SHIFT
}

/// What a sleeper on the lower half compares.
pub(crate) fn lower_half(word: u64) -> u32 {
    word as u32
}
