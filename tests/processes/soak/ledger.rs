//! What was sent and what was received, held against each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use tidegate::{Order, Receivers};

use super::worker::{BATCH_MAX, FIRST};

/// What is known of one channel.
pub(super) struct Ledger {
    receivers: Receivers,
    order: Order,
    dead_senders: HashSet<u64>,
    dead_receivers: HashSet<u64>,
}

/// What one receiver has noted, and where what it had in hand last begins.
struct Log {
    number: u64,
    messages: Vec<(u64, u64)>,
    last_hand: usize,
}

impl Ledger {
    pub(super) fn new(receivers: Receivers, order: Order) -> Self {
        Self { receivers, order, dead_senders: HashSet::new(), dead_receivers: HashSet::new() }
    }

    pub(super) fn died(&mut self, is_receiver: bool, number: u64) {
        let dead = if is_receiver { &mut self.dead_receivers } else { &mut self.dead_senders };
        dead.insert(number);
    }

    /// How many messages were received, if each was that was sent, and none twice but from a dead receiver's hand.
    pub(super) fn check(&self, notes: &Path) -> Result<u64, String> {
        let (mut sent, mut logs) = (BTreeMap::new(), Vec::new());
        for entry in std::fs::read_dir(notes).expect("notes").flatten() {
            let (name, bytes) = (entry.file_name(), std::fs::read(entry.path()).expect("notes"));
            let (kind, number) = name.to_str().and_then(|name| name.split_once('-')).expect("named by a worker");
            let number = number.parse().expect("a number");
            if kind == "sent" {
                sent.insert(number, bytes.try_into().map_or(0, u64::from_le_bytes));
            } else {
                logs.push(log(number, &bytes));
            }
        }
        match self.receivers {
            Receivers::Each => logs.iter().try_for_each(|log| self.check_follower(log, &sent))?,
            _ => self.check_counts(&logs, &sent)?,
        }
        if self.order == Order::Global {
            self.check_one_order(&logs)?;
        }
        Ok(logs.iter().map(|log| log.messages.len() as u64).sum())
    }

    /// How many messages a sender may have sent, when it has noted so many.
    fn most(&self, sender: u64, noted: u64) -> u64 {
        if self.dead_senders.contains(&sender) { noted + BATCH_MAX } else { noted }
    }

    fn check_counts(&self, logs: &[Log], sent: &BTreeMap<u64, u64>) -> Result<(), String> {
        // Of each message: how often it was received, but for what died in a hand, and in dead hands.
        let mut received: HashMap<(u64, u64), (u32, u32)> = HashMap::new();
        for log in logs {
            let dies_from = if self.dead_receivers.contains(&log.number) { log.last_hand } else { log.messages.len() };
            for (at, &message) in log.messages.iter().enumerate() {
                let counts = received.entry(message).or_default();
                *(if at < dies_from { &mut counts.0 } else { &mut counts.1 }) += 1;
            }
        }
        for (&(sender, number), &(surely, in_dead_hands)) in &received {
            let noted = *sent.get(&sender).ok_or(format!("nobody is sender {sender}"))?;
            if number >= self.most(sender, noted) {
                return Err(format!("message {number} of {sender}, which has sent {noted}"));
            }
            if surely > 1 {
                return Err(format!("message {number} of {sender} came {surely} times and {in_dead_hands}"));
            }
        }
        for (&sender, &noted) in sent {
            // Those that are not noted any more: with no gap.
            let beyond =
                (noted..self.most(sender, noted)).take_while(|&number| received.contains_key(&(sender, number)));
            let end = noted + beyond.count() as u64;
            if let Some(lost) = (0..end).find(|&number| !received.contains_key(&(sender, number))) {
                return Err(format!("message {lost} of {sender}, which has sent {noted}, is lost"));
            }
            if (end..self.most(sender, noted)).any(|number| received.contains_key(&(sender, number))) {
                return Err(format!("of {sender} a message came from behind a gap at {end}"));
            }
        }
        Ok(())
    }

    /// A receiver that gets every message has all, one by one, from when it joined to the end, or its death.
    fn check_follower(&self, log: &Log, sent: &BTreeMap<u64, u64>) -> Result<(), String> {
        let mut next = HashMap::new();
        for &(sender, number) in &log.messages {
            if *next.entry(sender).or_insert(number) != number {
                return Err(format!("receiver {}: message {number} of {sender}, not {}", log.number, next[&sender]));
            }
            next.insert(sender, number + 1);
        }
        for (&sender, &noted) in sent {
            let Some(&end) = next.get(&sender) else { continue };
            if end > self.most(sender, noted) || end < noted && !self.dead_receivers.contains(&log.number) {
                return Err(format!("receiver {}: {end} of the {noted} messages of {sender}", log.number));
            }
        }
        Ok(())
    }

    /// Whoever receives two of the messages receives them in the same order.
    fn check_one_order(&self, logs: &[Log]) -> Result<(), String> {
        if self.receivers != Receivers::Each {
            return Ok(());
        }
        let mut after = HashMap::new();
        for log in logs {
            for pair in log.messages.windows(2) {
                let next = *after.entry(pair[0]).or_insert(pair[1]);
                if next != pair[1] {
                    return Err(format!(
                        "after {:?} comes {next:?}, and for receiver {} {:?}",
                        pair[0], log.number, pair[1]
                    ));
                }
            }
        }
        Ok(())
    }
}

fn log(number: u64, bytes: &[u8]) -> Log {
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
    let words: Vec<u64> = words.collect();
    let last_hand = words.iter().rposition(|word| word & FIRST != 0).unwrap_or(0);
    let messages = words.iter().map(|word| word & !FIRST).map(|word| (word >> 32, word & 0xffff_ffff)).collect();
    Log { number, messages, last_hand }
}
