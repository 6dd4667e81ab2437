//! Many ends: several senders to one receiver or to several, or one sender to several receivers that each get all.
//!
//! The senders send numbers for a while and close; the receivers add up what they get until all have closed. So nothing
//! can be lost or doubled unseen, and the time is that of all messages, from the word to begin to the last receiver's end.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::rounds::{Quantity, Sample};

/// Messages between two looks at the clock.
const BATCH: u64 = 256;

/// How many ends, and for how long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Fan {
    /// Sending ends.
    pub senders: usize,
    /// Receiving ends.
    pub receivers: usize,
    /// Whether each receiver gets every message, or each message goes to one.
    pub each: bool,
    /// How long is sent.
    pub window: Duration,
    /// The core that every end runs on, if it is one.
    pub core: Option<usize>,
}

/// What an end has sent or received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Their sum, wrapping.
    pub sum: u64,
}

impl Tally {
    /// Counts a message.
    #[inline]
    pub fn add(&mut self, message: u64) {
        self.messages += 1;
        self.sum = self.sum.wrapping_add(message);
    }

    /// Sums tallies up.
    pub fn of(tallies: &[Self]) -> Self {
        tallies.iter().fold(Self::default(), |sum, one| Self {
            messages: sum.messages + one.messages,
            sum: sum.sum.wrapping_add(one.sum),
        })
    }
}

/// Sends numbers that tell the sender for the window.
///
/// # Errors
/// Those of `send`.
pub fn produce(fan: &Fan, sender: u64, mut send: impl FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<Tally> {
    let (mut tally, began) = (Tally::default(), Instant::now());
    while began.elapsed() < fan.window {
        for _ in 0..BATCH {
            let message = sender << 48 | tally.messages;
            send(message)?;
            tally.add(message);
        }
    }
    Ok(tally)
}

/// What a message took, all ends together.
///
/// # Errors
/// What was received is not what was sent.
pub fn samples(fan: &Fan, elapsed: Duration, sent: &[Tally], received: &[Tally]) -> anyhow::Result<Vec<Sample>> {
    let all = Tally::of(sent);
    if fan.each {
        ensure!(received.iter().all(|one| *one == all), "sent {all:?}, received {received:?}");
    } else {
        ensure!(Tally::of(received) == all, "sent {all:?}, received {received:?}");
    }
    Ok(vec![
        Sample { quantity: Quantity::Message, ns: elapsed.as_nanos() as f64 / all.messages as f64 },
        Sample::messages(all.messages),
    ])
}
