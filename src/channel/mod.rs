//! Named channels: endpoints in any number of processes, and everything about them that changes while traffic flows.

mod asynchronous;
mod batch;
mod blocks;
mod claim;
#[cfg(test)]
mod claimed;
mod core;
#[cfg(test)]
mod deaths;
mod error;
mod guard;
#[cfg(test)]
mod handover;
mod held;
mod helm;
mod joining;
mod lane;
mod lanes;
mod layout;
mod lead;
mod loan;
#[cfg(test)]
mod one_order;
mod options;
mod place;
mod presence;
mod receiver;
mod resize;
mod room;
mod seats;
mod sender;
#[cfg(test)]
mod sharing;
mod slab;
mod sole;
#[cfg(test)]
mod spoilt;
mod turns;
mod typed;
#[cfg(test)]
mod upgrade;
mod view;
#[cfg(test)]
mod wakes;

pub use self::core::Channel;
pub(crate) use crate::sync::wait::cpus;

/// Bytes of a ring that a message of `len` bytes takes: a header and the payload, to whole words. What is longer than
/// 16 KiB lies in a block, and takes 16 bytes.
pub fn ring_bytes_of(len: u32) -> u64 {
    let is_in_block = u64::from(len) > crate::shm::header::RING_PAYLOAD_MAX.into();
    crate::ring::word::frame_bytes(if is_in_block { crate::ring::word::LOAN_LEN } else { len })
}

pub use asynchronous::{AsyncReceiver, AsyncSender};
pub use batch::RecvBatch;
pub use claim::Claim;
pub use error::{ChannelError, RecvError, ResizeError, SendBatchError, SendError, TryRecvError, TrySendError};
pub use guard::Guard;
pub use held::Held;
pub use helm::{Helm, Steered};
pub use loan::{Loan, RefusedLoan};
pub use options::{ChannelOptions, Order, Receivers, WhenFull};
pub use receiver::Receiver;
pub use resize::Resize;
pub use sender::Sender;
pub use typed::{TypedGuard, TypedReceiver, TypedSender};
pub use view::{ChannelView, LaneView, WaitView};
