//! The queues between threads, behind one face.

use std::hint::spin_loop;

use crossbeam_channel::TryRecvError;

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

    /// A queue that holds `capacity` messages.
    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// Sends, waiting for room in the queue's own way.
    fn send(sender: &mut Self::Sender, message: M) -> Result<(), Disconnected>;

    /// The next message, if there is one now.
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<M>, Disconnected>;

    /// The next message, waiting for it in the queue's own way.
    fn recv(receiver: &mut Self::Receiver) -> Result<M, Disconnected>;

    /// The next message, polling for it.
    #[inline]
    fn recv_polling(receiver: &mut Self::Receiver) -> Result<M, Disconnected> {
        loop {
            if let Some(message) = Self::try_recv(receiver)? {
                return Ok(message);
            }
            spin_loop();
        }
    }
}

/// rtrb; it has no wait of its own, so its users poll.
pub(crate) struct Rtrb;

impl<M: Send> Queue<M> for Rtrb {
    type Sender = rtrb::Producer<M>;
    type Receiver = rtrb::Consumer<M>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        rtrb::RingBuffer::new(capacity)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, mut message: M) -> Result<(), Disconnected> {
        while let Err(rtrb::PushError::Full(unsent)) = sender.push(message) {
            if sender.is_abandoned() {
                return Err(Disconnected);
            }
            message = unsent;
            spin_loop();
        }
        Ok(())
    }

    #[inline]
    fn try_recv(receiver: &mut Self::Receiver) -> Result<Option<M>, Disconnected> {
        match receiver.pop() {
            Ok(message) => Ok(Some(message)),
            // What was pushed before the sender went is still there.
            Err(_) if receiver.is_abandoned() => receiver.pop().map(Some).map_err(|_| Disconnected),
            Err(_) => Ok(None),
        }
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> Result<M, Disconnected> {
        Self::recv_polling(receiver)
    }
}

/// crossbeam-channel.
pub(crate) struct Crossbeam;

impl<M: Send> Queue<M> for Crossbeam {
    type Sender = crossbeam_channel::Sender<M>;
    type Receiver = crossbeam_channel::Receiver<M>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
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

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
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
