//! What referees of channels have in common: receivers that write down what comes, and the look at what is left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate::channel::{RecvError, SendError};
use tidegate::{Channel, Receiver, Sender};

use crate::child::{PATIENCE, wait_until};
use crate::kind::{BLOCKS, LONG, LONG_EVERY, RING_BYTES, SHORT};
use crate::ledger::{self, Entry, Producer};

/// Looks at the memory behind a channel, a millisecond apart.
const LOOKS: u32 = 10;

/// A receiver in a thread of the referee.
pub(crate) struct Scribe {
    entries: Arc<Mutex<Vec<Entry>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Scribe {
    /// Receives, from when `may_begin` on, until it is stopped.
    pub(crate) fn start(mut receiver: Receiver, may_begin: impl Fn() -> bool + Send + 'static) -> Self {
        let (entries, stop) = (Arc::<Mutex<Vec<Entry>>>::default(), Arc::<AtomicBool>::default());
        let (written, told) = (Arc::clone(&entries), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !may_begin() && !told.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_micros(200));
            }
            loop {
                match receiver.recv_timeout(Duration::from_millis(5)) {
                    Ok(message) => written.lock().expect("entries").push(ledger::read(&message)?),
                    Err(RecvError::Stalled | RecvError::Disconnected) if told.load(Ordering::Acquire) => return Ok(()),
                    Err(RecvError::Disconnected) => std::thread::sleep(Duration::from_micros(200)),
                    Err(RecvError::Stalled | RecvError::PeerDied { .. } | RecvError::Lapped { .. }) => {}
                    Err(error) => return Err(format!("receiving: {error}")),
                }
            }
        });
        Self { entries, stop, thread: Some(thread) }
    }

    /// What it has received so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("entries").clone()
    }

    pub(crate) fn has(&self, entry: Entry) -> bool {
        self.entries.lock().expect("entries").contains(&entry)
    }

    /// Ends when nothing comes any more; yields all it has received.
    pub(crate) fn finish(mut self) -> Result<Vec<Entry>, String> {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| "a receiver panicked")??;
        }
        Ok(self.entries())
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _a_failure_was_told_already = thread.join();
        }
    }
}

/// Sends `numbers` of the referee, every tenth in a block, whoever dies meanwhile.
pub(crate) fn send(sender: &mut Sender, numbers: std::ops::Range<u64>) -> Result<(), String> {
    for number in numbers {
        let len = if number % LONG_EVERY == LONG_EVERY - 1 { LONG } else { SHORT };
        let message = ledger::message(len, Producer::Referee, number);
        loop {
            match sender.send_timeout(&message, PATIENCE) {
                Ok(()) => break,
                Err(SendError::PeerDied { .. }) => {}
                Err(error) => return Err(format!("sending {number}: {error}")),
            }
        }
    }
    Ok(())
}

/// Checks that every block can be had, and brings rings back to the smallest; yields the bytes of memory behind the channel.
pub(crate) fn left(
    channel: &Channel,
    sender: &mut Sender,
    mut pass: impl FnMut(&mut Sender) -> Result<(), String>,
) -> Result<u64, String> {
    let mut loans = Vec::new();
    for number in 0..BLOCKS {
        let loan = sender.loan_timeout(LONG, PATIENCE);
        loans.push(loan.map_err(|error| format!("leaked: block {number} of {BLOCKS} cannot be had: {error}"))?);
    }
    drop(loans);
    wait_until(|| {
        // A resize may meet a ring that holds messages still.
        let resized = channel.resize(RING_BYTES).is_ok_and(|outcome| outcome.busy == 0 && outcome.offered == 0);
        resized || pass(sender).is_err()
    })
    .map_err(|_| "hung: the rings do not come back to their size")?;
    // A receiver gives the last bytes of a ring back just after it has said what it received.
    let mut least = u64::MAX;
    for _ in 0..LOOKS {
        channel.reclaim().map_err(|error| format!("reclaiming: {error}"))?;
        least = least.min(channel.resident_bytes().map_err(|error| error.to_string())?);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(least)
}

/// The numbers of `producer` among `entries`.
pub(crate) fn numbers_of(entries: &[Entry], producer: Producer) -> Vec<u64> {
    entries.iter().filter(|(of, _)| *of == producer as u64).map(|&(_, number)| number).collect()
}

/// Checks that `numbers`, sorted, are `0..n`, each once; yields `n`.
pub(crate) fn all_once(who: &str, mut numbers: Vec<u64>) -> Result<u64, String> {
    numbers.sort_unstable();
    for (expected, &number) in (0..).zip(&numbers) {
        if number > expected {
            return Err(format!("lost: message {expected} of {who}"));
        }
        if number < expected {
            return Err(format!("duplicated: message {number} of {who}"));
        }
    }
    Ok(numbers.len() as u64)
}

/// Checks that `numbers` ascend, as those of one sender do that nobody gets twice.
pub(crate) fn ascending(who: &str, numbers: &[u64]) -> Result<(), String> {
    match numbers.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) if pair[0] == pair[1] => Err(format!("duplicated: message {} of {who}", pair[0])),
        Some(pair) => Err(format!("out of order: {} before {} of {who}", pair[0], pair[1])),
        None => Ok(()),
    }
}
