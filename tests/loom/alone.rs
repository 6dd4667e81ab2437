//! One consumer that is alone until a second one comes: steps A1 to A3 and U1 to U4.

use loom::thread::{self, JoinHandle};

use crate::lane::{CLASSES, Model};
use crate::model;
use crate::ring::alone::{self, Alone, Look};
use crate::ring::lock::Holder;
use crate::ring::producer::Producer;
use crate::ring::taker::Taker;
use crate::taking::{send, take};

impl Model {
    /// Leaves the lane to the consumer in seat 0, under what would be the structure lock.
    fn alone(&self) -> First {
        let lock = self.lane.taking.lock.try_lock(Holder::Resizer).unwrap();
        assert!(alone::leave_to(&self.lane, &self.area, &CLASSES, &lock, 0));
        let _nobody_sleeps = lock.unlock();
        First::Alone(Alone::attach(&self.lane, &self.area, &CLASSES, 0).unwrap().unwrap())
    }

    /// Has the lane shared, as whoever comes second.
    fn share(&self) {
        loop {
            if let Some(lock) = self.lane.taking.lock.try_lock(Holder::Resizer) {
                assert!(alone::share(&self.lane, &self.area, &CLASSES, &lock));
                let _nobody_sleeps = lock.unlock();
                return;
            }
            thread::yield_now();
        }
    }
}

/// The consumer that was there first.
enum First {
    Alone(Alone),
    Shared(Taker),
}

impl First {
    /// Looks once, reads what it finds, and is done with it.
    fn receive(&mut self) -> Option<u64> {
        let alone = match self {
            Self::Shared(taker) => return take(taker),
            Self::Alone(alone) => alone,
        };
        match alone.peek().unwrap() {
            Look::Nothing => None,
            Look::Shared(taker) => {
                *self = Self::Shared(taker);
                self.receive()
            }
            Look::Frame(frame) => {
                let value = alone.read_word(frame);
                if !alone.release(frame) {
                    alone.finish();
                }
                Some(value)
            }
        }
    }

    /// Is one of many by the end, if the lane is shared.
    fn settle(&mut self) {
        if let Self::Alone(alone) = self
            && let Some(taker) = alone.settle(false)
        {
            *self = Self::Shared(taker);
        }
    }
}

/// Three frames, and one that is alone and looks twice for them.
fn three_sent_and_two_looked_for() -> (Model, Producer, JoinHandle<(First, [Option<u64>; 2])>) {
    let model = Model::new();
    let mut producer = model.competing();
    (1..=3).for_each(|value| send(&mut producer, value).unwrap());
    let mut first = model.alone();
    let receiving = thread::spawn(move || {
        let taken = [first.receive(), first.receive()];
        (first, taken)
    });
    (model, producer, receiving)
}

/// Takes what is left; with `taken` that must be all that was sent, and the counts must agree.
fn check(model: &Model, mut taken: Vec<u64>, sent: u64) {
    let mut last = model.taker(1);
    taken.extend(std::iter::from_fn(|| take(&mut last)));
    taken.sort_unstable();
    assert!(taken.iter().copied().eq(1..=sent), "{taken:?} of {sent}");
    let count = |word: &crate::prim::AtomicU64| word.load(crate::prim::Ordering::Relaxed);
    let taking = &model.lane.taking;
    assert_eq!(count(&taking.messages) - count(&taking.returned), sent);
}

#[test]
fn a_second_one_comes_while_the_first_takes_and_is_done() {
    model(3, || {
        let (model, _producer, receiving) = three_sent_and_two_looked_for();
        model.share();
        let mut second = model.taker(1);
        let mut taken: Vec<_> = [take(&mut second), take(&mut second)].into_iter().flatten().collect();
        let (mut first, theirs) = receiving.join().unwrap();
        first.settle();
        taken.extend(theirs.into_iter().flatten());
        check(&model, taken, 3);
    });
}

#[test]
fn the_producer_finds_room_while_the_lane_becomes_shared() {
    // Three frames of 16 bytes fit into 64: the later ones go where the earlier ones are read.
    model(3, || {
        let (model, mut producer, receiving) = three_sent_and_two_looked_for();
        let sending = thread::spawn(move || {
            let mut sent = 3;
            (0..2).for_each(|_| sent += u64::from(send(&mut producer, sent + 1).is_ok()));
            (producer, sent)
        });
        model.share();
        let (mut first, taken) = receiving.join().unwrap();
        first.settle();
        let (mut producer, mut sent) = sending.join().unwrap();
        let taken: Vec<_> = taken.into_iter().flatten().collect();
        if sent == 3 && !taken.is_empty() {
            send(&mut producer, 4).expect("what was released is room");
            sent += 1;
        }
        check(&model, taken, sent);
    });
}
