//! What the calls on a channel and its endpoints can report.

use crate::shm::ShmError;

/// A channel could not be created or opened, or an endpoint not attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The shared memory could not be had or trusted.
    #[error(transparent)]
    Shm(#[from] ShmError),
    /// An option is out of its range.
    #[error("{option} is {value}, it must be {range}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        range: String,
    },
    /// A value of the type is longer than a message may be.
    #[error("a value of {bytes} bytes is longer than the {max} that the channel was created for (message_bytes_max)")]
    TypeTooLarge {
        /// The value's length.
        bytes: usize,
        /// The channel's limit.
        max: u32,
    },
    /// The channel has a living receiver.
    #[error(
        "process {pid} receives from this channel already: create it with Receivers::Competing to share the messages, or Receivers::Each to get them all"
    )]
    ReceiverTaken {
        /// The receiver's process.
        pid: u32,
    },
    /// Every seat has a living receiver.
    #[error("all {seats} seats of the channel have a receiver")]
    TooManyReceivers {
        /// Seats of the channel.
        seats: usize,
    },
    /// Every lane has a living sender.
    #[error("all {lanes} lanes of the channel have a sender: create it with a larger senders_max, of at most 64")]
    TooManySenders {
        /// Lanes of the channel.
        lanes: usize,
    },
    /// The handle maps what senders write read-only, or the channel cannot be used so.
    #[error(
        "not with a handle that only receives (Channel::open_to_receive): {why}; open the channel with Channel::open"
    )]
    ReceiveOnly {
        /// What would have to be written.
        why: &'static str,
    },
    /// A lane holds a word that the protocol never writes.
    #[error("lane {lane} is corrupt at byte {position}: it holds {word:#x}")]
    Corrupt {
        /// The lane.
        lane: usize,
        /// Bytes from the lane's beginning.
        position: u64,
        /// The word found there.
        word: u64,
    },
}

/// A message could not be sent now. It was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// There is no room now.
    #[error("the channel is full")]
    Full,
    /// The receiver has closed.
    #[error("the receiver has closed the channel")]
    Disconnected,
    /// The receiver's process died. Told once to each sender, unless another has come meanwhile; until one comes messages
    /// are kept while there is room, or, where each receiver gets every message, received by nobody.
    #[error("the receiver, process {pid}, died")]
    PeerDied {
        /// The dead process; of several receivers, the last.
        pid: u32,
    },
    /// There is no memory for a block of that many bytes.
    #[error("no memory for a message of {bytes} bytes")]
    NoMemory {
        /// The message's length.
        bytes: usize,
    },
    /// The message is longer than the channel takes.
    #[error("a message of {bytes} bytes is longer than the {max} that the channel was created for (message_bytes_max)")]
    TooLong {
        /// The message's length.
        bytes: usize,
        /// The channel's limit.
        max: u32,
    },
}

/// A message could not be sent. It was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The deadline passed while the channel was full, or all its blocks were in use. The receiver lives, or none has come
    /// yet: it is slow, or stopped.
    #[error("the channel stayed full, or without a free block for a long message, past the deadline")]
    Stalled,
    /// The receiver has closed.
    #[error("the receiver has closed the channel")]
    Disconnected,
    /// The receiver's process died. Told once to each sender, unless another has come meanwhile; until one comes messages
    /// are kept while there is room, or, where each receiver gets every message, received by nobody.
    #[error("the receiver, process {pid}, died")]
    PeerDied {
        /// The dead process; of several receivers, the last.
        pid: u32,
    },
    /// There is no memory for a block of that many bytes.
    #[error("no memory for a message of {bytes} bytes")]
    NoMemory {
        /// The message's length.
        bytes: usize,
    },
    /// The message is longer than the channel takes.
    #[error("a message of {bytes} bytes is longer than the {max} that the channel was created for (message_bytes_max)")]
    TooLong {
        /// The message's length.
        bytes: usize,
        /// The channel's limit.
        max: u32,
    },
}

/// Some messages of a batch could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{sent} messages of the batch were sent, the next was not: {error}")]
pub struct SendBatchError {
    /// Messages sent, the first of the batch.
    pub sent: usize,
    /// Why the next was not.
    #[source]
    pub error: SendError,
}

/// Nothing could be received now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is no message now.
    #[error("the channel is empty")]
    Empty,
    /// There is no message, and every sender has closed.
    #[error("every sender has closed the channel")]
    Disconnected,
    /// A sender's process died. All that it committed has been received; told once to each receiver.
    #[error("a sender, process {pid}, died")]
    PeerDied {
        /// The dead process.
        pid: u32,
    },
    /// The next message is no value of the type that was asked for. It was not taken.
    #[error("the next message has {bytes} bytes, a value of the type asked for has {expected}")]
    WrongSize {
        /// The message's length.
        bytes: usize,
        /// The type's.
        expected: usize,
    },
    /// This receiver was too slow: a sender has dropped messages that were the next here. Told before the message
    /// that is left.
    #[error("{missed} messages were dropped before they were received")]
    Lapped {
        /// How many.
        missed: u64,
    },
    /// A lane holds a word that the protocol never writes.
    #[error("lane {lane} is corrupt at byte {position}: it holds {word:#x}")]
    Corrupt {
        /// The lane.
        lane: usize,
        /// Bytes from the lane's beginning.
        position: u64,
        /// The word found there.
        word: u64,
    },
}

/// Nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The deadline passed while the channel was empty.
    #[error("the channel stayed empty past the deadline")]
    Stalled,
    /// There is no message left, and every sender has closed.
    #[error("every sender has closed the channel")]
    Disconnected,
    /// A sender's process died. All that it committed has been received; told once to each receiver.
    #[error("a sender, process {pid}, died")]
    PeerDied {
        /// The dead process.
        pid: u32,
    },
    /// The next message is no value of the type that was asked for. It was not taken.
    #[error("the next message has {bytes} bytes, a value of the type asked for has {expected}")]
    WrongSize {
        /// The message's length.
        bytes: usize,
        /// The type's.
        expected: usize,
    },
    /// This receiver was too slow: a sender has dropped messages that were the next here. Told before the message
    /// that is left.
    #[error("{missed} messages were dropped before they were received")]
    Lapped {
        /// How many.
        missed: u64,
    },
    /// A lane holds a word that the protocol never writes.
    #[error("lane {lane} is corrupt at byte {position}: it holds {word:#x}")]
    Corrupt {
        /// The lane.
        lane: usize,
        /// Bytes from the lane's beginning.
        position: u64,
        /// The word found there.
        word: u64,
    },
}

/// A channel could not be resized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// The channel was not created for rings of this size.
    #[error("rings of {bytes} bytes are outside the {min} to {max} that the channel was created for")]
    OutOfBounds {
        /// Bytes asked for.
        bytes: u64,
        /// Smallest ring.
        min: u64,
        /// Largest ring.
        max: u64,
    },
    /// The handle was opened to receive only.
    #[error("the channel was opened to receive only: open it with Channel::open to change its rings")]
    ReceiveOnly,
    /// The memory could not be had.
    #[error(transparent)]
    Shm(#[from] ShmError),
}

impl From<TryRecvError> for RecvError {
    /// An empty channel at a deadline is a stall.
    fn from(error: TryRecvError) -> Self {
        match error {
            TryRecvError::Empty => Self::Stalled,
            TryRecvError::Disconnected => Self::Disconnected,
            TryRecvError::PeerDied { pid } => Self::PeerDied { pid },
            TryRecvError::Corrupt { lane, position, word } => Self::Corrupt { lane, position, word },
            TryRecvError::Lapped { missed } => Self::Lapped { missed },
            TryRecvError::WrongSize { bytes, expected } => Self::WrongSize { bytes, expected },
        }
    }
}

impl From<TrySendError> for SendError {
    /// A full channel at a deadline is a stall.
    fn from(error: TrySendError) -> Self {
        match error {
            TrySendError::Full => Self::Stalled,
            TrySendError::Disconnected => Self::Disconnected,
            TrySendError::PeerDied { pid } => Self::PeerDied { pid },
            TrySendError::NoMemory { bytes } => Self::NoMemory { bytes },
            TrySendError::TooLong { bytes, max } => Self::TooLong { bytes, max },
        }
    }
}
