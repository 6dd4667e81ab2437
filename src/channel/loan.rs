//! Long messages, and messages that are written while others are sent.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::channel::core::Core;
use crate::channel::error::{SendError, TrySendError};
use crate::channel::sender::Sender;
use crate::channel::slab::Block;
use crate::ring::WhenFull;
use crate::ring::producer::Reservation;
use crate::ring::word::{LOAN_LEN, WORD};
use crate::sync::clock::deadline;

/// A block of shared memory for one message, to fill in place and send later. Dropping it sends nothing.
///
/// Many can be out at a time, up to the channel's `blocks`.
#[derive(Debug)]
pub struct Loan {
    block: Block,
    len: usize,
    /// The block is this handle's. After the block in the order of drops.
    wakes: WakesSenders,
}

/// Tells those that wait for a block of one that was freed.
#[derive(Debug)]
struct WakesSenders {
    core: Arc<Core>,
}

impl Drop for WakesSenders {
    fn drop(&mut self) {
        if !self.core.membership.is_inherited() {
            self.core.notify_senders();
        }
    }
}

/// A loan that was not sent, and why.
#[derive(Debug, thiserror::Error)]
#[error("the loan was not sent: {error}")]
pub struct RefusedLoan<E> {
    /// The loan, with what was written to it.
    pub loan: Loan,
    /// Why it was not sent.
    #[source]
    pub error: E,
}

impl Sender {
    /// Borrows a block for a message of `len` bytes, waiting for a free one. The bytes are what was there before.
    ///
    /// ```
    /// use tidegate::Channel;
    ///
    /// let channel = Channel::options().message_bytes_max(1 << 20).create_anonymous()?;
    /// let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    /// let mut image = sender.loan(1 << 20)?;
    /// image.fill(7);
    /// sender.send(b"an image follows")?;
    /// sender.send_loan(image)?;
    /// let title = receiver.recv()?.hold();
    /// let image = receiver.recv()?.hold(); // in place, for as long as it is needed
    /// assert_eq!(&*title, b"an image follows");
    /// assert!(image.iter().all(|&byte| byte == 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sender::send`]; [`SendError::NoMemory`] where memory cannot be had.
    pub fn loan(&mut self, len: usize) -> Result<Loan, SendError> {
        self.loan_until(len, None)
    }

    /// As [`Sender::loan`], waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`Sender::loan`]; [`SendError::Stalled`] when the time is over.
    pub fn loan_timeout(&mut self, len: usize, timeout: Duration) -> Result<Loan, SendError> {
        self.loan_until(len, Some(deadline(timeout)))
    }

    fn loan_until(&mut self, len: usize, deadline_ns: Option<u64>) -> Result<Loan, SendError> {
        let block = self.wait_until(deadline_ns, |sender| match sender.check_len(len) {
            Ok(()) => {
                sender.give_up_claim();
                sender.check_receiver().and_then(|()| sender.take_block(len))
            }
            Err(error) => Err(error),
        })?;
        Ok(Loan { block, len, wakes: WakesSenders { core: self.core() } })
    }

    /// Sends a loan of this channel, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`Sender::send`]. The loan is given up.
    ///
    /// # Panics
    /// Panics if the loan is of another channel, or of a handle on it that was opened on its own.
    pub fn send_loan(&mut self, loan: Loan) -> Result<(), SendError> {
        self.check_own(&loan);
        let reservation = self.wait_until(None, |sender| sender.reserve_in_ring(LOAN_LEN))?;
        self.commit_block(reservation, loan.block, loan.len);
        Ok(())
    }

    /// As [`Sender::send_loan`], waiting at most `timeout`. The loan comes back with the error.
    ///
    /// # Errors
    /// As [`Sender::send_loan`]; [`SendError::Stalled`] when the time is over.
    ///
    /// # Panics
    /// As [`Sender::send_loan`].
    pub fn send_loan_timeout(&mut self, loan: Loan, timeout: Duration) -> Result<(), RefusedLoan<SendError>> {
        self.check_own(&loan);
        let room = self.wait_until(Some(deadline(timeout)), |sender| sender.reserve_in_ring(LOAN_LEN));
        self.commit_loan(loan, room)
    }

    /// Sends a loan of this channel if there is room now. The loan comes back with the error.
    ///
    /// ```
    /// use tidegate::{Channel, channel::TrySendError};
    ///
    /// let channel = Channel::options().message_bytes_max(100_000).create_anonymous()?;
    /// let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    /// let mut image = sender.loan(100_000)?;
    /// image.fill(7);
    /// while sender.try_send(&[0; 1000]).is_ok() {}
    /// let refused = sender.try_send_loan(image).unwrap_err();
    /// assert_eq!(refused.error, TrySendError::Full);
    /// while receiver.try_recv().is_ok() {}
    /// sender.try_send_loan(refused.loan)?;
    /// assert!(receiver.recv()?.iter().all(|&byte| byte == 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    ///
    /// # Panics
    /// As [`Sender::send_loan`].
    pub fn try_send_loan(&mut self, loan: Loan) -> Result<(), RefusedLoan<TrySendError>> {
        self.check_own(&loan);
        let room = self.reserve_in_ring(LOAN_LEN);
        self.commit_loan(loan, room)
    }

    fn check_own(&self, loan: &Loan) {
        assert!(Arc::ptr_eq(&loan.wakes.core, &self.core()), "a loan of another channel, or of another handle on it");
    }

    fn commit_loan<E>(&mut self, loan: Loan, room: Result<Reservation, E>) -> Result<(), RefusedLoan<E>> {
        match room {
            Ok(reservation) => {
                self.commit_block(reservation, loan.block, loan.len);
                Ok(())
            }
            Err(error) => Err(RefusedLoan { loan, error }),
        }
    }

    /// A free block, sweeping those of dead processes if there is none.
    #[cold]
    pub(super) fn take_block(&mut self, len: usize) -> Result<Block, TrySendError> {
        let core = self.core();
        // The handle's: a loan may outlive its sender.
        let word = core.membership.word();
        let mut taken = core.slab.take(word);
        if taken.is_none() {
            self.settle_claims();
            core.free_blocks_all_released();
            if self.is_time_to_look_for_the_dead() {
                core.free_blocks_of_dead_senders();
            }
            taken = core.slab.take(word);
        }
        // No more than there can be: where the oldest begins is a word that others may write.
        let mut droppable = self.ring_bytes() / WORD;
        while taken.is_none() && droppable > 0 && core.when_full() == WhenFull::DropOldest && self.drop_oldest() {
            droppable -= 1;
            self.settle_claims();
            core.free_blocks_all_released();
            taken = core.slab.take(word);
        }
        let block = taken.ok_or(TrySendError::Full)?;
        back(&block, len)?;
        Ok(block)
    }
}

impl Loan {
    /// The first `len` bytes alone, for who has given the rest to others to fill.
    ///
    /// # Panics
    /// Panics if it has fewer.
    pub fn head_mut(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.len, "bytes outside loan");
        self.block.bytes_mut(len)
    }

    /// A message that was received for good.
    pub(super) fn received((block, core): (Block, Arc<Core>), len: u32) -> Self {
        Self { block, len: len as usize, wakes: WakesSenders { core } }
    }
}

/// Has memory put behind a block.
pub(super) fn back(block: &Block, len: usize) -> Result<(), TrySendError> {
    block.back(len).map_err(|_| TrySendError::NoMemory { bytes: len })
}

impl Deref for Loan {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.block.bytes(self.len)
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.block.bytes_mut(self.len)
    }
}
