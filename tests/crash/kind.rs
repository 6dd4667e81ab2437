//! The kinds of channel that the scenarios are run on.

use tidegate::{Channel, ChannelOptions, Order, Receivers, WaitStrategy, WhenFull};

/// Bytes of the smallest ring, from which a channel starts.
pub(crate) const RING_BYTES: u64 = 1 << 16;
/// Blocks of a channel.
pub(crate) const BLOCKS: usize = 4;
/// Bytes of a message that goes through a ring.
pub(crate) const SHORT: usize = 1500;
/// Bytes of a message that goes through a block.
pub(crate) const LONG: usize = 20_000;
/// Of so many messages of the referee one is long.
pub(crate) const LONG_EVERY: u64 = 10;

/// A kind of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    Competing,
    Each,
    OneOrder,
    OneOrderEach,
    Dropping,
    EachDropping,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::One,
        Self::Competing,
        Self::Each,
        Self::OneOrder,
        Self::OneOrderEach,
        Self::Dropping,
        Self::EachDropping,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Competing => "competing",
            Self::Each => "each",
            Self::OneOrder => "one_order",
            Self::OneOrderEach => "one_order_each",
            Self::Dropping => "dropping",
            Self::EachDropping => "each_dropping",
        }
    }

    pub(crate) fn receivers(self) -> Receivers {
        match self {
            Self::One | Self::OneOrder => Receivers::One,
            Self::Competing | Self::Dropping => Receivers::Competing,
            Self::Each | Self::OneOrderEach | Self::EachDropping => Receivers::Each,
        }
    }

    /// Whether messages may be dropped on purpose.
    pub(crate) fn drops(self) -> bool {
        matches!(self, Self::Dropping | Self::EachDropping)
    }

    pub(crate) fn is_one_order(self) -> bool {
        matches!(self, Self::OneOrder | Self::OneOrderEach)
    }

    /// A channel of that kind, whose endpoints sleep at once.
    pub(crate) fn create(self, name: &str) -> Channel {
        let options: ChannelOptions = Channel::options()
            .ring_bytes(RING_BYTES)
            .ring_bytes_max(4 * RING_BYTES)
            .message_bytes_max(LONG as u32)
            .blocks(BLOCKS as u32)
            .senders_max(4)
            .receivers(self.receivers())
            .when_full(if self.drops() { WhenFull::DropOldest } else { WhenFull::Wait })
            .order(if self.is_one_order() { Order::Global } else { Order::PerSender });
        let channel = options.create(name).expect("create");
        channel.set_wait_strategy(WaitStrategy::Park);
        channel
    }
}
