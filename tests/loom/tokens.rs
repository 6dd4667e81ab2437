//! Tokens: what one lets go is seen by who takes it, no token is doubled, and who waits for one is woken.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;

use crate::model;
use crate::sync::eventcount::EventCount;
use crate::sync::signal::token_word::TokenWord;

/// What a token guards; loom reports two that touch it at a time.
#[derive(Default)]
struct Guarded {
    word: AtomicU64,
    event: EventCount,
    value: UnsafeCell<u32>,
}

impl Guarded {
    fn of(tokens: u64) -> Arc<Self> {
        Arc::new(Self { word: AtomicU64::new(tokens), ..Self::default() })
    }

    fn tokens(&self) -> TokenWord<'_> {
        TokenWord(&self.word)
    }

    /// Takes the token, sleeping over it; a wake-up that is lost is a deadlock, which loom reports.
    fn take(&self, seat: u64) {
        let take = || self.tokens().take(seat);
        while take().or_else(|| self.event.park(Duration::MAX, take)).is_none() {}
    }

    fn add_one(&self) {
        // SAFETY: the caller has the only token.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn give(&self) {
        self.tokens().give(1).unwrap();
        self.event.notify();
    }
}

fn after<R>(guarded: &Arc<Guarded>, run: impl FnOnce(&Guarded) -> R + 'static) -> thread::JoinHandle<R>
where
    R: 'static,
{
    let guarded = Arc::clone(guarded);
    thread::spawn(move || run(&guarded))
}

#[test]
fn one_at_a_time_has_the_only_token() {
    model(2, || {
        let guarded = Guarded::of(1);
        let other = after(&guarded, |guarded| {
            guarded.take(2);
            guarded.add_one();
            guarded.give();
        });
        guarded.take(1);
        guarded.add_one();
        guarded.give();
        other.join().unwrap();
        guarded.take(1);
        // SAFETY: as in `add_one`.
        assert_eq!(guarded.value.with(|value| unsafe { *value }), 2);
    });
}

#[test]
fn what_was_done_before_a_token_was_given_is_seen_by_who_takes_it() {
    model(3, || {
        let guarded = Guarded::of(0);
        let giver = after(&guarded, |guarded| {
            guarded.add_one();
            guarded.give();
        });
        guarded.take(1);
        guarded.add_one();
        giver.join().unwrap();
        // SAFETY: as in `add_one`.
        assert_eq!(guarded.value.with(|value| unsafe { *value }), 2);
    });
}

#[test]
fn the_token_of_the_dead_is_given_back_once() {
    const DEAD: u64 = 9;
    model(3, || {
        let guarded = Guarded::of(DEAD << 32);
        let heir = |seat: u64| {
            move |guarded: &Guarded| {
                let has_given = guarded.tokens().give_for(DEAD);
                (has_given, guarded.tokens().take(seat).is_some())
            }
        };
        let first = after(&guarded, heir(1));
        let second = after(&guarded, heir(2));
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert!(first.0 != second.0, "one of them gives it back");
        assert!(first.1 != second.1, "one of them has it");
        assert_eq!(guarded.tokens().look(), (0, if first.1 { 1 } else { 2 }));
    });
}
