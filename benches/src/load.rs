//! What is sent, and how it is timed. The same for every system.
//!
//! Every byte of a payload is written and read: a message is its sequence number, over and over, and the receiver adds
//! up its words, which also tells whether a message was lost, torn or out of order.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::rounds::{Quantity, Sample};

/// Bytes of the words that a payload is made of.
pub const WORD: usize = size_of::<u64>();
/// The sequence number that ends a one-way load.
pub const END: u64 = u64::MAX;
/// Windows that the sender sends for. It begins its first when it is ahead of the receiver by what the ring holds, and
/// must not end while the receiver measures: emptying a ring that nobody fills is faster.
const SENDER_WINDOWS: u32 = 2;
/// Messages between two looks at the clock, which would cost as much as a message does.
const BATCH: u64 = 256;
/// Round trips recorded in one measurement.
const ROUND_TRIPS_MAX: usize = 1 << 22;

/// The messages of one measurement.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Load {
    /// Payload of a message, a multiple of [`WORD`].
    pub bytes: usize,
    /// Messages, or round trips, before the measurement begins.
    pub warm_up_messages: u64,
    /// How long is measured after that.
    pub window: Duration,
}

impl Load {
    /// A load whose warm-up goes round a ring of `ring_bytes` twice, so that its pages are mapped at both ends.
    pub fn for_ring(bytes: usize, ring_bytes: u64, window: Duration) -> Self {
        Self { bytes, warm_up_messages: 2 * ring_bytes / bytes as u64, window }
    }

    fn words(&self) -> u64 {
        (self.bytes / WORD) as u64
    }
}

/// Writes the whole of a payload.
#[inline]
pub fn fill(payload: &mut [u8], sequence: u64) {
    for word in payload.chunks_exact_mut(WORD) {
        word.copy_from_slice(&sequence.to_ne_bytes());
    }
}

/// Reads the whole of a payload: the sum of its words.
#[inline]
pub fn sum(payload: &[u8]) -> u64 {
    let words = payload.as_chunks::<WORD>().0;
    words.iter().fold(0, |sum, &word| sum.wrapping_add(u64::from_ne_bytes(word)))
}

/// The sending end of a one-way load: calls `send` with the sequence number of each message.
///
/// # Errors
/// Those of `send`.
pub fn produce(load: &Load, mut send: impl FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for sequence in 0..load.warm_up_messages {
        send(sequence)?;
    }
    let began = Instant::now();
    let mut sequence = load.warm_up_messages;
    while began.elapsed() < load.window * SENDER_WINDOWS {
        for _ in 0..BATCH {
            send(sequence)?;
            sequence += 1;
        }
    }
    send(END)
}

/// The receiving end of a one-way load: calls `receive` for the [`sum`] of each message, to the last, and yields the
/// time a message takes in the window after the warm-up.
///
/// # Errors
/// Those of `receive`, and a message that was lost, torn or out of order.
pub fn consume(load: &Load, receive: impl FnMut() -> anyhow::Result<u64>) -> anyhow::Result<Vec<Sample>> {
    let mut arrivals = Arrivals::of(load, receive)?;
    let ns = arrivals.time(load.window)?;
    Ok(vec![Sample { quantity: Quantity::Message, ns }, Sample::messages(arrivals.finish()?)])
}

/// What arrives of a one-way load, after its warm-up.
pub(crate) struct Arrivals<F> {
    receive: F,
    words: u64,
    /// What the words of the next message add up to.
    expected: u64,
    ended: bool,
}

impl<F: FnMut() -> anyhow::Result<u64>> Arrivals<F> {
    /// Receives the warm-up.
    pub(crate) fn of(load: &Load, receive: F) -> anyhow::Result<Self> {
        let mut arrivals = Self { receive, words: load.words(), expected: 0, ended: false };
        for _ in 0..load.warm_up_messages {
            arrivals.next()?;
            ensure!(!arrivals.ended, "the load ended in its warm-up");
        }
        Ok(arrivals)
    }

    /// Receives for so long, or to the end; yields nanoseconds a message.
    pub(crate) fn time(&mut self, window: Duration) -> anyhow::Result<f64> {
        let (began, mut messages): (_, u64) = (Instant::now(), 0);
        while !self.ended && began.elapsed() < window {
            for _ in 0..BATCH {
                self.next()?;
                messages += 1;
                if self.ended {
                    break;
                }
            }
        }
        Ok(began.elapsed().as_nanos() as f64 / messages as f64)
    }

    pub(crate) fn have_ended(&self) -> bool {
        self.ended
    }

    /// Receives what is left; yields the messages there were in all.
    pub(crate) fn finish(mut self) -> anyhow::Result<u64> {
        while !self.ended {
            self.next()?;
        }
        Ok(self.expected / self.words)
    }

    #[inline]
    fn next(&mut self) -> anyhow::Result<()> {
        let sum = (self.receive)()?;
        if sum == END.wrapping_mul(self.words) {
            self.ended = true;
            return Ok(());
        }
        check(sum, self.expected)?;
        self.expected = self.expected.wrapping_add(self.words);
        Ok(())
    }
}

/// Calls `exchange` with the sequence number of each message, for the [`sum`] of what came back; yields the median
/// and the 99th percentile of the time that takes. One clock read is part of each round trip.
///
/// # Errors
/// Those of `exchange`, and an answer that is not what was sent.
pub fn round_trips(load: &Load, mut exchange: impl FnMut(u64) -> anyhow::Result<u64>) -> anyhow::Result<Vec<Sample>> {
    for sequence in 0..load.warm_up_messages {
        check(exchange(sequence)?, sequence.wrapping_mul(load.words()))?;
    }
    // Not 0, so that its pages are there before the measurement.
    let mut nanoseconds = vec![u32::MAX; ROUND_TRIPS_MAX];
    let mut recorded = 0;
    let began = Instant::now();
    let mut sent = began;
    for slot in &mut nanoseconds {
        let sequence = load.warm_up_messages + recorded as u64;
        check(exchange(sequence)?, sequence.wrapping_mul(load.words()))?;
        let now = Instant::now();
        *slot = u32::try_from((now - sent).as_nanos()).unwrap_or(u32::MAX);
        recorded += 1;
        sent = now;
        if now - began >= load.window {
            break;
        }
    }
    let nanoseconds = &mut nanoseconds[..recorded];
    nanoseconds.sort_unstable();
    let percentile = |percent: usize| f64::from(nanoseconds[(recorded - 1) * percent / 100]);
    Ok(vec![
        Sample { quantity: Quantity::RoundTripP50, ns: percentile(50) },
        Sample { quantity: Quantity::RoundTripP99, ns: percentile(99) },
        // There and back.
        Sample::messages(2 * (load.warm_up_messages + recorded as u64)),
    ])
}

#[inline]
fn check(sum: u64, expected: u64) -> anyhow::Result<()> {
    ensure!(sum == expected, "a message was lost, torn or out of order: its words add up to {sum}, not {expected}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { bytes: 24, warm_up_messages: 10, window: Duration::from_millis(1) };

    fn messages() -> Vec<[u8; 24]> {
        let mut messages = Vec::new();
        let send = |sequence| {
            let mut payload = [0; 24];
            fill(&mut payload, sequence);
            messages.push(payload);
            Ok(())
        };
        produce(&LOAD, send).unwrap();
        messages
    }

    #[test]
    fn what_is_produced_can_be_consumed() {
        let sent = messages();
        let mut left = sent.iter();
        let samples = consume(&LOAD, || Ok(sum(left.next().unwrap()))).unwrap();
        assert_eq!(samples.len(), 2);
        assert!(left.next().is_none(), "the end came before the last message");
    }

    #[test]
    fn a_lost_message_is_noticed() {
        let mut sent = messages();
        sent.remove(7);
        let mut left = sent.iter();
        assert!(consume(&LOAD, || Ok(sum(left.next().unwrap()))).is_err());
    }

    #[test]
    fn a_torn_message_is_noticed() {
        let mut sent = messages();
        sent[20][9] ^= 1;
        let mut left = sent.iter();
        assert!(consume(&LOAD, || Ok(sum(left.next().unwrap()))).is_err());
    }
}
