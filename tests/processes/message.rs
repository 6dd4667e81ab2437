//! A message whose loss, doubling, reordering or damage shows: producer, sequence number, and a body that follows
//! from both.

/// Longest message made here, bytes.
pub(crate) const BYTES_MAX: usize = 1000;
const HEAD: usize = 16;

/// Length of message `sequence` of `producer`: varies, so that frames wrap at every offset.
pub(crate) fn len(producer: u64, sequence: u64) -> usize {
    HEAD + (mix(producer << 32 ^ sequence) % (BYTES_MAX - HEAD) as u64) as usize
}

/// Fills `bytes` as message `sequence` of `producer`.
pub(crate) fn fill(bytes: &mut [u8], producer: u64, sequence: u64) {
    bytes[..8].copy_from_slice(&producer.to_le_bytes());
    bytes[8..HEAD].copy_from_slice(&sequence.to_le_bytes());
    for (byte, salt) in bytes[HEAD..].iter_mut().zip(0u64..) {
        *byte = mix(producer ^ sequence.wrapping_add(salt / 8)) as u8;
    }
}

/// Checks every byte and returns producer and sequence number.
pub(crate) fn check(bytes: &[u8]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let (producer, sequence) = (number(0), number(8));
    assert_eq!(bytes.len(), len(producer, sequence), "length of message {sequence} of {producer}");
    let mut expected = vec![0; bytes.len()];
    fill(&mut expected, producer, sequence);
    assert!(bytes == expected, "body of message {sequence} of {producer}");
    (producer, sequence)
}

/// SplitMix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// Checks that each producer's sequence numbers are 0, 1, 2, ...
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: std::collections::BTreeMap<u64, u64>,
}

impl Ledger {
    pub(crate) fn enter(&mut self, bytes: &[u8]) {
        let (producer, sequence) = check(bytes);
        let next = self.next.entry(producer).or_default();
        assert_eq!(sequence, *next, "producer {producer}: a message lost, doubled or out of order");
        *next += 1;
    }

    /// Messages of `producer` so far.
    pub(crate) fn count(&self, producer: u64) -> u64 {
        self.next.get(&producer).copied().unwrap_or(0)
    }
}
