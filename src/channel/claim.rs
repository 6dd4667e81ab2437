//! Room for a message that is being written.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use crate::channel::sender::Sender;
use crate::channel::slab::Block;
use crate::prim::step;
use crate::ring::producer::Reservation;

/// Room for one message, to fill in place. Dropping it without [`Claim::commit`] sends nothing.
#[derive(Debug)]
pub struct Claim<'a> {
    sender: &'a mut Sender,
    room: Room,
}

/// Room for one message.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) reservation: Reservation,
    /// For a message that is too long for the ring. Boxed, since most are not.
    pub(super) long: Option<Box<Long>>,
}

/// Room for a long message.
#[derive(Debug)]
pub(super) struct Long {
    pub(super) block: Block,
    pub(super) len: usize,
}

impl<'a> Claim<'a> {
    /// The claim on what `sender` reserved last.
    #[inline]
    pub(super) fn new(sender: &'a mut Sender, room: Room) -> Self {
        step("claim.reserved");
        Self { sender, room }
    }
}

impl Claim<'_> {
    /// Sends what was filled in.
    #[inline(always)]
    pub fn commit(self) {
        let len = self.room.len();
        self.commit_len(len);
    }

    /// Fills the claim with `message`, which is as long, and sends it.
    #[inline]
    pub(super) fn commit_copy(mut self, message: &[u8]) {
        self.copy_from_slice(message);
        self.commit();
    }

    /// Sends nothing, as dropping the claim does.
    pub fn abort(self) {}

    /// Sends the first `len` bytes of what was claimed.
    ///
    /// # Panics
    /// Panics if `len` is more than was claimed.
    #[inline(always)]
    pub fn commit_len(self, len: usize) {
        assert!(len <= self.room.len(), "{len} bytes committed of {} claimed", self.room.len());
        step("claim.filled");
        // There is nothing to give up, and the block is sent.
        let mut claim = ManuallyDrop::new(self);
        let reservation = claim.room.reservation;
        match claim.room.long.take() {
            None => claim.sender.commit(reservation, len as u32),
            Some(long) => claim.sender.commit_block(reservation, long.block, len),
        }
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        self.sender.give_up_claim();
        step("abort.given_up");
    }
}

impl Room {
    #[inline]
    fn len(&self) -> usize {
        match &self.long {
            None => self.reservation.len() as usize,
            Some(long) => long.len,
        }
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.room.long {
            None => self.sender.producer.payload(self.room.reservation),
            Some(long) => long.block.bytes(long.len),
        }
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.room.long {
            None => self.sender.producer.payload_mut(self.room.reservation),
            Some(long) => long.block.bytes_mut(long.len),
        }
    }
}
