//! Signals between processes: tokens, flags and conditions, in segments of their own that a descriptor leads to.
//!
//! Each is one word, or a word for each that waits, and one eventcount. Who waits polls the word as its strategy says, then
//! sleeps over the eventcount, which those that change the word ring: steps W1-W5 and K1-K5 of `../PROTOCOL.md`.

pub(crate) mod token_word;

#[cfg(not(loom))]
pub(crate) mod condition;
#[cfg(not(loom))]
pub(crate) mod flag;
#[cfg(not(loom))]
pub(crate) mod shared;
#[cfg(not(loom))]
pub(crate) mod tokens;
