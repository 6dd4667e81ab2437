//! Senders that come and go while the receiver asks whether any is left: steps S1, S4 and V2.

use loom::sync::Arc;
use loom::thread;

use crate::channel_presence::{Arrivals, arrive, is_free, leave};
use crate::model;
use crate::prim::AtomicU64;
use crate::prim::Ordering::{Acquire, Relaxed, Release};

/// Two lanes, by owner and by what was committed to them.
#[derive(Default)]
struct Lanes {
    attached: AtomicU64,
    owners: [AtomicU64; 2],
    committed: [AtomicU64; 2],
}

impl Lanes {
    fn attach(&self, lane: usize) {
        self.owners[lane].store(1, Release);
        arrive(&self.attached);
    }

    /// As the receiver polls: what was committed, or `None` when every sender has gone.
    fn poll(&self) -> Option<u64> {
        let arrivals = Arrivals::seen(&self.attached);
        let alone = self.owners.iter().all(is_free);
        let committed = self.committed.iter().map(|lane| lane.load(Acquire)).sum();
        let disconnected = committed == 0 && alone && arrivals.are_all(&self.attached);
        (!disconnected).then_some(committed)
    }
}

#[test]
fn a_handover_between_senders_is_no_disconnect() {
    for (first, second) in [(0, 1), (1, 0)] {
        model(3, move || {
            let lanes = Arc::new(Lanes::default());
            lanes.attach(first);
            let handover = thread::spawn({
                let lanes = Arc::clone(&lanes);
                move || {
                    lanes.attach(second);
                    leave(&lanes.owners[first], 1);
                }
            });
            assert!(lanes.poll().is_some(), "a sender was there all the time");
            handover.join().unwrap();
        });
    }
}

#[test]
fn the_last_message_is_seen_before_the_last_sender_is_missed() {
    model(3, || {
        let lanes = Arc::new(Lanes::default());
        lanes.attach(0);
        let sender = thread::spawn({
            let lanes = Arc::clone(&lanes);
            move || {
                lanes.committed[0].store(1, Relaxed);
                leave(&lanes.owners[0], 1);
            }
        });
        assert!(lanes.poll().is_some(), "no sender left without its message");
        sender.join().unwrap();
    });
}
