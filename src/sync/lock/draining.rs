//! A writer that has the lock waits until nobody reads. Steps W1-W3 and D2 of `PROTOCOL.md`.

use std::time::Duration;

use crate::sync::clock::now_ns;
use crate::sync::futex::Slept;
use crate::sync::lock::guarded::Guarded;
use crate::sync::lock::readers::{Readers, ReadersWriterWords};
use crate::sync::lock::wait::{WaitCost, polls_after};
use crate::sync::wait::PEER_CHECK_NS;

impl Guarded<ReadersWriterWords> {
    /// The readers of this mapping.
    #[inline]
    pub(crate) fn readers(&self) -> &Readers {
        self.words.readers_of(self.taken)
    }

    /// Waits, with the lock in hand, until nobody reads, and nobody comes to read; false when `deadline_ns`, on [`now_ns`]'s
    /// clock, has passed. Books that together with what the lock has `cost`.
    pub(crate) fn drain(&self, deadline_ns: Option<u64>, mut cost: Option<WaitCost>) -> bool {
        let have_left = self.words.drain(|readers| {
            let cost = cost.get_or_insert_default();
            self.wait_until_left(readers, deadline_ns, cost)
        });
        if have_left {
            self.book(cost);
        }
        have_left
    }

    /// Whether nobody who lives reads now.
    pub(crate) fn is_unread(&self) -> bool {
        let is_unread = || self.words.all_readers().iter().all(Readers::have_left);
        is_unread() || self.forget_the_dead_when_due(now_ns()) && is_unread()
    }

    #[cold]
    fn wait_until_left(&self, readers: &Readers, deadline_ns: Option<u64>, cost: &mut WaitCost) -> bool {
        let began_ns = now_ns();
        let mut now = began_ns;
        let have_left = loop {
            if readers.have_left() {
                break true;
            }
            self.forget_the_dead_when_due(now);
            if deadline_ns.is_some_and(|deadline| now >= deadline) {
                break readers.have_left();
            }
            let waited_ns = now - began_ns;
            if self.strategy().on_this_machine().sleeps_after(waited_ns) {
                let limit_ns = deadline_ns.map_or(PEER_CHECK_NS, |deadline| PEER_CHECK_NS.min(deadline - now));
                cost.parks += u64::from(readers.sleep(Duration::from_nanos(limit_ns)) != Slept::Not);
            } else {
                for _ in 0..polls_after(waited_ns) {
                    std::hint::spin_loop();
                    if readers.have_left() {
                        break;
                    }
                }
            }
            now = now_ns();
        };
        cost.wait_ns += now - began_ns;
        have_left
    }

    /// D2 of all that are gone, if it is time to ask: each would hold a writer up until then.
    fn forget_the_dead_when_due(&self, now: u64) -> bool {
        let is_due = self.readers_check.is_due(now);
        if is_due {
            for readers in self.words.all_readers().iter().filter(|readers| !readers.have_left()) {
                let seat = readers.owner();
                if self.is_gone(seat) {
                    readers.forget(seat);
                }
            }
        }
        is_due
    }
}
