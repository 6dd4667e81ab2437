//! Messages that show their loss, doubling, reordering and damage.

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Producer {
    /// The process that is killed.
    Child = 1,
    /// The referee.
    Referee = 2,
    /// Nobody: it is in claims that are given up.
    Nobody = 3,
}

/// A message received: who sent it, and its number.
pub(crate) type Entry = (u64, u64);

/// Fills `bytes`, 16 or more, as message `number` of `producer`.
pub(crate) fn fill(bytes: &mut [u8], producer: Producer, number: u64) {
    let word = |at: usize| (number ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (head, body) = bytes.split_at_mut(16);
    head[..8].copy_from_slice(&(producer as u64).to_le_bytes());
    head[8..].copy_from_slice(&number.to_le_bytes());
    for (at, chunk) in body.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&word(at).to_le_bytes()[..chunk.len()]);
    }
}

/// A message of `len` bytes.
pub(crate) fn message(len: usize, producer: Producer, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(&mut bytes, producer, number);
    bytes
}

/// Checks every byte.
pub(crate) fn read(bytes: &[u8]) -> Result<Entry, String> {
    let number_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (Some(producer), Some(number)) = (number_at(0), number_at(8)) else {
        return Err(format!("a message of {} bytes", bytes.len()));
    };
    let known = [Producer::Child, Producer::Referee].into_iter().find(|&known| known as u64 == producer);
    let known = known.ok_or_else(|| format!("a message of {producer}, which nobody has sent"))?;
    if bytes == message(bytes.len(), known, number) {
        Ok((producer, number))
    } else {
        Err(format!("message {number} of {producer} is damaged"))
    }
}
