//! A message that outlives the call that received it.

use std::ops::Deref;
use std::sync::Arc;

use crate::channel::core::Core;
use crate::channel::receiver::Place;
use crate::channel::slab::Slab;
use crate::ring::consumer::{Frame, Payloads};
use crate::ring::taker;
use crate::shm::window::Shared;
use crate::sync::wait::WaitPoint;

/// A message, kept for as long as it is needed: other messages can be received meanwhile, and many be held and dropped
/// in any order, in any thread.
///
/// It is in place where [`crate::channel::Guard::hold`] says so, else a copy.
#[derive(Debug)]
pub struct Held {
    what: What,
    /// What is held belongs to the receiver's place, which is not given up before.
    _place: Arc<Place>,
}

#[derive(Debug)]
enum What {
    Copy(Vec<u8>),
    Frame(HeldFrame),
    Block(HeldBlock),
}

/// A frame that a receiver that competes has taken.
#[derive(Debug)]
struct HeldFrame {
    payloads: Payloads,
    lane: usize,
    frame: Frame,
    /// Of a loan: the block that it is in, which this process reads.
    block: usize,
    sender_wait: Shared<WaitPoint>,
    core: Arc<Core>,
}

/// A block that a receiver has adopted.
#[derive(Debug)]
pub(super) struct HeldBlock {
    pub(super) core: Arc<Core>,
    pub(super) number: usize,
    pub(super) len: u32,
    /// The receiver's participant word, which owns the block.
    pub(super) owner: u64,
}

impl Held {
    pub(super) fn copy(bytes: Vec<u8>, place: Arc<Place>) -> Self {
        Self { what: What::Copy(bytes), _place: place }
    }

    pub(super) fn frame(
        (payloads, sender_wait, core): (Payloads, Shared<WaitPoint>, Arc<Core>),
        (lane, frame, block): (usize, Frame, usize),
        place: Arc<Place>,
    ) -> Self {
        let what = What::Frame(HeldFrame { payloads, lane, frame, block, sender_wait, core });
        Self { what, _place: place }
    }

    pub(super) fn block(block: HeldBlock, place: Arc<Place>) -> Self {
        Self { what: What::Block(block), _place: place }
    }
}

impl HeldBlock {
    fn slab(&self) -> &Slab {
        &self.core.slab
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.what {
            What::Copy(bytes) => bytes,
            What::Frame(held) if held.frame.is_loan() => held.core.slab.bytes(held.block, held.frame.len),
            What::Frame(held) => held.payloads.of(held.frame),
            What::Block(block) => block.slab().bytes(block.number, block.len),
        }
    }
}

impl Drop for HeldFrame {
    fn drop(&mut self) {
        let Self { payloads, lane, frame, block, sender_wait, core } = self;
        if core.membership.is_inherited() {
            return;
        }
        if frame.is_loan() {
            core.slab.end_read(*block); // B3, the end
        }
        taker::done(&payloads.0, *frame);
        core.wake_for_done(sender_wait);
        if frame.is_loan() {
            core.free_block_of(*lane, frame.position(), *block as u64);
        }
    }
}

impl Drop for HeldBlock {
    fn drop(&mut self) {
        if self.core.membership.is_inherited() {
            return;
        }
        self.slab().end_read(self.number);
        if self.slab().free(self.number, self.owner) {
            self.core.notify_senders();
        }
    }
}
