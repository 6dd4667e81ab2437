//! Writing and checking a segment's header.

use std::sync::Arc;

use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::shm::error::ShmError;
use crate::shm::layout::{Header, Kind, MAGIC, VERSION};
use crate::shm::segment::Segment;
use crate::shm::window::Shared;

/// The sizes a channel is made with. Checked; fixed for the channel's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Lanes there is room for, 1 to 64.
    pub(crate) lanes_max: u32,
    /// Smallest ring, log2 bytes, 12 to 30.
    pub(crate) class_min: u32,
    /// Largest ring, log2 bytes, `class_min` to 30.
    pub(crate) class_max: u32,
    /// Longest payload, bytes. One that goes through a ring fits twice into the smallest.
    pub(crate) message_bytes_max: u32,
    /// How receivers share the messages: 0 to 2, see [`Header::receivers`].
    pub(crate) receivers: u32,
    /// Blocks for long payloads, 1 to 256.
    pub(crate) blocks: u32,
    /// What a sender does that finds no room: 0 or 1, see [`Header::when_full`].
    pub(crate) when_full: u32,
    /// In which order several senders' messages are received: 0 or 1, see [`Header::order`].
    pub(crate) order: u32,
}

/// Lanes a channel may have.
pub(crate) const LANES_MAX: u32 = 64;
/// Rings are at least a page.
pub(crate) const CLASS_FLOOR: u32 = 12;
/// Rings are at most 1 GiB.
pub(crate) const CLASS_CEILING: u32 = 30;

/// Longer payloads go through blocks.
pub(crate) const RING_PAYLOAD_MAX: u32 = 16 << 10;
/// The longest payload, 1 GiB.
pub(crate) const MESSAGE_BYTES_CEILING: u32 = 1 << 30;
/// Blocks a channel may have.
pub(crate) const BLOCKS_CEILING: u32 = 256;

impl Geometry {
    /// The class of the smallest ring that can carry a payload of `bytes` wherever its frame starts: twice its frame, less
    /// two words.
    pub(crate) fn class_for(bytes: u32) -> u32 {
        ((u64::from(bytes) + 16) * 2).next_power_of_two().trailing_zeros()
    }

    fn check(self) -> Result<Self, ShmError> {
        let bound = |what, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ShmError::Corrupt { what, value: u64::from(value), limit: u64::from(high) })
            }
        };
        bound("lanes_max", self.lanes_max, 1, LANES_MAX)?;
        bound("class_max", self.class_max, CLASS_FLOOR, CLASS_CEILING)?;
        bound("class_min", self.class_min, CLASS_FLOOR, self.class_max)?;
        bound("message_bytes_max", self.message_bytes_max, 1, MESSAGE_BYTES_CEILING)?;
        let in_ring = self.message_bytes_max.min(RING_PAYLOAD_MAX);
        bound("class_min", self.class_min, Self::class_for(in_ring), self.class_max)?;
        bound("when_full", self.when_full, 0, 1)?;
        bound("order", self.order, 0, 1)?;
        bound("blocks", self.blocks, 1, BLOCKS_CEILING)?;
        bound("receivers", self.receivers, 0, 2)?;
        Ok(self)
    }
}

/// Writes the header of a new channel's segment. The segment becomes valid with the last store.
pub(crate) fn write(segment: &Arc<Segment>, geometry: Geometry, abi_hash: u64) -> Result<u64, ShmError> {
    let header = view(segment)?;
    header.lanes_max.store(geometry.lanes_max, Relaxed);
    header.class_min.store(geometry.class_min, Relaxed);
    header.class_max.store(geometry.class_max, Relaxed);
    header.message_bytes_max.store(geometry.message_bytes_max, Relaxed);
    header.when_full.store(geometry.when_full, Relaxed);
    header.order.store(geometry.order, Relaxed);
    header.blocks.store(geometry.blocks, Relaxed);
    header.receivers.store(geometry.receivers, Relaxed);
    write_common(segment, Kind::Channel, 0, abi_hash)
}

/// As [`write`], of a segment that is no channel; its size is what [`Header::size`] says.
pub(crate) fn write_common(segment: &Arc<Segment>, kind: Kind, size: u32, abi_hash: u64) -> Result<u64, ShmError> {
    let header = view(segment)?;
    let mut id = [0u8; 8];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| ShmError::os("getrandom", e))?;
    let id = u64::from_le_bytes(id);
    header.abi_hash.store(abi_hash, Relaxed);
    header.version.store(VERSION, Relaxed);
    header.page_bytes.store(rustix::param::page_size() as u32, Relaxed);
    header.segment_bytes.store(segment.len() as u64, Relaxed);
    header.segment_id.store(id, Relaxed);
    header.kind.store(kind as u32, Relaxed);
    header.size.store(size, Relaxed);
    // Edge `header-written`: to the Acquire load of the magic in `check_common`. No model: written once, before the
    // segment has a name; the edge only matters to a peer that guesses the descriptor.
    header.magic.store(MAGIC, Release);
    Ok(id)
}

/// Checks the header of a channel that was attached and returns its geometry and id.
pub(crate) fn check(segment: &Arc<Segment>, name: &str, abi_hash: u64) -> Result<(Geometry, u64), ShmError> {
    check_common(segment, name, Kind::Channel, abi_hash)?;
    let header = view(segment)?;
    let geometry = Geometry {
        lanes_max: header.lanes_max.load(Relaxed),
        class_min: header.class_min.load(Relaxed),
        class_max: header.class_max.load(Relaxed),
        message_bytes_max: header.message_bytes_max.load(Relaxed),
        receivers: header.receivers.load(Relaxed),
        blocks: header.blocks.load(Relaxed),
        when_full: header.when_full.load(Relaxed),
        order: header.order.load(Relaxed),
    }
    .check()?;
    Ok((geometry, header.segment_id.load(Relaxed)))
}

/// Checks what all headers have in common; returns [`Header::size`].
pub(crate) fn check_common(segment: &Arc<Segment>, name: &str, kind: Kind, abi_hash: u64) -> Result<u32, ShmError> {
    let header = view(segment)?;
    let same = |field, found: u64, expected: u64| {
        if found == expected { Ok(()) } else { Err(ShmError::Foreign { field, found, expected }) }
    };
    // Edge `header-written`, reading end.
    same("magic", header.magic.load(Acquire), MAGIC)?;
    same("version", u64::from(header.version.load(Relaxed)), u64::from(VERSION))?;
    let found = header.kind.load(Relaxed);
    if let Some(found) = Kind::from_word(found).filter(|&found| found != kind) {
        return Err(ShmError::WrongKind { name: name.into(), found: found.name(), expected: kind.name() });
    }
    same("kind", found.into(), kind as u64)?;
    same("ABI hash", header.abi_hash.load(Relaxed), abi_hash)?;
    same("page size", u64::from(header.page_bytes.load(Relaxed)), rustix::param::page_size() as u64)?;
    same("segment length", header.segment_bytes.load(Relaxed), segment.len() as u64)?;
    Ok(header.size.load(Relaxed))
}

fn view(segment: &Arc<Segment>) -> Result<Shared<Header>, ShmError> {
    Shared::at(segment, 0).ok_or(ShmError::Corrupt {
        what: "segment length",
        value: segment.len() as u64,
        limit: u64::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        lanes_max: 4,
        class_min: 12,
        class_max: 20,
        message_bytes_max: 1024,
        receivers: 1,
        blocks: 64,
        when_full: 0,
        order: 1,
    };

    fn segment() -> Arc<Segment> {
        Arc::new(Segment::create("test", 1 << 16).unwrap())
    }

    #[test]
    fn a_written_header_checks() {
        let segment = segment();
        let id = write(&segment, GEOMETRY, 7).unwrap();
        assert_eq!(check(&segment, "test", 7).unwrap(), (GEOMETRY, id));
    }

    #[test]
    fn another_abi_is_refused_with_both_hashes() {
        let segment = segment();
        write(&segment, GEOMETRY, 7).unwrap();
        let error = check(&segment, "test", 8).unwrap_err();
        assert!(matches!(error, ShmError::Foreign { field: "ABI hash", found: 7, expected: 8 }), "{error}");
    }

    #[test]
    fn no_flipped_bit_of_the_header_is_taken_for_sound_geometry() {
        let segment = segment();
        write(&segment, GEOMETRY, 7).unwrap();
        for bit in 0..size_of::<Header>() * 8 {
            let byte = bit / 8;
            // SAFETY: inside the mapping, and no other thread has it.
            let flip = || unsafe { *segment.base().add(byte) ^= 1 << (bit % 8) };
            flip();
            if let Ok((geometry, _)) = check(&segment, "test", 7) {
                assert!(geometry.check().is_ok(), "bit {bit}");
            }
            flip();
        }
        assert!(check(&segment, "test", 7).is_ok());
    }
}
