//! Consumers that each get every frame: steps F1 to F3.

use loom::sync::Arc;
use loom::sync::atomic::fence;
use loom::thread;

use crate::lane::{CLASSES, Model, SMALL};
use crate::model;
use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::ring::consumer::Consumer;
use crate::ring::followers;
use crate::ring::producer::Producer;
use crate::ring::{Readers, WhenFull, resize};

impl Model {
    /// A lane that nobody reads yet.
    fn broadcast() -> (Self, Producer) {
        let model = Self::new();
        followers::leave(&model.lane, 0);
        let producer =
            Producer::attach(model.lane.clone(), model.area.clone(), CLASSES, (Readers::Each, WhenFull::Wait)).unwrap();
        (model, producer)
    }

    fn follow(&self, seat: u8) -> Consumer {
        followers::join(&self.lane, seat);
        Consumer::attach(self.lane.clone(), self.area.clone(), CLASSES, seat).unwrap()
    }
}

fn try_send(producer: &mut Producer, value: u64) -> bool {
    let Ok(reservation) = producer.reserve(8, |_| {}) else { return false };
    producer.write_word(reservation, value);
    producer.commit(reservation, 8);
    true
}

fn receive(consumer: &mut Consumer) -> Option<u64> {
    let frame = consumer.peek().unwrap()?;
    let value = consumer.read_word(frame);
    consumer.release(frame);
    Some(value)
}

#[test]
fn who_joins_meets_whole_frames_in_order() {
    // Three frames of 16 bytes fit into 64, so the producer writes over what nobody reads, until somebody does.
    model(2, || {
        let (model, mut producer) = Model::broadcast();
        for value in 1..=2 {
            assert!(try_send(&mut producer, value));
        }
        let sender = thread::spawn(move || {
            let mut last = 2;
            while last < 6 && try_send(&mut producer, last + 1) {
                last += 1;
            }
            last
        });
        let mut consumer = model.follow(1);
        let mut received: Vec<_> = receive(&mut consumer).into_iter().collect();
        let last = sender.join().unwrap();
        received.extend(std::iter::from_fn(|| receive(&mut consumer)));
        assert!(received.windows(2).all(|pair| pair[1] == pair[0] + 1), "{received:?}");
        assert!(received.is_empty() || received.last() == Some(&last), "{received:?} of {last}");
    });
}

#[test]
fn the_producer_writes_over_nothing_that_one_of_two_reads() {
    model(2, || {
        let (model, mut producer) = Model::broadcast();
        let consumers = [model.follow(0), model.follow(1)];
        for value in 1..=3 {
            assert!(try_send(&mut producer, value));
        }
        assert!(!try_send(&mut producer, 4), "nobody has released anything");
        let readers = consumers.map(|mut consumer| thread::spawn(move || (receive(&mut consumer), consumer)));
        let fourth = try_send(&mut producer, 4);
        for reader in readers {
            let (first, mut consumer) = reader.join().unwrap();
            let rest: Vec<_> = std::iter::from_fn(|| receive(&mut consumer)).collect();
            assert_eq!(first, Some(1));
            assert!(rest == if fourth { vec![2, 3, 4] } else { vec![2, 3] }, "{rest:?}");
        }
    });
}

#[test]
fn a_ring_is_reclaimed_when_the_last_has_left_it() {
    model(2, || {
        let (model, mut producer) = Model::broadcast();
        let mut consumers = [model.follow(0), model.follow(1)];
        assert!(try_send(&mut producer, 1));
        resize::prepare(&model.lane, SMALL + 1);
        resize::offer(&model.lane, SMALL + 1);
        assert!(try_send(&mut producer, 2));
        assert_eq!([receive(&mut consumers[0]), receive(&mut consumers[0])], [Some(1), Some(2)]);
        let resizer = thread::spawn({
            let (lane, area) = (model.lane.clone(), model.area.clone());
            move || {
                if resize::reclaimable(&lane, Readers::Each).contains(&SMALL) {
                    (0..8).for_each(|word| area.store_payload((1 << SMALL) + word * 8, 0));
                }
            }
        });
        let [_, slow] = &mut consumers;
        assert_eq!([receive(slow), receive(slow)], [Some(1), Some(2)]);
        resizer.join().unwrap();
        assert!(resize::reclaimable(&model.lane, Readers::Each).contains(&SMALL), "all have left it");
    });
}

#[test]
fn a_lane_founded_while_a_receiver_leaves_is_not_left_followed() {
    model(3, || {
        let (model, _producer) = Model::broadcast();
        let seat = Arc::new(AtomicU64::new(1));
        let leaver = thread::spawn({
            let (lane, seat) = (model.lane.clone(), Arc::clone(&seat));
            move || {
                seat.store(0, Release);
                fence(SeqCst);
                followers::leave(&lane, 1);
            }
        });
        // As the sender does that founds the lane.
        if seat.load(Acquire) != 0 {
            followers::join_new(&model.lane, 1);
            fence(SeqCst);
            if seat.load(Acquire) == 0 {
                followers::leave(&model.lane, 1);
            }
        }
        leaver.join().unwrap();
        assert_eq!(model.lane.consumers[1].cursor.load(Relaxed), 0);
    });
}
