//! Endpoints for one type of plain old data, sent and received without a copy in between.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::channel::error::{ChannelError, RecvError, SendBatchError, SendError, TryRecvError, TrySendError};
use crate::channel::{Channel, Guard, Receiver, Sender};

/// Sends values of one type, each as a message of its bytes.
#[derive(Debug)]
pub struct TypedSender<T> {
    sender: Sender,
    sends: PhantomData<fn(T)>,
}

/// Receives values of one type, in place.
///
/// A type is known by its size alone: both ends must mean the same by it, and use the same layout (`repr(C)`).
#[derive(Debug)]
pub struct TypedReceiver<T> {
    receiver: Receiver,
    receives: PhantomData<fn() -> T>,
}

/// A value, in place. What is said of [`Guard`] holds for it.
#[derive(Debug)]
pub struct TypedGuard<'a, T> {
    guard: Guard<'a>,
    is: PhantomData<&'a T>,
}

impl Channel {
    /// Attaches a sender of values of type `T`.
    ///
    /// ```
    /// use tidegate::ChannelOptions;
    /// use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
    ///
    /// #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
    /// #[repr(C)]
    /// struct Tick {
    ///     at_ns: u64,
    ///     price: f64,
    /// }
    ///
    /// let channel = ChannelOptions::default().create_anonymous()?;
    /// let mut sender = channel.typed_sender::<Tick>()?;
    /// let mut receiver = channel.typed_receiver::<Tick>()?;
    /// sender.send(&Tick { at_ns: 7, price: 1.5 })?;
    /// assert_eq!(receiver.recv()?.price, 1.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Channel::sender`]; [`ChannelError::TypeTooLarge`] if a value is longer than a message may be.
    pub fn typed_sender<T: IntoBytes + Immutable>(&self) -> Result<TypedSender<T>, ChannelError> {
        self.check_fits::<T>()?;
        Ok(TypedSender { sender: self.sender()?, sends: PhantomData })
    }

    /// Attaches the receiver, for values of type `T`.
    ///
    /// # Errors
    /// As [`Channel::receiver`]; [`ChannelError::TypeTooLarge`] if a value is longer than a message may be.
    pub fn typed_receiver<T: FromBytes + Immutable + KnownLayout>(&self) -> Result<TypedReceiver<T>, ChannelError> {
        self.check_fits::<T>()?;
        Ok(TypedReceiver { receiver: self.receiver()?, receives: PhantomData })
    }

    fn check_fits<T>(&self) -> Result<(), ChannelError> {
        const { assert!(align_of::<T>() <= 8, "messages are aligned to 8 bytes, which is less than this type needs") };
        let max = self.core.geometry.message_bytes_max;
        if size_of::<T>() > max as usize {
            return Err(ChannelError::TypeTooLarge { bytes: size_of::<T>(), max });
        }
        Ok(())
    }
}

impl<T: IntoBytes + Immutable> TypedSender<T> {
    /// Sends `value`, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.send(value.as_bytes())
    }

    /// Sends `value`, waiting for room at most `timeout`.
    ///
    /// # Errors
    /// As [`Sender::send_timeout`].
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<(), SendError> {
        self.sender.send_timeout(value.as_bytes(), timeout)
    }

    /// Sends `value` if there is room now.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), TrySendError> {
        self.sender.try_send(value.as_bytes())
    }

    /// Sends `values` in order, with one commit for as many of them as there is room for.
    ///
    /// # Errors
    /// As [`Sender::send_batch`].
    pub fn send_batch<'a>(&mut self, values: impl IntoIterator<Item = &'a T>) -> Result<usize, SendBatchError>
    where
        T: 'a,
    {
        self.sender.send_batch(values.into_iter().map(IntoBytes::as_bytes))
    }

    /// The sender of bytes.
    pub fn into_inner(self) -> Sender {
        self.sender
    }
}

impl<T: FromBytes + Immutable + KnownLayout> TypedReceiver<T> {
    /// The next value, waiting for it as long as it takes.
    ///
    /// # Errors
    /// As [`Receiver::recv`]; [`RecvError::WrongSize`] if the next message is no value of this type. It stays the next
    /// message: [`TypedReceiver::recv_bytes`] is the way past it.
    #[inline]
    pub fn recv(&mut self) -> Result<TypedGuard<'_, T>, RecvError> {
        Ok(TypedGuard::of(self.receiver.recv()?)?)
    }

    /// The next value, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// As [`TypedReceiver::recv`]; [`RecvError::Stalled`] when the time is over.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<TypedGuard<'_, T>, RecvError> {
        Ok(TypedGuard::of(self.receiver.recv_timeout(timeout)?)?)
    }

    /// The next value, if there is one now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`]; [`TryRecvError::WrongSize`] as [`TypedReceiver::recv`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<TypedGuard<'_, T>, TryRecvError> {
        TypedGuard::of(self.receiver.try_recv()?)
    }

    /// The next message, whether or not it is a value of this type.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub fn recv_bytes(&mut self) -> Result<Guard<'_>, RecvError> {
        self.receiver.recv()
    }

    /// The receiver of bytes.
    pub fn into_inner(self) -> Receiver {
        self.receiver
    }
}

impl<'a, T: FromBytes + Immutable + KnownLayout> TypedGuard<'a, T> {
    #[inline]
    fn of(guard: Guard<'a>) -> Result<Self, TryRecvError> {
        let bytes = guard.len();
        if bytes == size_of::<T>() {
            return Ok(Self { guard, is: PhantomData });
        }
        guard.leave();
        Err(TryRecvError::WrongSize { bytes, expected: size_of::<T>() })
    }
}

impl<T: FromBytes + Immutable + KnownLayout> Deref for TypedGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // Size checked in `of`, and payloads are 8-byte aligned, which `check_fits` found to be enough.
        T::ref_from_bytes(&self.guard).unwrap_or_else(|_| unreachable!("size and alignment were checked"))
    }
}
