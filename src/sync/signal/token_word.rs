//! How many tokens there are, and who took the last.

use crate::prim::AtomicU64;
use crate::prim::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Most tokens that one word counts, as `SEM_VALUE_MAX` of `sem_overview(7)`.
pub(crate) const TOKENS_MAX: u32 = i32::MAX as u32;

/// There are as many tokens as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPlace;

/// Low half: tokens. Upper half: the seat of who took the only one there is; 0 if nobody did, or there are more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenWord<'a>(pub(crate) &'a AtomicU64);

impl TokenWord<'_> {
    /// Tokens that are there, and the seat of who took the last.
    pub(crate) fn look(&self) -> (u32, u64) {
        split(self.0.load(Relaxed))
    }

    /// Takes a token, if one is there, as the participant in `seat`.
    pub(crate) fn take(&self, seat: u64) -> Option<()> {
        // Edge `token`, reading end: what whoever gave it did before is done. Edge `seated`, writing end.
        let taken = self.0.fetch_update(AcqRel, Relaxed, |word| {
            let (tokens, _) = split(word);
            Some(join(tokens.checked_sub(1)?, if tokens == 1 { seat } else { 0 }))
        });
        taken.ok().map(|_| ())
    }

    /// Adds a token, unless there are `max` already. Anybody may, not only who took one.
    pub(crate) fn give(&self, max: u32) -> Result<(), NoPlace> {
        // Edge `token`, writing end.
        let given = self.0.fetch_update(Release, Relaxed, |word| {
            let (tokens, _) = split(word);
            (tokens < max).then(|| join(tokens + 1, 0))
        });
        given.map(|_| ()).map_err(|_| NoPlace)
    }

    /// Adds the token that the participant in `seat` took, who is dead, unless somebody has. At most one caller does.
    pub(crate) fn give_for(&self, seat: u64) -> bool {
        // Edge `token`, both ends: the heir sees what was done before the dead one took it.
        self.0.compare_exchange(join(0, seat), join(1, 0), AcqRel, Acquire).is_ok()
    }
}

fn split(word: u64) -> (u32, u64) {
    (word as u32, word >> 32)
}

fn join(tokens: u32, seat: u64) -> u64 {
    u64::from(tokens) | seat << 32
}
