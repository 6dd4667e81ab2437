//! The loans of a lane, for who frees their blocks.

use crate::prim::Ordering::Relaxed;
use crate::ring::layout::Lane;
use crate::ring::lock::Held;
use crate::ring::taker::{Next, Walk, walk_frames};
use crate::ring::word::{FrameHeader, LOAN_LEN, WORD};
use crate::ring::{RingCorrupt, alone};
use crate::shm::window::Window;

/// The loans that are committed in a lane and not released, of which nobody reads; shows each with its block's number.
pub(crate) fn unreleased_loans(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    each: impl FnMut(u64, u64),
) -> Result<(), RingCorrupt> {
    words_behind(lane, area, classes, |header| matches!(header, FrameHeader::Loan { .. }), each)
}

/// What may be loans that are done with, and whose blocks may not have been freed yet; shows each with its first word.
pub(crate) fn perhaps_done_loans(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    _lock: &Held<'_>,
    each: impl FnMut(u64, u64),
) -> Result<(), RingCorrupt> {
    words_behind(lane, area, classes, |header| header == FrameHeader::Done { len: LOAN_LEN }, each)
}

/// Shows the position of each unreleased frame whose header is such, and the word behind that.
fn words_behind(
    lane: &Lane,
    area: &Window,
    classes: &std::ops::RangeInclusive<u8>,
    is_such: impl Fn(FrameHeader) -> bool,
    mut each: impl FnMut(u64, u64),
) -> Result<(), RingCorrupt> {
    let mut walk = Walk::from_word(alone::unreleased(lane), classes)?;
    walk_frames(&mut walk, None, area, classes, |header, _, Walk { ring, position }| {
        if is_such(header) {
            each(position, ring.word(area, position + WORD).load(Relaxed));
        }
        Next::On
    })
}
