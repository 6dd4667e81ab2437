//! Whether every message came, once and undamaged.

use serde::{Deserialize, Serialize};

use crate::message::{self, Head};

/// Senders at most.
const SENDERS: usize = 2;

/// What a receiver counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) corrupt: u64,
    #[serde(skip)]
    next: [u64; SENDERS],
}

impl Tally {
    /// Counts a message in; its head, if it is sound.
    pub(crate) fn count(&mut self, message: &[u8]) -> Option<Head> {
        self.received += 1;
        let head = message::read(message).filter(|head| head.producer < SENDERS as u64);
        match head {
            Some(head) => {
                let expected = &mut self.next[head.producer as usize];
                self.lost += head.sequence.saturating_sub(*expected);
                self.duplicated += u64::from(head.sequence < *expected);
                *expected = (*expected).max(head.sequence + 1);
            }
            None => self.corrupt += 1,
        }
        head
    }

    /// What was lost of so many sent, with what no later message told of.
    pub(crate) fn lost_of(&self, sent: u64) -> u64 {
        self.lost + sent.saturating_sub(self.received + self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_doubled_or_damaged_is_counted() {
        let mut tally = Tally::default();
        let message = |producer, sequence| {
            let mut bytes = vec![0; 64];
            message::write(&mut bytes, Head { producer, sequence, at_ns: 0 });
            bytes
        };
        for (producer, sequence) in [(0, 0), (1, 0), (0, 3), (0, 3), (1, 1)] {
            assert!(tally.count(&message(producer, sequence)).is_some());
        }
        assert_eq!(tally.count(&[0; 64]), None);
        assert_eq!(tally.count(&message(7, 0)), None);
        assert_eq!((tally.received, tally.lost, tally.duplicated, tally.corrupt), (7, 2, 1, 2));
        assert_eq!(tally.lost_of(12), 5);
    }
}
