//! Promises about processes, tested with processes: each child is this binary, started again with a role.

#[path = "../harness/mod.rs"]
mod harness;

mod child;
mod crowd;
mod death;
mod guarded;
mod locking;
mod message;
mod ordering;
mod reading;
mod resize;
mod sharing;
mod soak;
mod stopping;
mod waiting;

use harness::trial;
use libtest_mimic::Arguments;

fn main() {
    if let Ok(role) = std::env::var(child::ROLE) {
        child::run(&role);
        return;
    }
    let directory = harness::have_names_apart();
    let conclusion = libtest_mimic::run(
        &Arguments::from_args(),
        vec![
            trial("a_thousand_resizes_lose_and_double_nothing", resize::a_thousand_resizes_lose_and_double_nothing),
            trial("memory_of_left_rings_comes_back", resize::memory_of_left_rings_comes_back),
            trial("strategies_switch_under_traffic", waiting::strategies_switch_under_traffic),
            trial("a_deadline_is_a_stall_and_not_a_death", waiting::a_deadline_is_a_stall_and_not_a_death),
            trial(
                "a_killed_sender_leaves_exactly_what_it_committed",
                death::a_killed_sender_leaves_exactly_what_it_committed,
            ),
            trial(
                "what_a_killed_receiver_had_in_hand_goes_to_another",
                sharing::what_a_killed_receiver_had_in_hand_goes_to_another,
            ),
            trial("a_killed_receiver_holds_nobody_back", sharing::a_killed_receiver_holds_nobody_back),
            trial("the_last_receiver_to_die_is_reported", sharing::the_last_receiver_to_die_is_reported),
            trial("claims_of_killed_senders_hold_nobody_up", ordering::claims_of_killed_senders_hold_nobody_up),
            trial("senders_killed_at_random_leave_one_order", ordering::senders_killed_at_random_leave_one_order),
            trial("a_task_hears_of_a_death", death::a_task_hears_of_a_death),
            trial("who_waits_again_and_again_hears_of_a_death", death::who_waits_again_and_again_hears_of_a_death),
            trial("a_killed_receiver_is_reported_and_replaced", death::a_killed_receiver_is_reported_and_replaced),
            trial(
                "a_name_is_free_again_when_its_holder_is_killed",
                death::a_name_is_free_again_when_its_holder_is_killed,
            ),
            trial(
                "senders_killed_at_random_lose_nothing_committed",
                death::senders_killed_at_random_lose_nothing_committed,
            ),
            trial(
                "a_killed_owners_lock_comes_with_what_it_left",
                locking::a_killed_owners_lock_comes_with_what_it_left,
            ),
            trial("a_stopped_owner_keeps_the_lock", locking::a_stopped_owner_keeps_the_lock),
            trial(
                "killed_and_stopped_contenders_hold_nobody_up",
                locking::killed_and_stopped_contenders_hold_nobody_up,
            ),
            trial("a_forked_child_is_refused_and_frees_nothing", locking::a_forked_child_is_refused_and_frees_nothing),
            trial(
                "killed_and_stopped_at_random_they_lose_nothing",
                soak::killed_and_stopped_at_random_they_lose_nothing,
            ),
            trial("a_stopped_senders_claim_keeps_its_place", stopping::a_stopped_senders_claim_keeps_its_place),
            trial(
                "a_stopped_receiver_keeps_what_it_has_in_hand",
                stopping::a_stopped_receiver_keeps_what_it_has_in_hand,
            ),
            trial("a_stopped_sender_keeps_its_loans", stopping::a_stopped_sender_keeps_its_loans),
            trial("a_stopped_follower_misses_nothing", stopping::a_stopped_follower_misses_nothing),
            trial(
                "sixty_four_senders_find_a_dead_receiver_at_once",
                crowd::sixty_four_senders_find_a_dead_receiver_at_once,
            ),
            trial("sixty_four_waiters_find_a_dead_owner_at_once", crowd::sixty_four_waiters_find_a_dead_owner_at_once),
            trial("who_only_receives_cannot_write_to_messages", guarded::who_only_receives_cannot_write_to_messages),
            trial("who_only_receives_hears_of_deaths", guarded::who_only_receives_hears_of_deaths),
            trial("a_killed_reader_holds_no_writer_up", reading::a_killed_reader_holds_no_writer_up),
            trial(
                "a_killed_writers_lock_comes_with_what_it_left",
                reading::a_killed_writers_lock_comes_with_what_it_left,
            ),
            trial("a_writer_killed_as_it_waits_leaves_nothing", reading::a_writer_killed_as_it_waits_leaves_nothing),
            trial("a_stopped_reader_keeps_writers_out", reading::a_stopped_reader_keeps_writers_out),
            trial("a_forked_child_takes_no_reader_away", reading::a_forked_child_takes_no_reader_away),
            trial("killed_readers_and_writers_hold_nobody_up", reading::killed_readers_and_writers_hold_nobody_up),
            trial("permits_of_the_killed_come_back", locking::permits_of_the_killed_come_back),
        ],
    );
    drop(directory);
    conclusion.exit();
}
