//! The three words of the ring protocol, and their state tables. Steps are those of `PROTOCOL.md`.

/// Bytes of a frame's header, and the boundary frames start on.
pub(crate) const WORD: u64 = 8;

/// What stands at a position of the ring.
///
/// | value | state | written by |
/// |---|---|---|
/// | 0 | nothing is committed here | the producer, ahead of every commit (P3) |
/// | length << 32 \| 1 | a frame: `length` payload bytes follow | the producer, at commit (P4) |
/// | 2 | padding up to the end of the ring | the producer, when a frame does not fit before the end (P2) |
/// | class << 8 \| 3 | the ring ends here and goes on in the ring of `class` | the producer, when it moves (M4) |
/// | length << 32 \| seat << 8 \| 4 | a frame that the competing consumer in `seat` has taken | that consumer (T2) |
/// | length << 32 \| seat << 8 \| 1 << 16 \| 4 | the same, of a loan | that consumer (T2) |
/// | length << 32 \| 5 | a frame that is done with; of a loan, one of 8 bytes | who took it (T4) |
/// | length << 32 \| 6 | a loan: one word follows, the number of the block that `length` payload bytes are in | the producer, at commit (P4) |
/// | length << 32 \| sender << 8 \| 7 | room that `sender`, one of the producers of a lane that they share, has claimed | that producer (Q4) |
/// | length << 32 \| 8 | nothing, in the room of a frame: the rest of a claim, or one that was given up | who had claimed it (Q5, Q6), who finds it dead (Q8) |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameHeader {
    Empty,
    Data { len: u32 },
    Pad,
    Closed { class: u8 },
    Taken { len: u32, seat: u8, is_loan: bool },
    Done { len: u32 },
    Loan { len: u32 },
    Claimed { len: u32, sender: u8 },
    Void { len: u32 },
}

impl FrameHeader {
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Data { len } => u64::from(len) << 32 | 1,
            Self::Pad => 2,
            Self::Closed { class } => u64::from(class) << 8 | 3,
            Self::Taken { len, seat, is_loan } => {
                u64::from(len) << 32 | u64::from(is_loan) << 16 | u64::from(seat) << 8 | 4
            }
            Self::Done { len } => u64::from(len) << 32 | 5,
            Self::Loan { len } => u64::from(len) << 32 | 6,
            Self::Claimed { len, sender } => u64::from(len) << 32 | u64::from(sender) << 8 | 7,
            Self::Void { len } => u64::from(len) << 32 | 8,
        }
    }

    /// Reads a word that any process may have written; `None` for one that the protocol never writes.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let header = match word & 0xff {
            0 => Self::Empty,
            1 => Self::Data { len: (word >> 32) as u32 },
            2 => Self::Pad,
            3 => Self::Closed { class: (word >> 8) as u8 },
            4 => Self::Taken { len: (word >> 32) as u32, seat: (word >> 8) as u8, is_loan: word >> 16 & 1 == 1 },
            5 => Self::Done { len: (word >> 32) as u32 },
            6 => Self::Loan { len: (word >> 32) as u32 },
            7 => Self::Claimed { len: (word >> 32) as u32, sender: (word >> 8) as u8 },
            8 => Self::Void { len: (word >> 32) as u32 },
            _ => return None,
        };
        (header.to_word() == word).then_some(header)
    }
}

impl FrameHeader {
    /// Bytes that the frame takes in the ring; `None` for what is no frame.
    pub(crate) fn frame_bytes(self) -> Option<u64> {
        match self {
            Self::Data { len }
            | Self::Taken { len, is_loan: false, .. }
            | Self::Done { len }
            | Self::Claimed { len, .. }
            | Self::Void { len } => Some(frame_bytes(len)),
            Self::Loan { .. } | Self::Taken { is_loan: true, .. } => Some(LOAN_FRAME_BYTES),
            Self::Empty | Self::Pad | Self::Closed { .. } => None,
        }
    }

    /// The length in a word that says [`FrameHeader::Data`]: what nearly every word says.
    #[inline]
    pub(crate) fn data_len(word: u64) -> Option<u32> {
        (word as u32 == 1).then_some((word >> 32) as u32)
    }
}

/// Payload bytes of a loan's frame: the block's number.
pub(crate) const LOAN_LEN: u32 = 8;
/// Bytes of the ring that a loan's frame takes.
const LOAN_FRAME_BYTES: u64 = WORD + LOAN_LEN as u64;

/// Bytes of the ring that a frame of `len` payload bytes takes.
#[inline]
pub(crate) fn frame_bytes(len: u32) -> u64 {
    (u64::from(len) + 2 * WORD - 1) & !(WORD - 1)
}

/// Positions are less than this (2^55 bytes are 5 days at 75 GB/s): the bit above says something else in some words.
pub(crate) const POSITION_END: u64 = 1 << 55;

/// How far one side has come: `class << 56 | position`.
///
/// Positions count bytes from the lane's beginning, never wrap (2^56 bytes are 11 days at 75 GB/s) and do not restart
/// with a new ring, so the difference of two cursors is the bytes between them, whatever rings they are in. 0 means
/// that the lane has no ring yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) class: u8,
    pub(crate) position: u64,
}

impl Cursor {
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.class) << 56 | self.position
    }

    pub(crate) fn from_word(word: u64) -> Self {
        Self { class: (word >> 56) as u8, position: word & ((1 << 56) - 1) }
    }
}

/// A request to move to another ring: `state | class << 8`.
///
/// | value | state | written by |
/// |---|---|---|
/// | 0 | none | the resizer that withdraws (R5), the producer that has moved (M5) |
/// | class << 8 \| 1 | offered: the ring of `class` is backed and unused | the resizer (R4) |
/// | class << 8 \| 2 | taken: the producer is moving | the producer, by CAS (M1) |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    None,
    Offered { class: u8 },
    Taken { class: u8 },
}

impl Offer {
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Offered { class } => u64::from(class) << 8 | 1,
            Self::Taken { class } => u64::from(class) << 8 | 2,
        }
    }

    /// Reads any word; what the protocol never writes is no offer.
    pub(crate) fn from_word(word: u64) -> Self {
        match word & 0xff {
            1 => Self::Offered { class: (word >> 8) as u8 },
            2 => Self::Taken { class: (word >> 8) as u8 },
            _ => Self::None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_their_words_and_other_words_are_refused() {
        for header in [
            FrameHeader::Empty,
            FrameHeader::Data { len: 0 },
            FrameHeader::Data { len: u32::MAX },
            FrameHeader::Pad,
            FrameHeader::Closed { class: 30 },
            FrameHeader::Taken { len: 7, seat: 15, is_loan: false },
            FrameHeader::Taken { len: 1 << 20, seat: 0, is_loan: true },
            FrameHeader::Loan { len: 1 << 20 },
            FrameHeader::Done { len: u32::MAX },
            FrameHeader::Claimed { len: 1 << 20, sender: 63 },
            FrameHeader::Void { len: 0 },
        ] {
            assert_eq!(FrameHeader::from_word(header.to_word()), Some(header));
            let len = FrameHeader::data_len(header.to_word());
            assert_eq!(
                len.map(|len| FrameHeader::Data { len }),
                matches!(header, FrameHeader::Data { .. }).then_some(header)
            );
        }
        for word in [9, 0x100, 8 | 0x100, 7 | 0x1_0000, 4 | 0x2_0000, 1 | 0x100, 2 | 1 << 32, u64::MAX] {
            assert_eq!(FrameHeader::from_word(word), None, "{word:#x}");
        }
    }

    #[test]
    fn frames_start_on_word_boundaries() {
        assert_eq!([0, 1, 8, 9, 64].map(frame_bytes), [8, 16, 16, 24, 72]);
        assert_eq!(frame_bytes(u32::MAX), 8 + (1 << 32));
    }
}
