//! Where a channel's words and rings lie in a segment. No behaviour.
//!
//! ```text
//! 20 KiB   ControlWords   who receives, how to wait, how many lanes
//!  +512    WaitPoint      one a seat: the first receiver's, on which all sleep, and what the others' waits cost
//!   +9 KiB SlabWords      who has which block
//! 36 KiB   lanes          LaneWords, 896 bytes each
//! ...      lane waits     the WaitPoint of each lane's sender, from a page's beginning
//! ...      sides          the consumers' words of each lane
//! ...      lane areas     aligned to 64 KiB, 2^(class_max + 1) bytes a lane
//! ...      blocks         aligned to 64 KiB, for payloads that are too long for a ring
//! ```

use std::ops::Range;

use crate::channel::slab::{self, BLOCKS_MAX, SlabWords};
use crate::ring::layout::{LaneWords, Sides};
use crate::shm::header::Geometry;
use crate::shm::layout::{ControlWords, Header, PARTICIPANTS_MAX, Participant, SEATS, UPPER_OFFSET, abi_hash};
use crate::sync::wait::WaitPoint;

/// Offset of the channel's [`ControlWords`].
pub(crate) const CONTROL_OFFSET: usize = UPPER_OFFSET;
const RECEIVER_WAITS_OFFSET: usize = CONTROL_OFFSET + 512;
/// Offset of the [`SlabWords`].
pub(crate) const SLAB_OFFSET: usize = CONTROL_OFFSET + 9 * 1024;
const LANES_OFFSET: usize = CONTROL_OFFSET + 4 * 4096;
/// No part of a segment that only senders write shares a page with one that receivers write, also where pages are larger than
/// 4 KiB.
const PART_ALIGN: usize = 1 << 14;

/// What both sides must agree on to share a segment.
pub(crate) const ABI_HASH: u64 = abi_hash(&[
    size_of::<Header>(),
    size_of::<Participant>(),
    PARTICIPANTS_MAX,
    CONTROL_OFFSET,
    RECEIVER_WAITS_OFFSET,
    SEATS,
    SLAB_OFFSET,
    BLOCKS_MAX,
    LANES_OFFSET,
    size_of::<LaneWords>(),
    size_of::<Sides>(),
    size_of::<WaitPoint>(),
]);

const _: () = assert!(size_of::<ControlWords>() <= RECEIVER_WAITS_OFFSET - CONTROL_OFFSET);
const _: () = assert!(RECEIVER_WAITS_OFFSET + SEATS * size_of::<WaitPoint>() <= SLAB_OFFSET);
const _: () = assert!(SLAB_OFFSET + size_of::<SlabWords>() <= LANES_OFFSET);
const _: () = assert!(LANES_OFFSET.is_multiple_of(4096));

/// Offset of the [`WaitPoint`] of the receiver in `seat`, or of the only one in seat 0.
pub(crate) fn receiver_wait_offset(seat: usize) -> usize {
    RECEIVER_WAITS_OFFSET + seat * size_of::<WaitPoint>()
}

/// Offset of the [`LaneWords`] of `lane`.
pub(crate) fn lane_offset(lane: usize) -> usize {
    LANES_OFFSET + lane * size_of::<LaneWords>()
}

/// Where the lanes' words end.
fn lanes_end(geometry: Geometry) -> usize {
    lane_offset(geometry.lanes_max as usize).next_multiple_of(PART_ALIGN)
}

/// Offset of the [`WaitPoint`] of the sender of `lane`.
pub(crate) fn sender_wait_offset(geometry: Geometry, lane: usize) -> usize {
    lanes_end(geometry) + lane * size_of::<WaitPoint>()
}

/// Offset of the [`Sides`] of `lane`.
pub(crate) fn sides_offset(geometry: Geometry, lane: usize) -> usize {
    sender_wait_offset(geometry, geometry.lanes_max as usize) + lane * size_of::<Sides>()
}

/// What senders write, and no receiver that is the only one of its messages: the lanes' words, then the rings and blocks.
pub(crate) fn written_by_senders(geometry: Geometry) -> [Range<usize>; 2] {
    [lane_offset(0)..lanes_end(geometry), area_offset(geometry, 0)..segment_bytes(geometry)]
}

/// Bytes of one lane's area.
pub(crate) fn area_bytes(geometry: Geometry) -> usize {
    2 << geometry.class_max
}

/// Offset of the area of `lane`.
pub(crate) fn area_offset(geometry: Geometry, lane: usize) -> usize {
    let words = sides_offset(geometry, geometry.lanes_max as usize).next_multiple_of(1 << 16);
    words + lane * area_bytes(geometry)
}

/// Offset of the blocks.
pub(crate) fn blocks_offset(geometry: Geometry) -> usize {
    area_offset(geometry, geometry.lanes_max as usize)
}

/// Bytes of the whole segment.
pub(crate) fn segment_bytes(geometry: Geometry) -> usize {
    blocks_offset(geometry) + geometry.blocks as usize * slab::block_bytes(geometry)
}
