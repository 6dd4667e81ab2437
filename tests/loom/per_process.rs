//! One value a process: edge `founded`.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::model;
use crate::sync::per_process::PerProcess;

/// A value whose making loom checks against its use.
struct Made(UnsafeCell<u32>);

// SAFETY: written only while it is made, before another thread can have it.
unsafe impl Sync for Made {}

impl Made {
    fn new(number: u32) -> Self {
        let made = Self(UnsafeCell::new(0));
        // SAFETY: nobody else has it yet.
        made.0.with_mut(|value| unsafe { *value = number });
        made
    }

    fn number(&self) -> u32 {
        // SAFETY: as for `Sync`.
        self.0.with(|value| unsafe { *value })
    }
}

#[test]
fn threads_of_a_process_share_one_value_and_a_child_has_its_own() {
    model(3, || {
        let cell = Arc::new(PerProcess::new());
        let parents = cell.get(1, || Made::new(1));
        let other = thread::spawn({
            let cell = Arc::clone(&cell);
            move || std::ptr::from_ref(cell.get(2, || Made::new(2))) as usize
        });
        let own = cell.get(2, || Made::new(3));
        assert!(matches!(own.number(), 2 | 3));
        assert_eq!(other.join().unwrap(), std::ptr::from_ref(own) as usize);
        assert_eq!(parents.number(), 1);
    });
}
