//! Where a channel's words and rings lie in a segment. No behaviour.
//!
//! ```text
//! 20 KiB   ControlWords   who receives, how to wait, how many lanes
//!  +512    WaitPoint      one a seat: the first receiver's, on which all sleep, and what the others' waits cost
//!   +9 KiB SlabWords      who has which block
//! 36 KiB   lanes          a Lane and the WaitPoint of its sender, 3,584 bytes each
//! ...      lane areas     aligned to 64 KiB, 2^(class_max + 1) bytes a lane
//! ...      blocks         aligned to 64 KiB, for payloads that are too long for a ring
//! ```

use crate::channel::slab::{self, BLOCKS_MAX, SlabWords};
use crate::ring::layout::Lane;
use crate::shm::header::Geometry;
use crate::shm::layout::{ControlWords, Header, PARTICIPANTS_MAX, Participant, SEATS, UPPER_OFFSET, abi_hash};
use crate::sync::wait::WaitPoint;

/// Offset of the channel's [`ControlWords`].
pub(crate) const CONTROL_OFFSET: usize = UPPER_OFFSET;
const RECEIVER_WAITS_OFFSET: usize = CONTROL_OFFSET + 512;
/// Offset of the [`SlabWords`].
pub(crate) const SLAB_OFFSET: usize = CONTROL_OFFSET + 9 * 1024;
const LANES_OFFSET: usize = CONTROL_OFFSET + 4 * 4096;
const LANE_STRIDE: usize = size_of::<Lane>() + size_of::<WaitPoint>();

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
    size_of::<Lane>(),
    size_of::<WaitPoint>(),
]);

const _: () = assert!(size_of::<ControlWords>() <= RECEIVER_WAITS_OFFSET - CONTROL_OFFSET);
const _: () = assert!(RECEIVER_WAITS_OFFSET + SEATS * size_of::<WaitPoint>() <= SLAB_OFFSET);
const _: () = assert!(SLAB_OFFSET + size_of::<SlabWords>() <= LANES_OFFSET);
const _: () = assert!(LANE_STRIDE == 3584);

/// Offset of the [`WaitPoint`] of the receiver in `seat`, or of the only one in seat 0.
pub(crate) fn receiver_wait_offset(seat: usize) -> usize {
    RECEIVER_WAITS_OFFSET + seat * size_of::<WaitPoint>()
}

/// Offset of the [`Lane`] of `lane`.
pub(crate) fn lane_offset(lane: usize) -> usize {
    LANES_OFFSET + lane * LANE_STRIDE
}

/// Offset of the [`WaitPoint`] of the sender of `lane`.
pub(crate) fn sender_wait_offset(lane: usize) -> usize {
    lane_offset(lane) + size_of::<Lane>()
}

/// Bytes of one lane's area.
pub(crate) fn area_bytes(geometry: Geometry) -> usize {
    2 << geometry.class_max
}

/// Offset of the area of `lane`.
pub(crate) fn area_offset(geometry: Geometry, lane: usize) -> usize {
    let words = lane_offset(geometry.lanes_max as usize).next_multiple_of(1 << 16);
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
