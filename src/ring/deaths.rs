//! Whoever uses a lane is killed at every one of its stores, and its successor at every one of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::prim::mortal;
use crate::ring::consumer::{Consumer, Payloads};
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
use crate::ring::producer::{Producer, Reservation};
use crate::ring::resize::{self, Offered};
use crate::ring::taker::collect;
use crate::ring::{Readers, WhenFull};
use crate::shm::segment::Segment;
use crate::shm::window::Window;

pub(super) const CLASSES: std::ops::RangeInclusive<u8> = 6..=8;
const AREA_OFFSET: usize = 1024;
const STEPS: usize = 14;
const SCRIPTS: u64 = 60;
/// Steps of the scripts that are tried one and all.
const SHORT_STEPS: u32 = 6;

/// What is done to the lane, each time by the process whose role it is.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The producer sends a message of so many words.
    Send { words: u32 },
    /// The producer sends so many messages at once, or as many as there is room for.
    SendBatch { messages: u32 },
    /// The consumer receives what is there.
    Receive,
    /// The consumer receives what is there, all at once.
    ReceiveBatch,
    /// A resizer offers a ring.
    Resize { class: u8 },
}

/// A script that follows from `seed` (SplitMix64).
fn script(seed: u64) -> Vec<Step> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = |bound: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27) % bound
    };
    let step = |_| match below(8) {
        0..=2 => Step::Send { words: below(3) as u32 },
        3 => Step::Receive,
        4 => Step::ReceiveBatch,
        5 => Step::SendBatch { messages: 1 + below(8) as u32 },
        _ => Step::Resize { class: *CLASSES.start() + below(3) as u8 },
    };
    (0..STEPS).map(step).collect()
}

/// A lane, who uses it now, and what must come of it.
struct World {
    lane: Lane,
    area: Window,
    producer: Option<Producer>,
    consumer: Option<Consumer>,
    next: u64,
    /// Messages whose commit returned.
    committed: BTreeSet<u64>,
    received: Vec<u64>,
    /// Received by a consumer that died before its release returned.
    in_hand: Vec<u64>,
}

impl World {
    fn new(segment: &Arc<Segment>) -> Self {
        let (lane, area) = lane_in(segment, false);
        Self {
            lane,
            area,
            producer: None,
            consumer: None,
            next: 0,
            committed: BTreeSet::new(),
            received: Vec::new(),
            in_hand: Vec::new(),
        }
    }

    /// Does `step`; false if whoever did it died.
    fn step(&mut self, step: Step) -> bool {
        let lived = mortal::live(|| match step {
            Step::Send { words } => self.send(words),
            Step::SendBatch { messages } => self.send_batch(messages),
            Step::Receive => self.receive(),
            Step::ReceiveBatch => self.receive_batch(),
            Step::Resize { class } => resize(&self.lane, &self.area, Readers::One, class),
        });
        if lived.is_none() {
            match step {
                Step::Send { .. } | Step::SendBatch { .. } => self.producer = None,
                Step::Receive | Step::ReceiveBatch => self.consumer = None,
                Step::Resize { .. } => {}
            }
        }
        lived.is_some()
    }

    fn send(&mut self, words: u32) {
        let Some((id, reservation)) = self.write(words) else { return };
        self.producer().commit(reservation, 8 + words * 8);
        self.committed.insert(id);
    }

    fn send_batch(&mut self, messages: u32) {
        let mut ids = Vec::new();
        for words in (0..messages).map(|message| message % 3) {
            let Some((id, reservation)) = self.write(words) else { break };
            self.producer().append(reservation, 8 + words * 8);
            ids.push(id);
        }
        self.producer().commit_batch();
        self.committed.extend(ids);
    }

    fn producer(&mut self) -> &mut Producer {
        let attach =
            || Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, (Readers::One, WhenFull::Wait)).unwrap();
        self.producer.get_or_insert_with(attach)
    }

    /// Fills a frame with the next message.
    fn write(&mut self, words: u32) -> Option<(u64, Reservation)> {
        let id = self.next;
        let producer = self.producer();
        let reservation = producer.reserve(8 + words * 8, |_| {}).ok()?;
        producer.payload_mut(reservation).chunks_mut(8).for_each(|word| word.copy_from_slice(&id.to_le_bytes()));
        self.next += 1;
        Some((id, reservation))
    }

    fn receive(&mut self) {
        self.take(1);
    }

    fn receive_batch(&mut self) {
        self.take(usize::MAX);
    }

    /// Receives all there is, at most `max` at a time.
    fn take(&mut self, max: usize) {
        let attach = || Consumer::attach(self.lane.clone(), self.area.clone(), CLASSES, 0).unwrap();
        let consumer = self.consumer.get_or_insert_with(attach);
        let (mut frames, payloads) = (Vec::new(), Payloads(self.area.clone()));
        while let Some(first) = consumer.peek().unwrap() {
            frames.clear();
            consumer.peek_batch(first, max, &mut frames);
            for &frame in &frames {
                let number = |word: &[u8]| u64::from_le_bytes(word.try_into().unwrap());
                let words: Vec<_> = payloads.of(frame).chunks(8).map(number).collect();
                assert!(words.iter().all(|&word| word == words[0]), "a message is whole: {words:?}");
                if !self.in_hand.contains(&words[0]) {
                    self.received.push(words[0]);
                    self.in_hand.push(words[0]);
                }
            }
            match max {
                1 => consumer.release(first),
                _ => consumer.release_batch(&frames),
            }
            self.in_hand.drain(..frames.len());
        }
    }

    /// Everything committed has arrived once and in order; of the rest, only what was being committed at a death.
    fn check(&mut self, case: &dyn std::fmt::Debug) {
        for words in 0..3 {
            self.receive();
            self.send(words);
        }
        self.receive();
        assert!(self.received.is_sorted_by(|a, b| a < b), "{:?} {case:?}", self.received);
        let lost: Vec<_> = self.committed.iter().filter(|id| !self.received.contains(id)).collect();
        assert!(lost.is_empty(), "lost {lost:?}; {case:?}");
    }
}

/// Runs `script` once for each pair of stores at which somebody dies; the second is counted from the first. Returns the
/// deaths.
fn kill_at_every_store(segment: &Arc<Segment>, script: &[Step]) -> u64 {
    let mut deaths = 0;
    for first in 0.. {
        for second in 0.. {
            let mut world = World::new(segment);
            let mut died = 0;
            mortal::die_after(first);
            for &step in script {
                if !world.step(step) {
                    died += 1;
                    if died == 1 {
                        mortal::die_after(second);
                    }
                }
            }
            let outlived = mortal::survived();
            deaths += died;
            world.check(&(first, second, script));
            if died == 0 {
                return deaths;
            }
            if outlived {
                break;
            }
        }
    }
    deaths
}

/// A lane that has its first ring, in memory that was cleared; `is_shared` says whether producers share it.
pub(super) fn lane_in(segment: &Arc<Segment>, is_shared: bool) -> (Lane, Window) {
    // SAFETY: nobody else uses the segment.
    unsafe { segment.base().write_bytes(0, AREA_OFFSET + (2 << CLASSES.end())) };
    let lane = Lane::at(segment, 0).unwrap();
    let area = Window::at(segment, AREA_OFFSET, 2 << CLASSES.end()).unwrap();
    resize::found(&lane, *CLASSES.start(), Readers::One, is_shared);
    (lane, area)
}

/// As the channel offers a ring, under what would be the structure lock.
pub(super) fn resize(lane: &Lane, area: &Window, readers: Readers, class: u8) {
    if !resize::withdraw(lane) {
        return;
    }
    if readers == Readers::Competing
        && let Some(lock) = lane.taking.lock.lock_or_take_from(&[Holder::Resizer], Holder::Resizer)
    {
        collect(lane, area, &CLASSES, &lock).unwrap();
        let _nobody_sleeps = lock.unlock();
    }
    for passed in resize::reclaimable(lane, readers) {
        // SAFETY: nobody else runs.
        unsafe { area.bytes_mut(1 << passed, 1 << passed) }.fill(0);
        resize::mark_free(lane, passed);
    }
    if resize::can_offer(lane, class) == Offered::Standing {
        resize::prepare(lane, class);
        resize::offer(lane, class);
    }
}

pub(super) fn segment() -> Arc<Segment> {
    Arc::new(Segment::create("test", 1 << 13).unwrap())
}

#[test]
fn no_death_in_a_long_life_loses_or_doubles_what_was_committed() {
    let segment = segment();
    let deaths: u64 = (0..SCRIPTS).map(|seed| kill_at_every_store(&segment, &script(seed))).sum();
    assert!(deaths > 10_000, "{deaths}: every script has some dozens of stores");
}

#[test]
fn no_death_in_any_short_life_loses_or_doubles_what_was_committed() {
    const STEPS: [Step; 4] =
        [Step::SendBatch { messages: 5 }, Step::Receive, Step::Resize { class: 7 }, Step::Resize { class: 8 }];
    let segment = segment();
    let mut deaths = 0;
    for number in 0..STEPS.len().pow(SHORT_STEPS) {
        let digit = |place| number / STEPS.len().pow(place) % STEPS.len();
        // Doing the same twice adds nothing but for sending.
        if (1..SHORT_STEPS).any(|place| digit(place) == digit(place - 1) && digit(place) != 0) {
            continue;
        }
        let script: Vec<_> = (0..SHORT_STEPS).map(|place| STEPS[digit(place)]).collect();
        deaths += kill_at_every_store(&segment, &script);
    }
    assert!(deaths > 100_000, "{deaths}");
}
