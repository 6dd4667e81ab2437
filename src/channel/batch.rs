//! Many messages at once: one commit, one release, at most one wake-up.

use std::ops::Index;
use std::time::Duration;

use crate::channel::error::{RecvError, SendBatchError, SendError};
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::sync::clock::deadline;

/// Received messages, in place and in their sender's order. Dropping it gives their bytes back to the sender.
///
/// A message in a block is a batch of its own.
///
/// What is said of [`crate::channel::Guard`] holds for each of them. A receiver that dies with a batch in hand has
/// released none of it: its successor receives all of it again.
#[derive(Debug)]
pub struct RecvBatch<'a> {
    receiver: &'a mut Receiver,
    lane: usize,
    /// The block of the only message, if that is a loan, or 0.
    loan: usize,
}

/// Commits what was appended, whatever ends the appending.
struct Appending<'a>(&'a mut Sender);

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.0.commit_batch();
    }
}

impl Sender {
    /// Sends `messages` in order, with one commit for as many of them as there is room for, waiting for room as long as
    /// it takes. Returns how many were sent: all.
    ///
    /// The receiver sees the first of them only when the last one that fits is written.
    ///
    /// # Errors
    /// As [`Sender::send`], with the number of messages that were sent before the one that could not be.
    pub fn send_batch<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, SendBatchError> {
        self.send_batch_until(messages, None)
    }

    /// As [`Sender::send_batch`], waiting for room at most `timeout` in all.
    ///
    /// # Errors
    /// As [`Sender::send_batch`]; [`SendError::Stalled`] when the time is over.
    pub fn send_batch_timeout<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
        timeout: Duration,
    ) -> Result<usize, SendBatchError> {
        self.send_batch_until(messages, Some(deadline(timeout)))
    }

    fn send_batch_until<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
        deadline_ns: Option<u64>,
    ) -> Result<usize, SendBatchError> {
        let appending = Appending(self);
        let mut sent = 0;
        for message in messages {
            let message = message.as_ref();
            if !appending.0.try_append(message) {
                let outcome = appending.0.send_between(message, deadline_ns);
                outcome.map_err(|error| SendBatchError { sent, error })?;
            }
            sent += 1;
        }
        Ok(sent)
    }
}

impl Sender {
    /// Sends what does not go into the batch now.
    #[cold]
    fn send_between(&mut self, message: &[u8], deadline_ns: Option<u64>) -> Result<(), SendError> {
        // What is there already may be what the receiver waits for. A long message has a commit of its own, too.
        self.commit_batch();
        self.claim_until(message.len(), deadline_ns)?.commit_copy(message);
        Ok(())
    }
}

impl Receiver {
    /// Up to `max` messages of one sender, waiting for the first as long as it takes.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    ///
    /// # Panics
    /// Panics if `max` is 0.
    pub fn recv_batch(&mut self, max: usize) -> Result<RecvBatch<'_>, RecvError> {
        self.recv_batch_until(max, None)
    }

    /// Up to `max` messages of one sender, waiting for the first at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::recv_timeout`].
    ///
    /// # Panics
    /// Panics if `max` is 0.
    pub fn recv_batch_timeout(&mut self, max: usize, timeout: Duration) -> Result<RecvBatch<'_>, RecvError> {
        self.recv_batch_until(max, Some(deadline(timeout)))
    }

    fn recv_batch_until(&mut self, max: usize, deadline_ns: Option<u64>) -> Result<RecvBatch<'_>, RecvError> {
        assert!(max > 0, "a batch of at most 0 messages");
        let (lane, first) = self.next_frame(deadline_ns)?;
        self.frames.clear();
        if first.is_loan() {
            let block = self.lanes.begin_read(lane, first)?;
            self.frames.push(first);
            return Ok(RecvBatch { receiver: self, lane, loan: block });
        }
        self.lanes.peek_batch(lane, first, max, &mut self.frames);
        self.streak.add(self.frames.len() as u64 - 1);
        Ok(RecvBatch { receiver: self, lane, loan: 0 })
    }
}

impl RecvBatch<'_> {
    /// Messages in the batch, 1 or more.
    #[allow(clippy::len_without_is_empty)] // It never is.
    pub fn len(&self) -> usize {
        self.receiver.frames.len()
    }

    /// The messages, first sent first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let Receiver { lanes, frames, .. } = &*self.receiver;
        let loan = self.loan;
        frames.iter().map(move |&frame| lanes.payload(self.lane, frame, loan))
    }
}

impl Index<usize> for RecvBatch<'_> {
    type Output = [u8];

    /// # Panics
    /// Panics if `index` is not less than [`RecvBatch::len`].
    fn index(&self, index: usize) -> &[u8] {
        self.receiver.lanes.payload(self.lane, self.receiver.frames[index], self.loan)
    }
}

impl Drop for RecvBatch<'_> {
    fn drop(&mut self) {
        match self.receiver.frames[0] {
            loan if loan.is_loan() => self.receiver.lanes.release_loan(self.lane, loan, self.loan),
            _ => self.receiver.lanes.all[self.lane].release_batch(&self.receiver.frames),
        }
    }
}
