//! What stands in the receiver's place: whether it takes messages, and who it is. Step V4 of `PROTOCOL.md`.

use crate::shm::participants::{ROLE_SHIFT, Role};

/// Bits of a participant word that hold the role; a receiver's are all set.
const ROLE: u64 = (Role::Receiver as u64) << ROLE_SHIFT;
const _: () =
    assert!(ROLE.leading_ones() == u64::BITS - ROLE_SHIFT, "a receiver without its role has none of the bits");

/// V4: what a receiver leaves in its place while it refuses messages and drains what is there: its word without a role.
pub(crate) fn closing(word: u64) -> u64 {
    word & !ROLE
}

/// The participant word of the receiver whose place holds `word`, which is neither 0 nor that of one that has gone.
pub(crate) fn receiver_of(word: u64) -> u64 {
    word | ROLE
}

/// Whether the receiver whose place holds `word` takes no more messages. Nobody there yet refuses nothing.
#[inline]
pub(crate) fn refuses(word: u64) -> bool {
    // All ones: gone. From 1 to the largest word without a role: closing.
    word == u64::MAX || word.wrapping_sub(1) < 1 << ROLE_SHIFT
}

/// Whether a receiver takes messages there, as `word` says nearly always. False also where nobody has come yet.
#[inline]
pub(crate) fn is_open(word: u64) -> bool {
    // The role's bits, and not all ones.
    word.wrapping_add(1) >> ROLE_SHIFT == ROLE >> ROLE_SHIFT
}

/// What stands in the place of receivers that have seats, while one takes messages; `attached` is how many came so far, so
/// that the word is another whenever a seat was taken.
pub(crate) fn open(attached: u64) -> u64 {
    ROLE | attached & ((1 << (ROLE_SHIFT - 1)) - 1)
}

/// What stands there when those that are left drain.
pub(crate) const CLOSING: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_place_says_whether_it_takes_messages() {
        let open = ROLE | 7 << 40 | 3 << 32 | 4711;
        assert!(!refuses(0) && !refuses(open));
        assert!(refuses(closing(open)) && refuses(u64::MAX));
        assert!(is_open(open) && ![0, CLOSING, closing(open), u64::MAX].map(is_open).contains(&true));
        assert_eq!(receiver_of(closing(open)), open);
        assert_eq!(receiver_of(open), open);
        assert!(refuses(CLOSING));
        for attached in [0, 1, 2, 1 << 40, u64::MAX - 1] {
            let word = super::open(attached);
            assert!(!refuses(word) && is_open(word), "{attached}");
            assert_ne!(word, super::open(attached.wrapping_add(1)), "a seat taken since shows");
        }
    }
}
