//! Endpoints for tasks. They run in any executor: what a task sleeps for is waited for by one thread of the process.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;

use crate::channel::Channel;
use crate::channel::claim::{Claim, Room};
use crate::channel::error::{RecvError, SendError};
use crate::channel::guard::Guard;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::ring::consumer::Frame;
use crate::shm::window::Shared;
use crate::sync::clock::now_ns;
use crate::sync::reactor;
use crate::sync::wait::{WaitPoint, is_peer_check_due};

/// A receiver for one task. A [`Stream`] of copied messages, too, which ends when every sender has closed.
///
/// ```
/// use tidegate::{AsyncReceiver, AsyncSender, ChannelOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let channel = ChannelOptions::default().create_anonymous()?;
/// let mut receiver = AsyncReceiver::from(channel.receiver()?);
/// let mut sender = AsyncSender::from(channel.sender()?);
/// tokio::spawn(async move { sender.send(b"hello").await });
/// assert_eq!(&*receiver.recv().await?, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncReceiver {
    // Ended before the receiver gives its place up.
    wait: Wait,
    receiver: Receiver,
}

/// A sender for one task. A [`Sink`] of messages, too.
#[derive(Debug)]
pub struct AsyncSender {
    // Ended before the sender gives its place up.
    wait: Wait,
    sender: Sender,
    /// Taken by the sink and not sent yet.
    unsent: Option<Vec<u8>>,
}

/// A wait that may go on over several polls.
#[derive(Debug, Default)]
struct Wait {
    ongoing: Option<Ongoing>,
    peers_checked_ns: u64,
}

/// Books the end of a wait when it is dropped.
#[derive(Debug)]
struct Ongoing {
    point: Shared<WaitPoint>,
    began_ns: u64,
    process: u32,
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        // In a child made by `fork` the wait is the parent's.
        if self.process == std::process::id() {
            self.point.counters.end(self.began_ns);
        }
    }
}

impl Wait {
    fn begin(&mut self, point: &Shared<WaitPoint>) {
        if self.ongoing.is_none() {
            let began_ns = now_ns();
            point.counters.begin(began_ns);
            self.ongoing = Some(Ongoing { point: point.clone(), began_ns, process: std::process::id() });
        }
    }

    /// Whether it is time to see if the peers still live.
    fn peers_due(&mut self) -> bool {
        // A wait that was cancelled counts, too: whoever waits again and again for less must hear of a death.
        is_peer_check_due(&mut self.peers_checked_ns)
    }

    fn end(&mut self) {
        self.ongoing = None;
    }

    /// One poll of a wait at `point`, booked at `own`.
    fn poll<T>(
        &mut self,
        (own, point): (&Shared<WaitPoint>, &Shared<WaitPoint>),
        context: &Context<'_>,
        mut look: impl FnMut() -> Option<T>,
        check_peers: impl FnOnce() -> Option<T>,
    ) -> Poll<T> {
        let mut found = look();
        if found.is_none() && self.peers_due() {
            found = check_peers();
        }
        if found.is_none() {
            self.begin(own);
            own.counters.park();
            found = reactor::sleep((own, point), context.waker(), look);
        }
        match found {
            Some(value) => {
                self.end();
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

/// An endpoint whose future may be dropped while it waits: then it waits no more.
struct Cancellable<'a, E> {
    endpoint: &'a mut E,
    wait: fn(&mut E) -> &mut Wait,
}

impl<E> Drop for Cancellable<'_, E> {
    fn drop(&mut self) {
        (self.wait)(self.endpoint).end();
    }
}

impl AsyncReceiver {
    /// The next message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    ///
    /// # Panics
    /// Panics if it must wait and the process cannot start a thread.
    pub async fn recv(&mut self) -> Result<Guard<'_>, RecvError> {
        let (lane, frame) = {
            let future = Cancellable { endpoint: &mut *self, wait: |receiver| &mut receiver.wait };
            poll_fn(|context| future.endpoint.poll_frame(context)).await?
        };
        Ok(self.receiver.guard(lane, frame)?)
    }

    /// The receiver, for a thread.
    pub fn into_inner(self) -> Receiver {
        self.receiver
    }

    fn poll_frame(&mut self, context: &Context<'_>) -> Poll<Result<(usize, Frame), RecvError>> {
        let Self { receiver, wait } = self;
        let (own, point) = receiver.wait_points();
        let receiver = std::cell::RefCell::new(receiver);
        let look = || receiver.borrow_mut().poll().map_err(RecvError::from).transpose();
        wait.poll((&own, &point), context, look, || receiver.borrow_mut().dead_sender().map(|found| Ok(found?)))
    }
}

impl Receiver {
    /// Whether there may be something to receive, for a loop of another language or library that calls [`Receiver::try_recv`] then.
    ///
    /// Ready also of a message that another receiver has in hand. Where it is pending, `context` is woken when a message is sent,
    /// and every 20 ms, so that [`Receiver::try_recv`] may find who has died. A receiver has one waker: the last.
    ///
    /// # Panics
    /// Panics if it must wait and the process cannot start a thread.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (own, point) = self.wait_points();
        let channel = Channel { core: Arc::clone(self.core()) };
        let look = || (!channel.is_empty()).then_some(());
        match look().or_else(|| reactor::sleep((&own, &point), context.waker(), look)) {
            Some(()) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }
}

impl From<Receiver> for AsyncReceiver {
    fn from(receiver: Receiver) -> Self {
        Self { receiver, wait: Wait::default() }
    }
}

impl Stream for AsyncReceiver {
    type Item = Result<Vec<u8>, RecvError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_frame(context)) {
            Ok((lane, frame)) => {
                Some(this.receiver.guard(lane, frame).map(|guard| guard.to_vec()).map_err(RecvError::from))
            }
            Err(RecvError::Disconnected) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

impl AsyncSender {
    /// Sends `message`, waiting for room. Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Panics
    /// Panics if it must wait and the process cannot start a thread.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.claim(message.len()).await?.commit_copy(message);
        Ok(())
    }

    /// Claims room for `len` bytes, to fill in place, waiting for it. What a [`Sink`] took before goes first.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Panics
    /// As [`AsyncSender::send`].
    pub async fn claim(&mut self, len: usize) -> Result<Claim<'_>, SendError> {
        let room = {
            let future = Cancellable { endpoint: &mut *self, wait: |sender| &mut sender.wait };
            poll_fn(|context| future.endpoint.poll_unsent(context)).await?;
            poll_fn(|context| future.endpoint.poll_reserve(len, context)).await?
        };
        Ok(self.sender.claimed(room))
    }

    /// The sender, for a thread, and the message that a [`Sink`] took and has not sent, if there is one.
    pub fn into_inner(self) -> (Sender, Option<Vec<u8>>) {
        (self.sender, self.unsent)
    }

    fn poll_reserve(&mut self, len: usize, context: &Context<'_>) -> Poll<Result<Room, SendError>> {
        let Self { sender, wait, .. } = self;
        let ((own, room), core) = (sender.wait_points(), sender.core());
        let check_peers = || {
            core.find_dead_peers_of_senders();
            None // The sleep begins with another look.
        };
        let polled = wait.poll((&own, &room), context, || sender.poll_reserve(len), check_peers);
        if polled.is_pending() {
            // The task may never come back.
            sender.spare = None;
        }
        polled
    }

    fn poll_unsent(&mut self, context: &Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(len) = self.unsent.as_ref().map(Vec::len) else { return Poll::Ready(Ok(())) };
        let room = ready!(self.poll_reserve(len, context))?;
        if let Some(message) = self.unsent.take() {
            self.sender.claimed(room).commit_copy(&message);
        }
        Poll::Ready(Ok(()))
    }
}

impl From<Sender> for AsyncSender {
    fn from(sender: Sender) -> Self {
        Self { sender, wait: Wait::default(), unsent: None }
    }
}

impl Sink<Vec<u8>> for AsyncSender {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.get_mut().poll_unsent(context)
    }

    /// # Panics
    /// Panics if the sink was not ready, as [`Sink`] allows.
    fn start_send(self: Pin<&mut Self>, message: Vec<u8>) -> Result<(), SendError> {
        let this = self.get_mut();
        assert!(this.unsent.is_none(), "start_send before poll_ready was ready");
        // What can be refused for good is refused here and not at the flush; a full channel is for the flush.
        match this.sender.poll_reserve(message.len()) {
            None => {
                this.sender.free_spare();
                this.unsent = Some(message);
            }
            Some(outcome) => this.sender.claimed(outcome?).commit_copy(&message),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.get_mut().poll_unsent(context)
    }

    /// Flushes. The channel is closed by dropping the sender.
    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.get_mut().poll_unsent(context)
    }
}
