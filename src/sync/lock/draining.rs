//! A writer that has the lock waits until nobody reads. Steps W1-W3 and D2 of `PROTOCOL.md`.

use std::time::Duration;

use crate::prim::step;
use crate::sync::clock::now_ns;
use crate::sync::eventcount::PARK_NS_MAX;
use crate::sync::lock::guarded::Guarded;
use crate::sync::lock::readers::{Readers, ReadersWriterWords};
use crate::sync::lock::wait::{WaitCost, polls_after};

impl Guarded<ReadersWriterWords> {
    /// The readers of this mapping.
    #[inline]
    pub(crate) fn readers(&self) -> &Readers {
        self.words.readers_of(self.owner)
    }

    /// Waits, with the lock in hand, until nobody reads, and nobody comes to read; false when `deadline_ns`, on [`now_ns`]'s
    /// clock, has passed.
    pub(crate) fn drain(&self, deadline_ns: Option<u64>) -> bool {
        self.words.close_to_readers();
        step("write.closed");
        let have_left = self
            .words
            .all_readers()
            .iter()
            .all(|readers| readers.have_left() || self.wait_until_left(readers, deadline_ns));
        step("write.drained");
        have_left
    }

    #[cold]
    fn wait_until_left(&self, readers: &Readers, deadline_ns: Option<u64>) -> bool {
        let began_ns = now_ns();
        let (mut deaths, mut parks) = (self.reader_deaths(), 0);
        loop {
            let now = now_ns();
            if let Some((seat, _)) = deaths.dead_when_due(now, || readers.owner()) {
                readers.forget(seat);
            }
            if readers.have_left() {
                self.book(WaitCost { wait_ns: now - began_ns, parks });
                return true;
            }
            if deadline_ns.is_some_and(|deadline| now >= deadline) {
                return false;
            }
            let waited_ns = now - began_ns;
            if self.strategy().on_this_machine().sleeps_after(waited_ns) {
                parks += 1;
                let limit_ns = deadline_ns.map_or(PARK_NS_MAX, |deadline| PARK_NS_MAX.min(deadline - now));
                let _look_again = readers.sleep(Duration::from_nanos(limit_ns));
                continue;
            }
            for _ in 0..polls_after(waited_ns) {
                std::hint::spin_loop();
                if readers.have_left() {
                    break;
                }
            }
        }
    }
}
