//! Wakes that a thread owes, and gives before it sleeps itself: whoever it waits for may be one of the sleepers.

use std::cell::RefCell;

use crate::shm::window::{Shared, WeakShared};
use crate::sync::wait::WaitPoint;

/// Wakes that are owed before all are given.
const OWED_MAX: usize = 16;

thread_local! {
    static OWED: RefCell<Vec<WeakShared<WaitPoint>>> = const { RefCell::new(Vec::new()) };
}

/// Owes those who sleep at `point` a wake.
#[cold]
pub(crate) fn owe(point: &Shared<WaitPoint>) {
    let are_many = OWED.with_borrow_mut(|owed| {
        if !owed.iter().any(|known| known.is(point)) {
            owed.push(point.downgrade());
        }
        owed.len() > OWED_MAX
    });
    if are_many {
        settle();
    }
}

/// Gives what this thread owes. What was given since costs a look.
#[inline]
pub(crate) fn settle() {
    // Not in a destructor of the thread, when there is nothing left to owe.
    let owed = OWED.try_with(RefCell::take).unwrap_or_default();
    owed.iter().filter_map(WeakShared::upgrade).for_each(|point| point.event.notify());
}
