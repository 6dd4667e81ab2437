//! A lane: frames, and moves between rings.
//!
//! The area starts out full of words that look like frames, as memory that held other messages before.

use loom::thread;

use crate::model;
use crate::prim::Ordering::Relaxed;
use crate::ring::consumer::Consumer;
use crate::ring::layout::Lane;
use crate::ring::producer::{Producer, RingFull};
use crate::ring::resize::{self, Offered};
use crate::ring::word::FrameHeader;
use crate::ring::{Readers, WhenFull};
use crate::shm::window::Window;

pub(crate) const SMALL: u8 = 6;
const LARGE: u8 = 7;
pub(crate) const CLASSES: std::ops::RangeInclusive<u8> = SMALL..=LARGE;

pub(crate) struct Model {
    pub(crate) lane: Lane,
    pub(crate) area: Window,
}

impl Model {
    pub(crate) fn new() -> Self {
        let stale = FrameHeader::Data { len: 8 }.to_word();
        let lane = Lane::zeroed();
        let area = Window::filled(256, stale);
        // A ring's memory is zero when it is founded, and stale from the second lap on; only its first word matters.
        area.word(1 << SMALL).store(0, Relaxed);
        resize::found(&lane, SMALL, Readers::One, false);
        Self { lane, area }
    }

    fn producer(&self) -> Producer {
        Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, (Readers::One, WhenFull::Wait)).unwrap()
    }

    fn consumer(&self) -> Consumer {
        Consumer::attach(self.lane.clone(), self.area.clone(), CLASSES, 0).unwrap()
    }
}

fn send(producer: &mut Producer, value: u64) -> Result<(), RingFull> {
    send_of(8, producer, value)
}

fn send_of(len: u32, producer: &mut Producer, value: u64) -> Result<(), RingFull> {
    let reservation = producer.reserve(len, |_| {})?;
    producer.write_word(reservation, value);
    producer.commit(reservation, len);
    Ok(())
}

/// As `send`, to a batch.
fn append(producer: &mut Producer, value: u64) -> Result<(), RingFull> {
    let reservation = producer.reserve(8, |_| {})?;
    producer.write_word(reservation, value);
    producer.append(reservation, 8);
    Ok(())
}

fn receive(consumer: &mut Consumer) -> Option<u64> {
    let frame = consumer.peek().unwrap()?;
    let value = consumer.read_word(frame);
    consumer.release(frame);
    Some(value)
}

fn expect_in_order(consumer: &mut Consumer, values: std::ops::RangeInclusive<u64>) {
    for expected in values {
        let value = loop {
            match receive(consumer) {
                Some(value) => break value,
                None => thread::yield_now(),
            }
        };
        assert_eq!(value, expected);
    }
}

fn send_all(producer: &mut Producer, values: std::ops::RangeInclusive<u64>) {
    for value in values {
        while send(producer, value).is_err() {
            thread::yield_now();
        }
    }
}

#[test]
fn frames_arrive_whole_and_in_order() {
    model(3, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        let sender = thread::spawn(move || send_all(&mut producer, 1..=2));
        expect_in_order(&mut consumer, 1..=2);
        sender.join().unwrap();
    });
}

#[test]
fn old_bytes_never_pass_for_a_frame() {
    // Six frames of 16 bytes through 64: the ring wraps, and each later header overwrites an old payload or header.
    model(2, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        let sender = thread::spawn(move || send_all(&mut producer, 1..=6));
        expect_in_order(&mut consumer, 1..=6);
        sender.join().unwrap();
        assert_eq!(receive(&mut consumer), None);
    });
}

#[test]
fn padding_before_the_ring_wraps_is_skipped() {
    // Frames of 24 bytes: the third does not fit before the end of 64.
    model(2, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        let sender = thread::spawn(move || {
            for value in 1..=4 {
                while send_of(16, &mut producer, value).is_err() {
                    thread::yield_now();
                }
            }
        });
        expect_in_order(&mut consumer, 1..=4);
        sender.join().unwrap();
    });
}

#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    model(3, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        let sender = thread::spawn(move || {
            for value in 1..=2 {
                append(&mut producer, value).unwrap();
            }
            assert!(producer.commit_batch());
        });
        let first = loop {
            match consumer.peek().unwrap() {
                Some(first) => break first,
                None => thread::yield_now(),
            }
        };
        let mut frames = Vec::new();
        consumer.peek_batch(first, 8, &mut frames);
        let values: Vec<_> = frames.iter().map(|&frame| consumer.read_word(frame)).collect();
        assert_eq!(values, [1, 2], "one commit, so whoever sees the first frame sees the second");
        consumer.release_batch(&frames);
        sender.join().unwrap();
        assert_eq!(receive(&mut consumer), None);
    });
}

#[test]
fn batches_go_round_the_ring() {
    model(2, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        let sender = thread::spawn(move || {
            let mut next = 1;
            while next <= 6 {
                match append(&mut producer, next) {
                    Ok(()) => next += 1,
                    Err(RingFull) => {
                        producer.commit_batch();
                        thread::yield_now();
                    }
                }
            }
            producer.commit_batch();
        });
        let mut expected = 1;
        let mut frames = Vec::new();
        while expected <= 6 {
            let Some(first) = consumer.peek().unwrap() else {
                thread::yield_now();
                continue;
            };
            frames.clear();
            consumer.peek_batch(first, 2, &mut frames);
            for &frame in &frames {
                assert_eq!(consumer.read_word(frame), expected);
                expected += 1;
            }
            consumer.release_batch(&frames);
        }
        sender.join().unwrap();
    });
}

/// Offers the ring of `class` as the channel does, under what would be the structure lock.
fn offer(lane: &Lane, area: &Window, class: u8) -> Offered {
    if !resize::withdraw(lane) {
        return Offered::Busy;
    }
    for passed in resize::reclaimable(lane, Readers::One) {
        clear(area, passed);
        resize::mark_free(lane, passed);
    }
    let possible = resize::can_offer(lane, class);
    if possible == Offered::Standing {
        resize::prepare(lane, class);
        resize::offer(lane, class);
    }
    possible
}

/// What giving a ring's memory back does to it.
fn clear(area: &Window, class: u8) {
    for word in 0..(1 << class) / 8 {
        area.store_payload((1 << class) + word * 8, 0);
    }
}

#[test]
fn a_move_loses_and_doubles_nothing() {
    model(2, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        let sender = thread::spawn(move || send_all(&mut producer, 1..=3));
        let resizer = thread::spawn({
            let (lane, area) = (model.lane.clone(), model.area.clone());
            move || {
                assert_eq!(offer(&lane, &area, LARGE), Offered::Standing);
                // Back again: the small ring is free only once the consumer has passed it.
                offer(&lane, &area, SMALL);
            }
        });
        expect_in_order(&mut consumer, 1..=3);
        sender.join().unwrap();
        resizer.join().unwrap();
        assert_eq!(receive(&mut consumer), None);
    });
}

#[test]
fn a_reclaimed_ring_is_read_by_nobody() {
    model(2, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        send(&mut producer, 1).unwrap();
        offer(&model.lane, &model.area, LARGE);
        send(&mut producer, 2).unwrap();
        let resizer = thread::spawn({
            let (lane, area) = (model.lane.clone(), model.area.clone());
            move || {
                if resize::withdraw(&lane) && resize::reclaimable(&lane, Readers::One).contains(&SMALL) {
                    clear(&area, SMALL);
                }
            }
        });
        expect_in_order(&mut consumer, 1..=2);
        resizer.join().unwrap();
    });
}

#[test]
fn a_successor_goes_on_where_the_dead_producer_stopped() {
    model(2, || {
        let model = Model::new();
        let mut producer = model.producer();
        let mut consumer = model.consumer();
        send(&mut producer, 1).unwrap();
        // Claimed, filled and never committed.
        let lost = producer.reserve(8, |_| {}).unwrap();
        producer.write_word(lost, 99);
        drop(producer);
        let mut successor = model.producer();
        let sender = thread::spawn(move || send_all(&mut successor, 2..=3));
        expect_in_order(&mut consumer, 1..=3);
        sender.join().unwrap();
    });
}

#[test]
fn an_offered_ring_belongs_to_the_producer_alone() {
    model(3, || {
        let model = Model::new();
        let (mut producer, mut consumer) = (model.producer(), model.consumer());
        send(&mut producer, 1).unwrap();
        offer(&model.lane, &model.area, LARGE);
        send(&mut producer, 2).unwrap();
        expect_in_order(&mut consumer, 1..=2);
        // The small ring is cleared and offered again while the producer sends.
        let resizer = thread::spawn(move || assert_eq!(offer(&model.lane, &model.area, SMALL), Offered::Standing));
        let sender = thread::spawn(move || send_all(&mut producer, 3..=4));
        expect_in_order(&mut consumer, 3..=4);
        sender.join().unwrap();
        resizer.join().unwrap();
    });
}
