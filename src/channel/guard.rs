//! A received message, in place.

use std::ops::Deref;

use crate::channel::error::TryRecvError;
use crate::channel::held::Held;
use crate::channel::loan::Loan;
use crate::channel::receiver::Receiver;
use crate::prim::step;
use crate::ring::consumer::{Frame, Payload};

/// A message, in place. Dropping it gives its bytes back to the sender.
///
/// A guard that is forgotten (`std::mem::forget`) releases nothing: its message is received again; where receivers compete,
/// once this receiver has gone.
///
/// A sender that keeps the protocol does not touch the bytes while the guard lives. In a channel shared with a process
/// that you do not trust, copy them before you check them.
pub struct Guard<'a> {
    pub(super) receiver: &'a mut Receiver,
    pub(super) lane: usize,
    pub(super) frame: Frame,
    pub(super) payload: Payload,
    /// Of a loan, the block that it is in.
    pub(super) block: usize,
}

impl<'a> Guard<'a> {
    /// The guard of a frame that was found.
    #[inline]
    pub(super) fn new(receiver: &'a mut Receiver, lane: usize, frame: Frame) -> Result<Self, TryRecvError> {
        let block = if frame.is_loan() { receiver.lanes.begin_read(lane, frame)? } else { 0 };
        step("receive.found");
        let payload = Payload::of(receiver.lanes.payload(lane, frame, block));
        Ok(Self { receiver, lane, frame, payload, block })
    }

    /// Leaves the message in the channel, as the one that is received next.
    pub(super) fn leave(self) {
        if self.frame.is_loan() {
            self.receiver.lanes.slab().end_read(self.block);
        }
        self.receiver.lanes.leave(self.lane, self.frame);
        // Forgotten, it is not released.
        std::mem::forget(self);
    }

    /// Receives the message for good, with the block that it is in, as a loan of this process: to read and change in place for as
    /// long as it is needed, and to send on without a copy. Others can be received meanwhile. It is lost with this process.
    ///
    /// ```
    /// use tidegate::{Channel, Receivers};
    ///
    /// let channel = Channel::options().message_bytes_max(1 << 20).receivers(Receivers::Competing).create_anonymous()?;
    /// let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    /// sender.send(&[1; 100_000])?;
    /// let mut image = receiver.recv()?.into_loan().map_err(|_| "it was copied through the ring")?;
    /// image[0] = 2;
    /// sender.send_loan(image)?;
    /// assert_eq!(receiver.recv()?[..2], [2, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The guard, unchanged, where the message is in no block (it is at most 16 KiB long, and was not sent as a loan); where each
    /// receiver gets it; and where processes have half of the blocks already, so that senders are not left without any.
    pub fn into_loan(self) -> Result<Loan, Self> {
        let place = self.receiver.share_place();
        let (lane, frame, block) = (self.lane, self.frame, self.block);
        if !frame.is_loan() {
            return Err(self);
        }
        match self.receiver.lanes.take_loan(lane, frame, block, &place) {
            Some(block) => {
                std::mem::forget(self);
                Ok(Loan::received(block, frame.len))
            }
            None => Err(self),
        }
    }

    /// Keeps the message: others can be received meanwhile, and many be held and dropped in any order, in any thread.
    ///
    /// Where receivers compete it stays in place and in hand: it goes to another receiver if this process dies, takes up its
    /// sender's ring from there on, and keeps others from `Disconnected` until it is dropped. Elsewhere it counts as received.
    /// It stays in place then if it is in a block (longer than 16 KiB, or sent as a [`crate::channel::Loan`]) that goes to this
    /// receiver alone, and else is copied: rings are read in order.
    pub fn hold(self) -> Held {
        let place = self.receiver.share_place();
        let (lane, frame, block) = (self.lane, self.frame, self.block);
        if let Some(shared) = self.receiver.lanes.all[lane].share(lane, frame) {
            std::mem::forget(self);
            Held::frame(shared, (lane, frame, block), place)
        } else if frame.is_loan() {
            match self.receiver.lanes.adopt(lane, frame, block, &place) {
                Some(block) => {
                    std::mem::forget(self);
                    Held::block(block, place)
                }
                None => Held::copy(self.to_vec(), place),
            }
        } else {
            Held::copy(self.to_vec(), place)
        }
    }
}

impl std::fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("lane", &self.lane).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Deref for Guard<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.payload.bytes()
    }
}

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        step("release.begun");
        self.receiver.lanes.release(self.lane, self.frame, self.block);
        step("release.notified");
    }
}
