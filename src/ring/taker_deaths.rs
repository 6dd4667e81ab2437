//! Whoever uses a lane that consumers share is killed at every one of its stores, and whoever comes after at every one of
//! its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::prim::mortal;
use crate::ring::consumer::{Frame, Payloads};
use crate::ring::deaths::{CLASSES, lane_in, resize, segment};
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
use crate::ring::producer::Producer;
use crate::ring::taker::{Taker, done, give_back_of};
use crate::ring::{Readers, WhenFull};
use crate::shm::segment::Segment;
use crate::shm::window::Window;

/// Steps of the scripts, of which all are tried.
const STEPS: u32 = 5;

/// What is done to the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Send,
    /// The consumer in that seat takes so many frames.
    Take {
        seat: u8,
        max: usize,
    },
    /// It is done with those it has, the last one first.
    Finish {
        seat: u8,
    },
    Resize {
        class: u8,
    },
}

const ALL: [Step; 6] = [
    Step::Send,
    Step::Take { seat: 0, max: 2 },
    Step::Take { seat: 1, max: 1 },
    Step::Finish { seat: 0 },
    Step::Finish { seat: 1 },
    Step::Resize { class: 7 },
];

struct World {
    lane: Lane,
    area: Window,
    producer: Option<Producer>,
    takers: [Option<Taker>; 2],
    hands: [Vec<Frame>; 2],
    next: u64,
    /// Messages whose commit returned.
    committed: BTreeSet<u64>,
    /// Messages that a consumer is done with.
    finished: Vec<u64>,
}

impl World {
    fn new(segment: &Arc<Segment>) -> Self {
        let (lane, area) = lane_in(segment, false);
        Self {
            lane,
            area,
            producer: None,
            takers: [None, None],
            hands: [Vec::new(), Vec::new()],
            next: 0,
            committed: BTreeSet::new(),
            finished: Vec::new(),
        }
    }

    /// Does `step`; false if whoever did it died. Then its place is swept.
    fn step(&mut self, step: Step) -> bool {
        let lived = mortal::live(|| match step {
            Step::Send => self.send(),
            Step::Take { seat, max } => self.take(seat, max),
            Step::Finish { seat } => self.finish(seat),
            Step::Resize { class } => resize(&self.lane, &self.area, Readers::Competing, class),
        });
        lived.is_some()
    }

    fn send(&mut self) {
        let attach = || {
            Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, (Readers::Competing, WhenFull::Wait))
                .unwrap()
        };
        let producer = self.producer.get_or_insert_with(attach);
        let Ok(reservation) = producer.reserve(8, |_| {}) else { return };
        producer.payload_mut(reservation).copy_from_slice(&self.next.to_le_bytes());
        let id = self.next;
        self.next += 1;
        producer.commit(reservation, 8);
        self.committed.insert(id);
    }

    fn take(&mut self, seat: u8, max: usize) {
        let attach = || Taker::attach(self.lane.clone(), self.area.clone(), CLASSES, seat).unwrap();
        let taker = self.takers[usize::from(seat)].get_or_insert_with(attach);
        // In the hand only when the call returns: a death before loses the list, as with a process.
        let mut frames = Vec::new();
        taker.take_batch(max, &mut frames).unwrap();
        self.hands[usize::from(seat)].extend(frames);
    }

    fn finish(&mut self, seat: u8) {
        if self.takers[usize::from(seat)].is_none() {
            return;
        }
        let payloads = Payloads(self.area.clone());
        while let Some(frame) = self.hands[usize::from(seat)].pop() {
            let id = u64::from_le_bytes(payloads.of(frame).try_into().unwrap());
            done(&self.area, frame);
            self.finished.push(id);
        }
    }

    /// After a death of who did `step`: its role is free, and what it had taken is given back by a sweeper, which may die.
    fn sweep(&mut self, step: Step) {
        let dead = match step {
            Step::Send => {
                while mortal::live(|| self.lane.taking.lock.break_from(Holder::Producer)).is_none() {}
                return self.producer = None;
            }
            Step::Resize { .. } => return,
            Step::Take { seat, .. } | Step::Finish { seat } => seat,
        };
        self.takers[usize::from(dead)] = None;
        self.hands[usize::from(dead)].clear();
        let give_back = || {
            let lock = &self.lane.taking.lock;
            let held = lock.lock_or_take_from(&[Holder::Resizer, Holder::Seat(dead)], Holder::Resizer).unwrap();
            give_back_of(&self.lane, &self.area, &CLASSES, &held, dead, |_| {}).unwrap();
            let _nobody_sleeps = held.unlock();
        };
        while mortal::live(give_back).is_none() {}
    }

    /// Everything committed is finished once.
    fn check(&mut self, case: &dyn std::fmt::Debug) {
        let _was_not_locked_by_a_dead_resizer = self.lane.taking.lock.break_from(Holder::Resizer);
        for seat in [0, 1, 0] {
            self.finish(seat);
            self.send();
            self.take(seat, usize::MAX);
            self.finish(seat);
        }
        let mut finished = self.finished.clone();
        finished.sort_unstable();
        assert!(finished.is_sorted_by(|a, b| a < b), "doubled: {finished:?} {case:?}");
        let lost: Vec<_> = self.committed.iter().filter(|id| !finished.contains(id)).collect();
        assert!(lost.is_empty(), "lost {lost:?}; {case:?}");
    }
}

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
                    world.sweep(step);
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

#[test]
fn no_death_loses_or_doubles_what_consumers_share() {
    let segment = segment();
    let mut deaths = 0;
    for number in 0..ALL.len().pow(STEPS) {
        let script: Vec<_> = (0..STEPS).map(|place| ALL[number / ALL.len().pow(place) % ALL.len()]).collect();
        // Doing the same twice adds nothing but for sending, and nothing is taken before something is sent.
        let idle = script.windows(2).any(|pair| pair[0] == pair[1] && pair[0] != Step::Send);
        if script[0] == Step::Send && !idle && script.iter().any(|step| matches!(step, Step::Take { .. })) {
            deaths += kill_at_every_store(&segment, &script);
        }
    }
    assert!(deaths > 10_000, "{deaths}");
}
