//! Where a channel's words and rings lie in a segment. No behaviour.
//!
//! ```text
//! 20 KiB   ControlWords   who receives, how to wait, how many lanes
//!  +128    WaitPoint      the receiver sleeps here
//! 24 KiB   lanes          a Lane and the WaitPoint of its sender, 1,408 bytes each
//! ...      lane areas     aligned to 64 KiB, 2^(class_max + 1) bytes a lane
//! ```

use crate::ring::layout::Lane;
use crate::shm::header::Geometry;
use crate::shm::layout::{ControlWords, Header, PARTICIPANTS_MAX, Participant, UPPER_OFFSET, abi_hash};
use crate::sync::wait::WaitPoint;

/// Offset of the channel's [`ControlWords`].
pub(crate) const CONTROL_OFFSET: usize = UPPER_OFFSET;
/// Offset of the receiver's [`WaitPoint`].
pub(crate) const RECEIVER_WAIT_OFFSET: usize = CONTROL_OFFSET + size_of::<ControlWords>();
const LANES_OFFSET: usize = CONTROL_OFFSET + 4096;
const LANE_STRIDE: usize = size_of::<Lane>() + size_of::<WaitPoint>();

/// What both sides must agree on to share a segment.
pub(crate) const ABI_HASH: u64 = abi_hash(&[
    size_of::<Header>(),
    size_of::<Participant>(),
    PARTICIPANTS_MAX,
    CONTROL_OFFSET,
    RECEIVER_WAIT_OFFSET,
    LANES_OFFSET,
    size_of::<Lane>(),
    size_of::<WaitPoint>(),
]);

const _: () = assert!(RECEIVER_WAIT_OFFSET + size_of::<WaitPoint>() <= LANES_OFFSET);
const _: () = assert!(LANE_STRIDE == 1408);

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

/// Bytes of the whole segment.
pub(crate) fn segment_bytes(geometry: Geometry) -> usize {
    area_offset(geometry, geometry.lanes_max as usize)
}
