//! Competing consumers of a lane: steps L1, L2, T1 to T4, G1 to G3 and D1.

use loom::sync::Arc;
use loom::thread;

use crate::lane::{CLASSES, Model, SMALL};
use crate::model;
use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::ring::lock::{Contended, Holder, LaneLock};
use crate::ring::producer::{Producer, RingFull};
use crate::ring::taker::{Taker, done, give_back_of};
use crate::ring::{Readers, resize};

impl Model {
    fn competing(&self) -> Producer {
        Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, Readers::Competing).unwrap()
    }

    fn taker(&self, seat: u8) -> Taker {
        Taker::attach(self.lane.clone(), self.area.clone(), CLASSES, seat).unwrap()
    }
}

fn send(producer: &mut Producer, value: u64) -> Result<(), RingFull> {
    let reservation = producer.reserve(8, || {})?;
    producer.write_word(reservation, value);
    producer.commit(reservation, 8);
    Ok(())
}

/// Takes, reads and is done with the next frame.
fn take(taker: &mut Taker) -> Option<u64> {
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
fn who_fails_to_lock_is_told_of_or_finds_it_free() {
    model(3, || {
        let shared = Arc::new((LaneLock::free(), AtomicU64::new(0)));
        let holder = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let Some(lock) = shared.0.try_lock(Holder::Seat(0)) else { return true };
                let Contended(contended) = lock.unlock();
                // Whoever is told of is asleep already: edge `contended`.
                !contended || shared.1.load(Relaxed) == 1
            }
        });
        shared.1.store(1, Release);
        let locked = shared.0.try_lock(Holder::Seat(1)).map(|lock| lock.unlock()).is_some();
        assert!(holder.join().unwrap());
        let woken_or_had_it = locked || shared.0.try_lock(Holder::Seat(2)).is_some();
        assert!(woken_or_had_it, "the holder has left");
        assert_eq!(shared.1.load(Acquire), 1);
    });
}
