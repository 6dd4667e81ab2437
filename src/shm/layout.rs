//! Where everything lies in a segment. Offsets, sizes and the ABI hash; no behaviour.
//!
//! ```text
//! offset 0      Header            magic, ABI hash, geometry; written once by the creator
//!        4 KiB  ParticipantTable  who takes part: pid, start time, role
//!       20 KiB  (upper layers)    the channel's control words and its lanes, see `channel::layout`
//!       ...     lane areas        from `data_offset`: one area of 2^(class_max + 1) bytes a lane,
//!                                 in which the ring of class c is the range [2^c, 2^(c+1))
//! ```

use crate::prim::{AtomicU32, AtomicU64};
use crate::shm::window::SharedLayout;

/// `TIDEGATE` in ASCII, little-endian.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"TIDEGATE");
/// Raised with every change of layout or protocol.
pub(crate) const VERSION: u32 = 8;
/// Participants that one channel can have at a time: handles and endpoints.
pub(crate) const PARTICIPANTS_MAX: usize = 256;
/// Offset of the participant table.
pub(crate) const PARTICIPANTS_OFFSET: usize = 4096;
/// First offset that belongs to the upper layers.
pub(crate) const UPPER_OFFSET: usize = PARTICIPANTS_OFFSET + PARTICIPANTS_MAX * size_of::<Participant>();

/// The first words of a segment. Only the creator writes them, before the segment can be found.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    /// [`MAGIC`]; stored last, with Release, by the creator.
    pub(crate) magic: AtomicU64,
    /// [`ABI_HASH`].
    pub(crate) abi_hash: AtomicU64,
    /// [`VERSION`].
    pub(crate) version: AtomicU32,
    /// Bytes of a page on the creating kernel.
    pub(crate) page_bytes: AtomicU32,
    /// Bytes of the whole segment.
    pub(crate) segment_bytes: AtomicU64,
    /// Random, so that two segments of one name in turn are told apart.
    pub(crate) segment_id: AtomicU64,
    /// What the segment is: see [`Kind`].
    pub(crate) kind: AtomicU32,
    /// Of a mutex, the bytes of the value that it guards; of a semaphore, its permits; else 0.
    pub(crate) size: AtomicU32,
    /// Lanes there is room for, 1 to 64.
    pub(crate) lanes_max: AtomicU32,
    /// Smallest ring, log2 bytes.
    pub(crate) class_min: AtomicU32,
    /// Largest ring, log2 bytes.
    pub(crate) class_max: AtomicU32,
    /// Longest payload, bytes.
    pub(crate) message_bytes_max: AtomicU32,
    /// How receivers share the messages: 0 one receiver, 1 competing, 2 each gets all.
    pub(crate) receivers: AtomicU32,
    /// Blocks for long payloads.
    pub(crate) blocks: AtomicU32,
    /// What a sender does that finds no room: 0 it waits or is refused, 1 it drops the oldest messages.
    pub(crate) when_full: AtomicU32,
    /// In which order the messages of several senders are received: 0 each sender's, 1 as room was claimed.
    pub(crate) order: AtomicU32,
}

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Channel = 1,
    Mutex = 2,
    Semaphore = 3,
    Tokens = 4,
    Flag = 5,
    Condition = 6,
    RwLock = 7,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Channel, Self::Mutex, Self::Semaphore, Self::Tokens, Self::Flag, Self::Condition, Self::RwLock];

    /// The kind that a header's word says.
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == word)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Mutex => "mutex",
            Self::Semaphore => "semaphore",
            Self::Tokens => "tokens",
            Self::Flag => "flag",
            Self::Condition => "condition",
            Self::RwLock => "rwlock",
        }
    }
}

/// One slot of the participant table.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Participant {
    /// 0 free, else role << 62 | generation << 40 | slot << 32 | pid. Claimed by CAS from 0, under the slot's lock;
    /// cleared by its owner, or by a sweeper with proof of death.
    pub(crate) owner: AtomicU64,
    /// Start time of the process in clock ticks since boot (field 22 of `/proc/PID/stat`); 0 while unknown.
    pub(crate) start_time: AtomicU64,
    /// Inode of the process's pid namespace: only inside it does the pid mean anything.
    pub(crate) pid_namespace: AtomicU64,
    /// Inode of its time namespace: only inside it does the start time.
    pub(crate) time_namespace: AtomicU64,
    /// Claims of this slot so far; written under the slot's lock.
    pub(crate) claims: AtomicU64,
    pub(crate) _pad: [AtomicU64; 3],
}

/// The words that say how a channel is used and tuned.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct ControlWords {
    /// 0: no receiver yet; [`RECEIVER_GONE`]: it has closed; else the receiver's participant word, or, where receivers have
    /// seats, what [`crate::channel`]'s `place` says.
    pub(crate) receiver: AtomicU64,
    /// The wait strategy; written by whoever tunes the channel.
    pub(crate) strategy: AtomicU64,
    /// Lanes that have a ring, a prefix of all; grows under the structure lock.
    pub(crate) lanes_used: AtomicU64,
    /// Class of the rings that the plan asks for; written under the structure lock.
    pub(crate) ring_class: AtomicU64,
    /// Senders attached so far; grows under the structure lock, before the sender has a lane.
    pub(crate) senders_attached: AtomicU64,
    /// 1 once a receiver waits for what others have in hand: they say when they are done with it.
    pub(crate) finishing: AtomicU64,
    /// Participant word of the receiver that was found dead last, when no other was left. 0: none.
    pub(crate) receiver_died: AtomicU64,
    /// Receivers that took a seat so far; grows under the structure lock.
    pub(crate) receivers_attached: AtomicU64,
    /// Participant words of the receivers that share a channel. Taken under the structure lock; cleared by the receiver, or
    /// under the structure lock by a sweeper with proof of death.
    pub(crate) seats: [AtomicU64; SEATS],
    /// Participant word of the handle that tunes the channel; 0: nobody does.
    pub(crate) helm: AtomicU64,
}

/// Receivers that can share a channel.
pub(crate) const SEATS: usize = 16;

/// [`ControlWords::receiver`]: closed.
pub(crate) const RECEIVER_GONE: u64 = u64::MAX;

/// The participant table.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ParticipantSlots {
    pub(crate) slots: [Participant; PARTICIPANTS_MAX],
}

// SAFETY: atomics only, `repr(C)`.
unsafe impl SharedLayout for Header {}
// SAFETY: atomics only, `repr(C)`.
unsafe impl SharedLayout for ParticipantSlots {}
// SAFETY: atomics only, `repr(C)`.
unsafe impl SharedLayout for ControlWords {}

const _: () = assert!(size_of::<Header>() <= PARTICIPANTS_OFFSET);
const _: () = assert!(size_of::<Participant>() == 64);
const _: () = assert!(UPPER_OFFSET == 20 * 1024);
#[cfg(not(target_endian = "little"))]
compile_error!("the shared layout is little-endian");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("segments are mapped whole, which needs a 64-bit address space");

/// FNV-1a (Fowler, Noll, Vo) over numbers: equal only where both builds agree on every offset and size fed to it.
pub(crate) const fn abi_hash(numbers: &[usize]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < numbers.len() {
        let bytes = (numbers[i] as u64).to_le_bytes();
        let mut b = 0;
        while b < 8 {
            hash = (hash ^ bytes[b] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            b += 1;
        }
        i += 1;
    }
    hash
}
