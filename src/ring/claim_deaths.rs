//! Whoever uses a lane that producers share is killed at every one of its stores, and whoever comes after at every one of its
//! own.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::prim::mortal;
use crate::ring::claims::{Claimant, give_up_of};
use crate::ring::consumer::{Consumer, Payloads};
use crate::ring::deaths::{CLASSES, lane_in, resize, segment};
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
use crate::ring::producer::{Producer, Reservation};
use crate::ring::word::FrameHeader;
use crate::ring::{Readers, WhenFull};
use crate::shm::segment::Segment;
use crate::shm::window::Window;

/// Steps of the scripts, of which all are tried.
const STEPS: u32 = 5;
const HOW: (Readers, WhenFull) = (Readers::One, WhenFull::Wait);

/// What is done to the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The sender claims room, more than it needs.
    Claim {
        sender: usize,
    },
    Commit {
        sender: usize,
    },
    GiveUp {
        sender: usize,
    },
    Receive,
    Resize {
        class: u8,
    },
}

const ALL: [Step; 7] = [
    Step::Claim { sender: 0 },
    Step::Claim { sender: 1 },
    Step::Commit { sender: 0 },
    Step::Commit { sender: 1 },
    Step::GiveUp { sender: 0 },
    Step::Receive,
    Step::Resize { class: 7 },
];

struct Sender {
    producer: Producer,
    claimant: Claimant,
    claimed: Option<(u64, Reservation)>,
}

struct World {
    lane: Lane,
    area: Window,
    senders: [Option<Sender>; 2],
    consumer: Option<Consumer>,
    /// What the next message claimed is known by: they are received in this order.
    next: u64,
    committed: BTreeSet<u64>,
    received: Vec<u64>,
    /// Received by a consumer that died before its release returned.
    in_hand: Option<u64>,
}

impl World {
    fn new(segment: &Arc<Segment>) -> Self {
        let (lane, area) = lane_in(segment, true);
        Self {
            lane,
            area,
            senders: [None, None],
            consumer: None,
            next: 0,
            committed: BTreeSet::new(),
            received: Vec::new(),
            in_hand: None,
        }
    }

    /// Does `step`; false if whoever did it died.
    fn step(&mut self, step: Step) -> bool {
        let lived = mortal::live(|| match step {
            Step::Claim { sender } => self.claim(sender),
            Step::Commit { sender } => self.commit(sender),
            Step::GiveUp { sender } => {
                let sender = self.sender(sender);
                sender.claimed = None;
                sender.claimant.give_up();
            }
            Step::Receive => self.receive(),
            Step::Resize { class } => resize(&self.lane, &self.area, Readers::One, class),
        });
        lived.is_some()
    }

    /// Whoever died in `step` is swept; false if the sweeper died.
    fn sweep(&mut self, step: Step) -> bool {
        let (Step::Claim { sender } | Step::Commit { sender } | Step::GiveUp { sender }) = step else {
            if step == Step::Receive {
                self.consumer = None;
            }
            return true;
        };
        self.senders[sender] = None;
        mortal::live(|| self.settle(sender)).is_some()
    }

    /// Q7 and Q8, under what would be the structure lock.
    fn settle(&self, sender: usize) {
        let dead = [Holder::Resizer, Holder::Sender(sender as u8)];
        let turn = self.lane.producing.lock.lock_or_take_from(&dead, Holder::Resizer).unwrap();
        Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, HOW).unwrap();
        give_up_of(&self.lane, &self.area, (&CLASSES, Readers::One), &turn, sender as u8, |_| {}).unwrap();
        let _nobody_waits = turn.unlock();
    }

    fn sender(&mut self, number: usize) -> &mut Sender {
        self.senders[number].get_or_insert_with(|| {
            // Under the lock, in a channel.
            let producer = Producer::attach(self.lane.clone(), self.area.clone(), CLASSES, HOW).unwrap();
            let claimant = Claimant::new(self.lane.clone(), self.area.clone(), number as u8);
            Sender { producer, claimant, claimed: None }
        })
    }

    fn claim(&mut self, number: usize) {
        let id = self.next;
        let Sender { producer, claimant, claimed } = self.sender(number);
        *claimed = None;
        let Ok(reservation) = claimant.claim(producer, 16, |_| {}) else { return };
        *claimed = Some((id, reservation));
        self.next += 1;
    }

    fn commit(&mut self, number: usize) {
        let Sender { producer, claimant, claimed } = self.sender(number);
        let Some((id, reservation)) = claimed.take() else { return };
        producer.payload_mut(reservation)[..8].copy_from_slice(&id.to_le_bytes());
        // Every other one as long as it was claimed.
        claimant.commit(FrameHeader::Data { len: 8 + 8 * (id as u32 % 2) });
        self.committed.insert(id);
    }

    fn receive(&mut self) {
        let attach = || Consumer::attach(self.lane.clone(), self.area.clone(), CLASSES, 0).unwrap();
        let (consumer, payloads) = (self.consumer.get_or_insert_with(attach), Payloads(self.area.clone()));
        while let Some(frame) = consumer.peek().unwrap() {
            let id = u64::from_le_bytes(payloads.of(frame)[..8].try_into().unwrap());
            if self.in_hand != Some(id) {
                self.received.push(id);
                self.in_hand = Some(id);
            }
            consumer.release(frame);
            self.in_hand = None;
        }
    }

    /// Everything committed has arrived once and in order, nobody's claim stands in the way, and the counts agree.
    fn check(&mut self, died: u64, case: &dyn std::fmt::Debug) {
        (0..2).for_each(|number| {
            self.senders[number] = None;
            self.settle(number);
        });
        for number in [0, 1, 0] {
            self.receive();
            self.claim(number);
            self.commit(number);
        }
        self.receive();
        assert!(self.received.is_sorted_by(|a, b| a < b), "{:?} {case:?}", self.received);
        let lost: Vec<_> = self.committed.iter().filter(|id| !self.received.contains(id)).collect();
        assert!(lost.is_empty(), "lost {lost:?}; {case:?}");
        assert!(self.committed.len() >= 3, "there is room again; {case:?}");
        let uncounted = self.received.len() as u64 - self.lane.sent_messages();
        assert!(uncounted <= died, "{uncounted} not counted at {died} deaths; {case:?}");
    }
}

/// Runs `script` once for each pair of stores at which somebody dies; the second is counted from the first, and may be the
/// sweeper's. Returns the deaths.
fn kill_at_every_store(segment: &Arc<Segment>, script: &[Step]) -> u64 {
    let mut deaths = 0;
    for first in 0.. {
        for second in 0.. {
            let mut world = World::new(segment);
            let mut died = 0;
            mortal::die_after(first);
            for &step in script {
                let mut lived = world.step(step);
                while !lived {
                    died += 1;
                    if died == 1 {
                        mortal::die_after(second);
                    }
                    lived = world.sweep(step);
                }
            }
            let outlived = mortal::survived();
            deaths += died;
            world.check(died, &(first, second, script));
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

/// Whether a step of the script does nothing.
fn is_shorter_than_it_looks(script: &[Step]) -> bool {
    let (mut claimed, mut unread, mut resized) = ([false; 2], false, false);
    script.iter().any(|&step| {
        let (before, now) = match step {
            Step::Claim { sender } => (false, &mut claimed[sender]),
            Step::Commit { sender } | Step::GiveUp { sender } => {
                unread = true;
                (!std::mem::take(&mut claimed[sender]), &mut resized)
            }
            Step::Receive => (!std::mem::take(&mut unread), &mut resized),
            Step::Resize { .. } => (resized, &mut resized),
        };
        *now |= matches!(step, Step::Claim { .. } | Step::Resize { .. });
        before
    })
}

#[test]
fn no_death_among_claims_loses_doubles_or_holds_up_what_was_committed() {
    let (segment, mut deaths) = (segment(), 0);
    for number in 0..ALL.len().pow(STEPS) {
        let digit = |place| number / ALL.len().pow(place) % ALL.len();
        let script: Vec<_> = (0..STEPS).map(|place| ALL[digit(place)]).collect();
        if is_shorter_than_it_looks(&script) {
            continue;
        }
        deaths += kill_at_every_store(&segment, &script);
    }
    assert!(deaths > 100_000, "{deaths}");
}
