//! Competing consumers of a lane: steps L1, L2, T1 to T4, G1 to G3, D1 and O1 to O3.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::channel_presence::{await_the_last, is_the_last_awaited};
use crate::lane::{CLASSES, Model, SMALL};
use crate::model;
use crate::prim::AtomicU64;
use crate::ring::followers;
use crate::ring::lapped::{Lapped, Look};
use crate::ring::lock::{Holder, LaneLock};
use crate::ring::producer::{Producer, RingFull};
use crate::ring::taker::{Taker, done, give_back_of};
use crate::ring::{Readers, WhenFull, resize};
use crate::sync::eventcount::EventCount;
use crate::sync::fences;

impl Model {
    pub(crate) fn competing(&self) -> Producer {
        Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, (Readers::Competing, WhenFull::Wait)).unwrap()
    }

    pub(crate) fn taker(&self, seat: u8) -> Taker {
        Taker::attach(self.lane.clone(), self.area.clone(), CLASSES, seat).unwrap()
    }
}

pub(crate) fn send(producer: &mut Producer, value: u64) -> Result<(), RingFull> {
    let reservation = producer.reserve(8, |_| {})?;
    producer.write_word(reservation, value);
    producer.commit(reservation, 8);
    Ok(())
}

/// Takes, reads and is done with the next frame.
pub(crate) fn take(taker: &mut Taker) -> Option<u64> {
    let frame = taker.take().unwrap()?;
    let value = taker.read_word(frame);
    done(taker.area(), frame);
    Some(value)
}

#[test]
fn each_frame_is_taken_once() {
    model(2, || {
        let model = Model::new();
        let mut producer = model.competing();
        let other = thread::spawn({
            let mut taker = model.taker(1);
            move || (take(&mut taker), take(&mut taker))
        });
        let mut taker = model.taker(0);
        send(&mut producer, 1).unwrap();
        send(&mut producer, 2).unwrap();
        let mut taken = vec![take(&mut taker), take(&mut taker)];
        let theirs = other.join().unwrap();
        assert!(theirs.0.is_none() || theirs.1.is_none() || theirs.0 < theirs.1, "in order: {theirs:?}");
        taken.extend([theirs.0, theirs.1]);
        while let Some(value) = take(&mut taker) {
            taken.push(Some(value));
        }
        let mut taken: Vec<_> = taken.into_iter().flatten().collect();
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn the_producer_writes_over_nothing_that_is_read() {
    // Three frames of 16 bytes fit into 64: the later ones go where the earlier ones are read.
    model(2, || {
        let model = Model::new();
        let mut producer = model.competing();
        (1..=3).for_each(|value| send(&mut producer, value).unwrap());
        let takers = [0, 1].map(|seat| {
            let mut taker = model.taker(seat);
            thread::spawn(move || take(&mut taker))
        });
        let mut sent = vec![1, 2, 3];
        sent.extend((4..=5).filter(|&value| send(&mut producer, value).is_ok()));
        let mut taken: Vec<_> = takers.into_iter().filter_map(|taker| taker.join().unwrap()).collect();
        let mut last = model.taker(2);
        taken.extend(std::iter::from_fn(|| take(&mut last)));
        taken.sort_unstable();
        assert_eq!(taken, sent);
    });
}

#[test]
fn what_the_dead_had_taken_is_taken_again() {
    model(2, || {
        let model = Model::new();
        let mut producer = model.competing();
        send(&mut producer, 1).unwrap();
        send(&mut producer, 2).unwrap();
        // Seat 0 dies with the first frame in hand.
        assert!(model.taker(0).take().unwrap().is_some());
        let other = thread::spawn({
            let mut taker = model.taker(1);
            move || take(&mut taker)
        });
        loop {
            if let Some(lock) = model.lane.taking.lock.try_lock(Holder::Resizer) {
                give_back_of(&model.lane, &model.area, &CLASSES, &lock, 0, |_| {}).unwrap();
                let _nobody_sleeps = lock.unlock();
                break;
            }
            thread::yield_now();
        }
        let mut taken: Vec<_> = other.join().unwrap().into_iter().collect();
        let mut last = model.taker(2);
        taken.extend(std::iter::from_fn(|| take(&mut last)));
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn takers_follow_the_producer_to_its_next_ring() {
    model(2, || {
        let model = Model::new();
        let mut producer = model.competing();
        send(&mut producer, 1).unwrap();
        resize::prepare(&model.lane, SMALL + 1);
        resize::offer(&model.lane, SMALL + 1);
        let other = thread::spawn({
            let mut taker = model.taker(1);
            move || take(&mut taker)
        });
        send(&mut producer, 2).unwrap();
        let mut taken: Vec<_> = other.join().unwrap().into_iter().collect();
        let mut last = model.taker(2);
        taken.extend(std::iter::from_fn(|| take(&mut last)));
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn who_sleeps_over_the_lock_is_woken() {
    model(3, || {
        let shared = Arc::new((LaneLock::free(), EventCount::default()));
        let holder = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                if let Some(lock) = shared.0.try_lock(Holder::Seat(0))
                    && lock.unlock().0
                {
                    shared.1.notify();
                }
            }
        });
        // A wake-up that is lost is a deadlock, which loom reports.
        let look = || shared.0.try_lock(Holder::Seat(1)).map(|lock| drop(lock.unlock()));
        while shared.1.park(Duration::MAX, look).or_else(look).is_none() {}
        holder.join().unwrap();
    });
}

#[test]
fn the_last_is_told_when_another_is_done() {
    // As receivers wait for the end: one sees the other's frame out and sleeps, the other is done and looks whether to wake.
    model(3, || {
        let model = Model::new();
        let mut producer = model.competing();
        send(&mut producer, 1).unwrap();
        let (mut busy, mut idle) = (model.taker(0), model.taker(1));
        let frame = busy.take().unwrap().unwrap();
        let shared = Arc::new((AtomicU64::new(0), EventCount::default()));
        let finishing = thread::spawn({
            let (shared, area) = (Arc::clone(&shared), model.area.clone());
            move || {
                done(&area, frame);
                fences::light(); // that of the sender's wake-up
                if is_the_last_awaited(&shared.0) {
                    shared.1.notify();
                }
            }
        });
        let mut look = || {
            await_the_last(&shared.0);
            idle.out().is_some_and(|out| !out.others).then_some(())
        };
        while shared.1.park(Duration::MAX, &mut look).or_else(&mut look).is_none() {}
        finishing.join().unwrap();
    });
}

#[test]
fn who_is_too_slow_misses_what_is_dropped_and_no_more() {
    model(2, || {
        let model = Model::new();
        followers::leave(&model.lane, 0);
        let readers = (Readers::Each, WhenFull::DropOldest);
        let mut producer = Producer::attach(model.lane.clone(), model.area.clone(), CLASSES, readers).unwrap();
        followers::join(&model.lane, 0);
        let mut consumer = Lapped::attach(model.lane.clone(), model.area.clone(), CLASSES, 0).unwrap();
        (1..=3).for_each(|value| send(&mut producer, value).unwrap());
        let sender =
            thread::spawn(move || (4..=5).take_while(|&value| send(&mut producer, value).is_ok()).count() as u64);
        let mut next = 1;
        let mut receive = |consumer: &mut Lapped| match consumer.peek().unwrap() {
            Look::Nothing => false,
            Look::Missed(missed) => {
                next += missed;
                true
            }
            Look::Frame(frame) => {
                assert_eq!(consumer.read_word(frame), next, "in order, and what was missed was told");
                next += 1;
                consumer.release(&[frame]);
                true
            }
        };
        receive(&mut consumer);
        let sent = 3 + sender.join().unwrap();
        while receive(&mut consumer) {}
        assert_eq!(next, sent + 1, "received or told");
    });
}

fn dropping_oldest() -> (Model, Producer) {
    let model = Model::new();
    followers::leave(&model.lane, 0);
    let readers = (Readers::Each, WhenFull::DropOldest);
    let producer = Producer::attach(model.lane.clone(), model.area.clone(), CLASSES, readers).unwrap();
    (model, producer)
}

#[test]
fn who_leaves_while_it_is_lapped_is_gone() {
    model(3, || {
        let (model, mut producer) = dropping_oldest();
        followers::join(&model.lane, 0);
        (1..=3).for_each(|value| send(&mut producer, value).unwrap());
        let leaver = thread::spawn({
            let lane = model.lane.clone();
            move || followers::leave(&lane, 0)
        });
        send(&mut producer, 4).unwrap();
        leaver.join().unwrap();
        assert!(followers::slowest(&model.lane).is_none(), "nobody is there, and nobody holds back");
    });
}

#[test]
fn who_joins_while_frames_are_dropped_reads_none_that_is_written() {
    model(2, || {
        let (model, mut producer) = dropping_oldest();
        (1..=2).for_each(|value| send(&mut producer, value).unwrap());
        let sender = thread::spawn(move || {
            let sent = (3..=6).take_while(|&value| send(&mut producer, value).is_ok()).count() as u64;
            (producer, 2 + sent)
        });
        followers::join(&model.lane, 0);
        let mut consumer = Lapped::attach(model.lane.clone(), model.area.clone(), CLASSES, 0).unwrap();
        let mut last = None;
        let mut receive = |consumer: &mut Lapped| match consumer.peek().unwrap() {
            Look::Nothing => false,
            Look::Missed(missed) => {
                last = last.map(|last| last + missed);
                true
            }
            Look::Frame(frame) => {
                let value = consumer.read_word(frame);
                assert!(last.is_none_or(|last| value == last + 1), "{value} after {last:?}");
                last = Some(value);
                consumer.release(&[frame]);
                true
            }
        };
        receive(&mut consumer);
        let (mut producer, sent) = sender.join().unwrap();
        while receive(&mut consumer) {}
        send(&mut producer, sent + 1).unwrap();
        while receive(&mut consumer) {}
        assert_eq!(last, Some(sent + 1), "it stands where it finds what comes");
    });
}
