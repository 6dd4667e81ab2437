//! A message of a replay: it can tell its loss, doubling and damage, and how long it was under way.

/// Bytes before the body: producer, sequence number, time due, checksum.
pub(crate) const HEAD_BYTES: usize = 32;
/// Longest message; longer records of a trace are sent as several.
pub(crate) const BYTES_MAX: usize = 1024;

/// What stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) producer: u64,
    pub(crate) sequence: u64,
    /// When it was due, or sent; nanoseconds on CLOCK_MONOTONIC.
    pub(crate) at_ns: u64,
}

/// Writes a message over the whole of `bytes`, which holds at least a head.
pub(crate) fn write(bytes: &mut [u8], head: Head) {
    let (start, body) = bytes.split_at_mut(HEAD_BYTES);
    for (chunk, salt) in body.chunks_mut(8).zip(0u64..) {
        let word = (head.sequence ^ salt << 32).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    start[..8].copy_from_slice(&head.producer.to_le_bytes());
    start[8..16].copy_from_slice(&head.sequence.to_le_bytes());
    start[16..24].copy_from_slice(&head.at_ns.to_le_bytes());
    let sum = u64::from(checksum(&start[..24], body));
    start[24..].copy_from_slice(&sum.to_le_bytes());
}

/// Reads a message; `None` if a single byte of it is not what was written.
pub(crate) fn read(bytes: &[u8]) -> Option<Head> {
    let (start, body) = bytes.split_at_checked(HEAD_BYTES)?;
    let number = |at: usize| -> Option<u64> { Some(u64::from_le_bytes(*start.get(at..)?.first_chunk()?)) };
    let head = Head { producer: number(0)?, sequence: number(8)?, at_ns: number(16)? };
    (number(24)? == u64::from(checksum(&start[..24], body))).then_some(head)
}

fn checksum(start: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(start);
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let head = Head { producer: 1, sequence: 77, at_ns: 123_456 };
        let mut bytes = vec![0; 100];
        write(&mut bytes, head);
        assert_eq!(read(&bytes), Some(head));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(read(&bytes[..20]), None);
    }
}
