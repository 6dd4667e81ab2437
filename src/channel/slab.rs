//! Blocks of shared memory for payloads that are too long to be copied through a ring. Steps B1 to B6 of `PROTOCOL.md`.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::shm::error::ShmError;
use crate::shm::header::{BLOCKS_CEILING, Geometry};
use crate::shm::own_process::Origin;
use crate::shm::participants::ROLE_SHIFT;
use crate::shm::segment::Segment;
use crate::shm::window::{Shared, SharedLayout, Window};

/// Blocks that a channel may have.
pub(crate) const BLOCKS_MAX: usize = BLOCKS_CEILING as usize;
/// Blocks freed last that are remembered.
const RECENT: usize = 64;

/// The least that a block has memory for, bytes.
const BACKED_MIN: usize = 1 << 16;

/// The words of a slab in shared memory.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct SlabWords {
    /// Entries of `recent` pushed and not popped, roughly.
    top: AtomicU64,
    /// Numbers of blocks, plus 1, freed last; a hint. What counts is the owner.
    recent: [AtomicU64; RECENT],
    /// Of each block 0: free; a participant's word; or an [`in_flight`] word.
    owners: [AtomicU64; BLOCKS_MAX],
    /// Bytes of each block that have memory behind them, from its beginning. Written by the block's owner.
    backed: [AtomicU64; BLOCKS_MAX],
}

// SAFETY: atomics only, `repr(C)`.
unsafe impl SharedLayout for SlabWords {}

/// The blocks of one channel, as one process uses them.
#[derive(Debug)]
pub(crate) struct Slab {
    words: Shared<SlabWords>,
    area: Window,
    segment: Arc<Segment>,
    offset: usize,
    block_bytes: usize,
    /// What this process has of each block: the number of readers, or [`WRITER`]. So it never writes to what it reads,
    /// whatever a peer does to the owners.
    own_uses: Box<[AtomicU32]>,
    /// The process that `own_uses` counts for.
    origin: Origin,
}

/// [`Slab::own_uses`]: a [`Block`].
const WRITER: u32 = 1 << 31;

/// A block that is this process's, to write. Freed on drop.
#[derive(Debug)]
pub(crate) struct Block {
    slab: Arc<Slab>,
    number: usize,
    owner: u64,
    /// The frame that it was given to.
    launched: Option<u64>,
}

/// The owner of a block that a frame of `lane` at `position` names. Less than any participant's word.
pub(crate) fn in_flight(lane: usize, position: u64) -> u64 {
    (lane as u64 + 1) << 55 | position & ((1 << 55) - 1)
}

/// Bytes of a block.
pub(crate) fn block_bytes(geometry: Geometry) -> usize {
    (geometry.message_bytes_max as usize).max(1 << 16).next_multiple_of(4096)
}

impl Slab {
    /// The slab of `segment`: its words, and where its blocks begin.
    pub(crate) fn of(
        segment: &Arc<Segment>,
        geometry: Geometry,
        words: Shared<SlabWords>,
        offset: usize,
    ) -> Option<Self> {
        let (blocks, block_bytes) = (geometry.blocks as usize, block_bytes(geometry));
        let area = Window::at(segment, offset, blocks.checked_mul(block_bytes)?)?;
        let own_uses = (0..blocks).map(|_| AtomicU32::new(0)).collect();
        Some(Self { words, area, segment: Arc::clone(segment), offset, block_bytes, own_uses, origin: Origin::here() })
    }

    fn blocks(&self) -> usize {
        self.own_uses.len()
    }

    /// B1: a free block, the one freed last if it can be found; `None` if all are in use. It has memory for what it held before:
    /// [`Block::back`] gives it more.
    pub(crate) fn take(self: &Arc<Self>, owner: u64) -> Option<Block> {
        let recent = std::iter::from_fn(|| self.pop()).take(RECENT);
        let number = recent.chain(0..self.blocks()).find(|&number| self.own(number, owner))?;
        step("block.owned");
        Some(Block { slab: Arc::clone(self), number, owner, launched: None })
    }

    fn own(&self, number: usize, owner: u64) -> bool {
        // Edge `block-freed`, reading end.
        self.words.owners[number].load(Relaxed) == 0
            && self.words.owners[number].compare_exchange(0, owner, Acquire, Relaxed).is_ok()
            // A peer has freed what this process still reads: the block is left to itself.
            && self.own_uses[number].compare_exchange(0, WRITER, Relaxed, Relaxed).is_ok()
    }

    /// The block freed last, as far as is known.
    fn pop(&self) -> Option<usize> {
        let top = self.words.top.load(Relaxed);
        let entry = &self.words.recent[top as usize % RECENT];
        let number = entry.swap(0, Relaxed).checked_sub(1)?;
        self.words.top.store(top.wrapping_sub(1), Relaxed);
        usize::try_from(number).ok().filter(|&number| number < self.blocks())
    }

    /// B4: frees a block that has this owner. False if it has another.
    pub(crate) fn free(&self, number: usize, owner: u64) -> bool {
        // Edge `block-freed`, writing end.
        let freed = self.words.owners[number].compare_exchange(owner, 0, Release, Relaxed).is_ok();
        step("block.freed");
        if freed {
            let top = self.words.top.load(Relaxed).wrapping_add(1);
            self.words.recent[top as usize % RECENT].store(number as u64 + 1, Relaxed);
            self.words.top.store(top, Relaxed);
        }
        freed
    }

    /// B3: begins to read the block `number` that a frame names, which `owner` must have; `None` if it cannot be.
    pub(crate) fn begin_read(&self, number: u64, owner: u64, len: u32) -> Option<usize> {
        let number = usize::try_from(number).ok().filter(|&number| number < self.blocks())?;
        if len as usize > self.block_bytes || self.owner(number as u64)?.1 != owner {
            return None;
        }
        let more = |uses| (uses & WRITER == 0).then_some(uses + 1);
        let begun = self.own_uses[number].fetch_update(Relaxed, Relaxed, more).ok().map(|_| number);
        step("block.read");
        begun
    }

    /// Ends what [`Slab::begin_read`] began.
    pub(crate) fn end_read(&self, number: usize) {
        self.own_uses[number].fetch_sub(1, Relaxed);
    }

    /// The first `len` bytes of a block that is being read.
    pub(crate) fn bytes(&self, number: usize, len: u32) -> &[u8] {
        // SAFETY: the caller has begun to read the block, so this process does not write to it; other processes that keep
        // the protocol write to it only after it was freed (edge `block-freed`), which comes after the reading.
        unsafe { self.area.bytes(number * self.block_bytes, len as usize) }
    }

    /// Gives a block from one owner to another: B3 of a receiver that keeps it past its frame, and back in B6.
    pub(crate) fn adopt(&self, number: usize, from: u64, owner: u64) -> bool {
        self.words.owners[number].compare_exchange(from, owner, Relaxed, Relaxed).is_ok()
    }

    /// As [`Slab::adopt`], of a block that this process reads once, and is to write from now on.
    pub(crate) fn adopt_to_write(self: &Arc<Self>, number: usize, from: u64, owner: u64) -> Option<Block> {
        self.own_uses[number].compare_exchange(1, WRITER, Relaxed, Relaxed).ok()?;
        if !self.adopt(number, from, owner) {
            self.own_uses[number].store(1, Relaxed);
            return None;
        }
        Some(Block { slab: Arc::clone(self), number, owner, launched: None })
    }

    /// Whether participants, who fill blocks or keep what they received, have less than half of them.
    pub(crate) fn may_keep(&self) -> bool {
        let in_hand = self.owners().filter(|(_, owner)| owner >> ROLE_SHIFT != 0).count();
        2 * in_hand < self.blocks()
    }

    /// A block by a number that a peer has written, with its owner.
    pub(crate) fn owner(&self, number: u64) -> Option<(usize, u64)> {
        let number = usize::try_from(number).ok().filter(|&number| number < self.blocks())?;
        Some((number, self.words.owners[number].load(Relaxed)))
    }

    /// Owners of all blocks that are in use.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (usize, u64)> {
        let owners = self.words.owners[..self.blocks()].iter().map(|owner| owner.load(Acquire));
        owners.enumerate().filter(|&(_, owner)| owner != 0)
    }

    /// Gives the memory of free blocks back.
    pub(crate) fn release_free(self: &Arc<Self>, owner: u64) -> Result<(), ShmError> {
        for number in 0..self.blocks() {
            if self.words.backed[number].load(Relaxed) == 0 || !self.own(number, owner) {
                continue;
            }
            let _freed_on_drop = Block { slab: Arc::clone(self), number, owner, launched: None };
            self.words.backed[number].store(0, Relaxed);
            self.segment.release(self.offset + number * self.block_bytes, self.block_bytes)?;
        }
        Ok(())
    }
}

impl Block {
    /// Has memory for `len` bytes put behind it, and for some more, so that one whose messages grow is not asked each time.
    pub(crate) fn back(&self, len: usize) -> Result<(), ShmError> {
        let slab = &*self.slab;
        let backed = slab.words.backed[self.number].load(Relaxed);
        if backed >= len as u64 {
            return Ok(());
        }
        let at = slab.offset + self.number * slab.block_bytes;
        let back = |bytes: usize| slab.segment.back(at, bytes).map(|()| bytes as u64);
        let ample = len.next_power_of_two().clamp(BACKED_MIN.min(slab.block_bytes), slab.block_bytes);
        let backed = back(ample).or_else(|_too_little_memory| back(len))?;
        slab.words.backed[self.number].store(backed, Relaxed);
        step("block.backed");
        Ok(())
    }

    /// Gives the block from one participant of this process to another.
    pub(crate) fn pass_to(mut self, owner: u64) -> Self {
        let _others_may_write_it = self.slab.adopt(self.number, self.owner, owner);
        self.owner = owner;
        self
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The first `len` bytes.
    ///
    /// # Panics
    /// Panics if the block has fewer.
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        assert!(len <= self.slab.block_bytes, "bytes outside block");
        // SAFETY: the block is this process's alone, by its owner word and by `own_uses`, until it is dropped or sent;
        // `&self` keeps `bytes_mut` away.
        unsafe { self.slab.area.bytes(self.number * self.slab.block_bytes, len) }
    }

    /// The first `len` bytes, to fill.
    ///
    /// # Panics
    /// Panics if the block has fewer.
    pub(crate) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.slab.block_bytes, "bytes outside block");
        // SAFETY: as in `bytes`; `&mut self` keeps every other use away.
        unsafe { self.slab.area.bytes_mut(self.number * self.slab.block_bytes, len) }
    }

    /// B2: gives the block to the frame that will stand in `lane` at `position`. The frame's commit must follow.
    pub(crate) fn launch(mut self, lane: usize, position: u64) {
        self.launched = Some(in_flight(lane, position));
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.slab.origin.is_here() {
            return; // It is the process's that this one was forked from.
        }
        self.slab.own_uses[self.number].store(0, Relaxed);
        match self.launched {
            // The frame's commit is what publishes it.
            Some(frame) => {
                self.slab.words.owners[self.number].store(frame, Relaxed);
                step("block.launched");
            }
            None => {
                let _swept_if_false = self.slab.free(self.number, self.owner);
            }
        }
    }
}
