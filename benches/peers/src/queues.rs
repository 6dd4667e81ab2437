//! The queues between threads, behind one face.

use crossbeam_channel::TryRecvError;
use rtrb::chunks::ChunkError;

use crate::idle::Idle;

/// The other end has gone.
#[derive(Debug)]
pub(crate) struct Disconnected;

impl std::fmt::Display for Disconnected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other end has gone")
    }
}

impl std::error::Error for Disconnected {}

/// A bounded queue from one thread to another.
pub(crate) trait Queue<M> {
    /// The sending end.
    type Sender: Send;
    /// The receiving end.
    type Receiver: Send;

    /// A queue that holds `capacity` messages; `idle` is for one that has no wait of its own.
    fn bounded(capacity: usize, idle: Idle) -> (Self::Sender, Self::Receiver);

    /// Sends, waiting for room in the queue's own way.
    fn send(sender: &mut Self::Sender, message: M) -> Result<(), Disconnected>;

    /// The next message, if there is one now.
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<M>, Disconnected>;

    /// The next message, waiting for it in the queue's own way.
    fn recv(receiver: &mut Self::Receiver) -> Result<M, Disconnected>;

    /// The next message, polling for it.
    #[inline]
    fn recv_polling(receiver: &mut Self::Receiver, idle: Idle) -> Result<M, Disconnected> {
        loop {
            if let Some(message) = Self::try_recv(receiver)? {
                return Ok(message);
            }
            idle.pass();
        }
    }
}

/// A queue that takes and yields many messages in one call.
pub(crate) trait Batches<M>: Queue<M> {
    /// Sends `messages`, waiting for room for all of them.
    fn send_batch(sender: &mut Self::Sender, messages: impl ExactSizeIterator<Item = M>) -> Result<(), Disconnected>;

    /// Waits for a message, and shows `look` each that is there then, in place, but `max` at most.
    fn recv_batch(receiver: &mut Self::Receiver, max: usize, look: impl FnMut(&M)) -> Result<(), Disconnected>;
}

/// rtrb; it has no wait of its own, so its users poll.
pub(crate) struct Rtrb;

/// An end of it, and how that polls.
pub(crate) struct Polling<E> {
    end: E,
    idle: Idle,
}

impl<M: Send> Queue<M> for Rtrb {
    type Sender = Polling<rtrb::Producer<M>>;
    type Receiver = Polling<rtrb::Consumer<M>>;

    fn bounded(capacity: usize, idle: Idle) -> (Self::Sender, Self::Receiver) {
        let (producer, consumer) = rtrb::RingBuffer::new(capacity);
        (Polling { end: producer, idle }, Polling { end: consumer, idle })
    }

    #[inline]
    fn send(sender: &mut Self::Sender, mut message: M) -> Result<(), Disconnected> {
        while let Err(rtrb::PushError::Full(unsent)) = sender.end.push(message) {
            if sender.end.is_abandoned() {
                return Err(Disconnected);
            }
            message = unsent;
            sender.idle.pass();
        }
        Ok(())
    }

    #[inline]
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<M>, Disconnected> {
        match receiver.end.pop() {
            Ok(message) => Ok(Some(message)),
            // What was pushed before the sender went is still there.
            Err(_) if receiver.end.is_abandoned() => receiver.end.pop().map(Some).map_err(|_| Disconnected),
            Err(_) => Ok(None),
        }
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> Result<M, Disconnected> {
        let idle = receiver.idle;
        Self::recv_polling(receiver, idle)
    }
}

impl<M: Send> Batches<M> for Rtrb {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, messages: impl ExactSizeIterator<Item = M>) -> Result<(), Disconnected> {
        let Polling { end, idle } = sender;
        while end.write_chunk_uninit(messages.len()).is_err() {
            if end.is_abandoned() {
                return Err(Disconnected);
            }
            idle.pass();
        }
        let chunk = end.write_chunk_uninit(messages.len()).map_err(|_| Disconnected)?;
        chunk.fill_from_iter(messages);
        Ok(())
    }

    #[inline]
    fn recv_batch(receiver: &mut Self::Receiver, max: usize, look: impl FnMut(&M)) -> Result<(), Disconnected> {
        let Polling { end, idle } = receiver;
        loop {
            let there = match end.read_chunk(max) {
                Ok(_) => max,
                Err(ChunkError::TooFewSlots(there)) => there,
            };
            if there > 0 {
                let chunk = end.read_chunk(there).map_err(|_| Disconnected)?;
                let (first, second) = chunk.as_slices();
                first.iter().chain(second).for_each(look);
                chunk.commit_all();
                return Ok(());
            }
            // What was pushed before the sender went is still there.
            if end.is_abandoned() && end.is_empty() {
                return Err(Disconnected);
            }
            idle.pass();
        }
    }
}

/// crossbeam-channel.
pub(crate) struct Crossbeam;

impl<M: Send> Queue<M> for Crossbeam {
    type Sender = crossbeam_channel::Sender<M>;
    type Receiver = crossbeam_channel::Receiver<M>;

    fn bounded(capacity: usize, _idle: Idle) -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(capacity)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, message: M) -> Result<(), Disconnected> {
        sender.send(message).map_err(|_| Disconnected)
    }

    #[inline]
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<M>, Disconnected> {
        match receiver.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Disconnected),
        }
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> Result<M, Disconnected> {
        receiver.recv().map_err(|_| Disconnected)
    }
}

/// kanal.
pub(crate) struct Kanal;

impl<M: Send> Queue<M> for Kanal {
    type Sender = kanal::Sender<M>;
    type Receiver = kanal::Receiver<M>;

    fn bounded(capacity: usize, _idle: Idle) -> (Self::Sender, Self::Receiver) {
        kanal::bounded(capacity)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, message: M) -> Result<(), Disconnected> {
        sender.send(message).map_err(|_| Disconnected)
    }

    #[inline]
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<M>, Disconnected> {
        receiver.try_recv().map_err(|_| Disconnected)
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> Result<M, Disconnected> {
        receiver.recv().map_err(|_| Disconnected)
    }
}
