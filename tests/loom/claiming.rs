//! Producers that share a lane: steps Q1 to Q6 and Q8.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::lane::{CLASSES, Model};
use crate::model;
use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Release};
use crate::ring::claims::{Claimant, give_up_of};
use crate::ring::consumer::Consumer;
use crate::ring::lock::Holder;
use crate::ring::producer::{Producer, Reservation, RingFull};
use crate::ring::word::FrameHeader;
use crate::ring::{Event, Readers, WhenFull};
use crate::sync::eventcount::EventCount;

struct Sender {
    producer: Producer,
    claimant: Claimant,
}

impl Model {
    fn sender(&self, number: u8) -> Sender {
        let how = (Readers::One, WhenFull::Wait);
        Sender {
            producer: Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, how).unwrap(),
            claimant: Claimant::new(self.lane.clone(), self.area.clone(), number),
        }
    }

    fn reader(&self) -> Consumer {
        Consumer::attach(self.lane.clone(), self.area.clone(), CLASSES, 0).unwrap()
    }
}

impl Sender {
    fn claim(&mut self, len: u32) -> Result<Reservation, RingFull> {
        self.claimant.claim(&mut self.producer, len, |_| {})
    }

    /// As [`Sender::claim`], when the other is done with its own.
    fn await_claim(&mut self, len: u32) -> Reservation {
        loop {
            match self.claim(len) {
                Ok(reservation) => return reservation,
                Err(RingFull) => thread::yield_now(),
            }
        }
    }

    fn fill(&mut self, reservation: Reservation, value: u64) {
        self.producer.write_word(reservation, value);
        self.claimant.commit(FrameHeader::Data { len: 8 });
    }
}

fn receive(consumer: &mut Consumer) -> Option<u64> {
    let frame = consumer.peek().unwrap()?;
    let value = consumer.read_word(frame);
    consumer.release(frame);
    Some(value)
}

fn await_message(consumer: &mut Consumer) -> u64 {
    loop {
        match receive(consumer) {
            Some(value) => return value,
            None => thread::yield_now(),
        }
    }
}

#[test]
fn claims_are_received_in_their_order() {
    model(2, || {
        let model = Model::new();
        let (mut reader, mut sender) = (model.reader(), model.sender(0));
        let other = thread::spawn({
            let mut sender = model.sender(1);
            move || {
                let reservation = sender.await_claim(8);
                sender.fill(reservation, reservation.position());
            }
        });
        let reservation = sender.await_claim(8);
        sender.fill(reservation, reservation.position());
        let received = [await_message(&mut reader), await_message(&mut reader)];
        assert!(received[0] < received[1], "{received:?}");
        assert!(receive(&mut reader).is_none());
        other.join().unwrap();
    });
}

#[test]
fn what_is_sent_after_another_has_returned_comes_after_it() {
    model(2, || {
        let model = Model::new();
        let (mut reader, mut sender, returned) = (model.reader(), model.sender(0), Arc::new(AtomicU64::new(0)));
        let first = thread::spawn({
            let (mut sender, returned) = (model.sender(1), returned.clone());
            move || {
                let reservation = sender.await_claim(8);
                sender.fill(reservation, 1);
                returned.store(1, Release);
            }
        });
        let has_returned = returned.load(Acquire) == 1;
        let sent = sender.claim(8).map(|reservation| sender.fill(reservation, 2));
        first.join().unwrap();
        let received: Vec<_> = std::iter::from_fn(|| receive(&mut reader)).collect();
        assert!(sent.is_ok() || !has_returned, "nobody is at the lane");
        match sent {
            Ok(()) if has_returned => assert_eq!(received, [1, 2]),
            Ok(()) => assert_eq!(received.len(), 2),
            Err(RingFull) => assert_eq!(received, [1]),
        }
    });
}

#[test]
fn what_is_shorter_than_its_claim_leaves_nothing_behind() {
    // What was claimed and not needed is full of what looks like frames.
    model(2, || {
        let model = Model::new();
        let other = thread::spawn({
            let mut sender = model.sender(1);
            move || {
                let reservation = sender.await_claim(24);
                sender.fill(reservation, 1);
                let reservation = sender.await_claim(8);
                sender.fill(reservation, 2);
            }
        });
        let mut reader = model.reader();
        assert_eq!([await_message(&mut reader), await_message(&mut reader)], [1, 2]);
        assert!(receive(&mut reader).is_none());
        other.join().unwrap();
    });
}

#[test]
fn a_claim_of_the_dead_holds_nobody_up() {
    model(2, || {
        let model = Model::new();
        // It does nothing more.
        let mut dead = model.sender(1);
        dead.await_claim(8);
        let other = thread::spawn({
            let mut sender = model.sender(0);
            move || {
                let reservation = sender.await_claim(8);
                sender.fill(reservation, 7);
            }
        });
        let mut reader = model.reader();
        let turn = loop {
            match model.lane.producing.lock.try_lock(Holder::Resizer) {
                Some(turn) => break turn,
                None => thread::yield_now(),
            }
        };
        let mut voided = 0;
        give_up_of(&model.lane, &model.area, (&CLASSES, Readers::One), &turn, 1, |_| voided += 1).unwrap();
        let _nobody_sleeps = turn.unlock();
        assert_eq!(voided, 1);
        assert_eq!(await_message(&mut reader), 7);
        other.join().unwrap();
    });
}

#[test]
fn what_is_given_up_leaves_nothing_behind() {
    // Behind its header stands what looks like a frame.
    model(2, || {
        let model = Model::new();
        let (mut sender, mut reader) = (model.sender(0), model.reader());
        let reading = thread::spawn(move || assert_eq!([receive(&mut reader), receive(&mut reader)], [None, None]));
        sender.await_claim(8);
        assert!(sender.claimant.give_up());
        reading.join().unwrap();
    });
}

#[test]
fn who_sleeps_for_its_turn_is_woken() {
    model(3, || {
        let model = Model::new();
        let event = Arc::new(EventCount::default());
        let mut sender = model.sender(0);
        let other = thread::spawn({
            let (mut sender, event) = (model.sender(1), event.clone());
            move || {
                // As a sender waits for room.
                while event.park(Duration::from_secs(3600), || sender.claim(8).ok()).is_none() {
                    if sender.claim(8).is_ok() {
                        break;
                    }
                }
            }
        });
        let claimed = sender.claimant.claim(&mut sender.producer, 8, |what| {
            if matches!(what, Event::TurnAwaited) {
                event.notify();
            }
        });
        // If it was not its turn, the other had it and does not sleep.
        drop(claimed);
        other.join().unwrap();
    });
}
