//! What a channel is created with.

use crate::channel::{Channel, ChannelError};
use crate::shm::header::{
    BLOCKS_CEILING, CLASS_CEILING, CLASS_FLOOR, Geometry, LANES_MAX, MESSAGE_BYTES_CEILING, RING_PAYLOAD_MAX,
};

/// Bytes of the rings that senders start with, unless told.
const RING_BYTES: u64 = 1 << 16;

/// Options of a new channel. All have defaults; none must be set.
///
/// | option | default | range |
/// |---|---|---|
/// | `ring_bytes` | 64 KiB, or the bound nearest to it | to `ring_bytes_max`; raised to `ring_bytes_min` |
/// | `ring_bytes_min` | 4 KiB, or what `message_bytes_max` needs | a power of two from 4 KiB |
/// | `ring_bytes_max` | 16 MiB | a power of two to 1 GiB |
/// | `message_bytes_max` | 1,024 | to 1 GiB; what is longer than 16 KiB goes through blocks of its own |
/// | `blocks` | 64 | 1 to 256: long messages that can be under way at a time |
/// | `senders_max` | 16 | 1 to 64 |
/// | `receivers` | [`Receivers::One`] | see there |
/// | `when_full` | [`WhenFull::Wait`] | see there |
/// | `order` | [`Order::PerSender`] | see there |
///
/// Sizes of rings are rounded up to powers of two. The segment is sparse: only rings in use, and blocks that were used,
/// cost memory.
#[derive(Debug, Clone)]
pub struct ChannelOptions {
    ring_bytes: Option<u64>,
    ring_bytes_min: u64,
    ring_bytes_max: u64,
    message_bytes_max: u32,
    senders_max: u32,
    receivers: Receivers,
    blocks: u32,
    when_full: WhenFull,
    order: Order,
}

/// In which order the messages of several senders are received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// Each sender's messages in the order it sent them; those of different senders interleave anyhow. The fastest: each
    /// sender has a ring of its own.
    #[default]
    PerSender,
    /// All messages in the order in which room for them was claimed, which [`crate::channel::Sender::send`] does at its
    /// beginning: what is sent after another sender's send has returned comes after that message. The senders share one ring,
    /// and take turns at it.
    ///
    /// A claim that is held keeps back what others claim behind it until it is committed, is dropped, or its process dies. A
    /// batch is sent message by message, so that others' may come between. Where another sender is at the ring just now, and
    /// stays there, `try_send` is refused as if it were full.
    Global,
}

/// What a sender does that finds its ring full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// `send` waits, `try_send` is refused. No message is lost.
    #[default]
    Wait,
    /// It drops the oldest messages in its ring that nobody has in hand, and counts them
    /// ([`crate::channel::LaneView::dropped`]). Where each receiver gets every message, one that is too slow is told how many
    /// it missed ([`crate::channel::RecvError::Lapped`]). A message in hand is not dropped: while one is, a full ring makes
    /// the sender wait, or refuses.
    DropOldest,
}

/// Who receives the messages of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Receivers {
    /// One receiver, which gets each sender's messages in order. The fastest.
    #[default]
    One,
    /// Up to 16 receivers, in any processes, that compete: each message goes to one of them. What one of them had in hand
    /// when its process died goes to another. Nearly as fast as [`Receivers::One`] while there is one, shared from the moment
    /// that a second attaches.
    ///
    /// Each sender's messages are taken in order, but for those that come again after a death; which receiver is done first is
    /// another matter. What comes again may have been worked at before the death, and is not marked.
    Competing,
    /// Up to 16 receivers, in any processes, that each get every message sent after they have attached, in each sender's
    /// order. The slowest holds the senders back. What is sent while there is none is received by nobody.
    Each,
}

/// Options that have been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckedOptions {
    pub(crate) geometry: Geometry,
    pub(crate) ring_class: u8,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            ring_bytes: None,
            ring_bytes_min: 1 << CLASS_FLOOR,
            ring_bytes_max: 1 << 24,
            message_bytes_max: 1024,
            senders_max: 16,
            receivers: Receivers::One,
            blocks: 64,
            when_full: WhenFull::Wait,
            order: Order::PerSender,
        }
    }
}

impl ChannelOptions {
    /// Bytes of the ring that each sender starts with.
    pub fn ring_bytes(mut self, bytes: u64) -> Self {
        self.ring_bytes = Some(bytes);
        self
    }

    /// The smallest ring that a resize may choose, bytes.
    pub fn ring_bytes_min(mut self, bytes: u64) -> Self {
        self.ring_bytes_min = bytes;
        self
    }

    /// The largest ring that a resize may choose, bytes.
    pub fn ring_bytes_max(mut self, bytes: u64) -> Self {
        self.ring_bytes_max = bytes;
        self
    }

    /// The longest message, bytes. Raises `ring_bytes_min` where it must.
    pub fn message_bytes_max(mut self, bytes: u32) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Senders that may be attached at a time.
    pub fn senders_max(mut self, senders: u32) -> Self {
        self.senders_max = senders;
        self
    }

    /// Blocks for messages longer than 16 KiB and for loans; each can hold the longest message, and has memory for the longest
    /// that it has held.
    pub fn blocks(mut self, blocks: u32) -> Self {
        self.blocks = blocks;
        self
    }

    /// What a sender does that finds its ring full.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// In which order the messages of several senders are received.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Who receives the messages.
    pub fn receivers(mut self, receivers: Receivers) -> Self {
        self.receivers = receivers;
        self
    }

    /// Creates the channel under `name`, in this user's host directory.
    ///
    /// # Errors
    /// [`ChannelError::BadOption`] for an option out of range; [`ChannelError::Shm`] for a name that cannot be used or
    /// is in use, and where memory cannot be had.
    pub fn create(self, name: &str) -> Result<Channel, ChannelError> {
        Channel::create_checked(Some(name), self.check()?)
    }

    /// Creates a channel that has no name: other threads reach it through clones of the handle.
    ///
    /// # Errors
    /// As [`ChannelOptions::create`], but for those of the name.
    pub fn create_anonymous(self) -> Result<Channel, ChannelError> {
        Channel::create_checked(None, self.check()?)
    }

    fn check(&self) -> Result<CheckedOptions, ChannelError> {
        let ceiling = 1 << CLASS_CEILING;
        in_range("ring_bytes_max", self.ring_bytes_max, 1 << CLASS_FLOOR, ceiling)?;
        in_range("message_bytes_max", self.message_bytes_max.into(), 1, MESSAGE_BYTES_CEILING.into())?;
        in_range("blocks", self.blocks.into(), 1, BLOCKS_CEILING.into())?;
        in_range("senders_max", self.senders_max.into(), 1, LANES_MAX.into())?;
        in_range("ring_bytes_min", self.ring_bytes_min, 1, self.ring_bytes_max)?;
        let class_max = class_of(self.ring_bytes_max);
        let for_messages = Geometry::class_for(self.message_bytes_max.min(RING_PAYLOAD_MAX));
        let class_min = class_of(self.ring_bytes_min).max(for_messages).max(CLASS_FLOOR);
        if class_min > class_max {
            in_range("message_bytes_max", self.message_bytes_max.into(), 1, (1 << (class_max - 1)) - 16)?;
        }
        let ring_bytes = self.ring_bytes.unwrap_or(RING_BYTES.min(self.ring_bytes_max));
        in_range("ring_bytes", ring_bytes, 1, self.ring_bytes_max)?;
        let ring_class = class_of(ring_bytes).max(class_min) as u8;
        let geometry = Geometry {
            lanes_max: self.senders_max,
            class_min,
            class_max,
            message_bytes_max: self.message_bytes_max,
            receivers: match self.receivers {
                Receivers::One => 0,
                Receivers::Competing => 1,
                Receivers::Each => 2,
            },
            blocks: self.blocks,
            when_full: match self.when_full {
                WhenFull::Wait => 0,
                WhenFull::DropOldest => 1,
            },
            order: match self.order {
                Order::PerSender => 0,
                Order::Global => 1,
            },
        };
        Ok(CheckedOptions { geometry, ring_class })
    }
}

/// The class of the smallest ring with at least `bytes` bytes.
pub(crate) fn class_of(bytes: u64) -> u32 {
    bytes.next_power_of_two().trailing_zeros()
}

fn in_range(option: &'static str, value: u64, low: u64, high: u64) -> Result<(), ChannelError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ChannelError::BadOption { option, value, range: format!("from {low} to {high}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_raise_the_smallest_ring() {
        let checked = ChannelOptions::default().message_bytes_max(30_000).check().unwrap();
        assert_eq!(checked.geometry.class_min, 16, "what goes through rings has at most 16 KiB");
        let checked = ChannelOptions::default().message_bytes_max(10_000).check().unwrap();
        assert_eq!(checked.geometry.class_min, 15);
    }

    #[test]
    fn an_option_that_is_not_set_refuses_none_that_is() {
        for bytes in [1 << 12, 1 << 15, 1 << 17] {
            let checked = ChannelOptions::default().ring_bytes_max(bytes).message_bytes_max(100).check().unwrap();
            assert_eq!(1 << checked.ring_class, bytes.min(1 << 16));
        }
    }

    #[test]
    fn options_out_of_range_are_named() {
        let options = ChannelOptions::default();
        for (bad, name) in [
            (options.clone().ring_bytes(0), "ring_bytes"),
            (options.clone().ring_bytes(1 << 25), "ring_bytes"),
            (options.clone().ring_bytes_max(1 << 31), "ring_bytes_max"),
            (options.clone().ring_bytes_min(1 << 25), "ring_bytes_min"),
            (options.clone().message_bytes_max(0), "message_bytes_max"),
            (options.clone().message_bytes_max((1 << 30) + 1), "message_bytes_max"),
            (options.clone().message_bytes_max(9_000).ring_bytes(4096).ring_bytes_max(4096), "message_bytes_max"),
            (options.clone().blocks(257), "blocks"),
            (options.clone().senders_max(65), "senders_max"),
        ] {
            let error = bad.check().unwrap_err();
            assert!(matches!(error, ChannelError::BadOption { option, .. } if option == name), "{error}");
        }
    }
}
