//! Shared memory, and files, that say anything: every call comes back, with a result or a typed error, and none panics.
//!
//! What is tried runs in a child process, this binary with a role, so that a crash and a hang are seen as such.

#[path = "../harness/mod.rs"]
mod harness;

mod bits;
mod child;
mod exercise;
mod exhaustion;
mod files;
mod inputs;
mod memory;
mod scribbler;

use harness::trial;
use libtest_mimic::{Arguments, Trial};

fn main() {
    if let Ok(role) = std::env::var(child::ROLE) {
        child::run(&role);
        return;
    }
    let directory = harness::have_names_apart();
    let mut trials = vec![
        trial("a_name_files_bits_are_flipped", files::a_name_files_bits_are_flipped),
        trial("any_bytes_are_read_as_a_trace_or_refused", inputs::any_bytes_are_read_as_a_trace_or_refused),
        trial("any_bytes_are_read_as_a_model_or_refused", inputs::any_bytes_are_read_as_a_model_or_refused),
    ];
    for kind in exercise::KINDS {
        let trial = |of: &str, role: &'static str| {
            let role = format!("{role} {}", kind.name);
            Trial::test(format!("{of}_{}", kind.name.replace('-', "_")), move || Ok(child::judge(&role)?))
        };
        trials.push(trial("every_bit_is_flipped_in", "flip"));
        trials.push(trial("every_page_is_taken_from", "punch"));
        trials.push(trial("another_process_scribbles_over", "scribbled"));
    }
    let limit = |name: &str, of: &'static str| Trial::test(name, move || Ok(child::judge(&format!("limit {of}"))?));
    let is_ignored = !exhaustion::has_privileges();
    trials.extend([
        limit("what_stands_in_a_names_place_is_refused", "names"),
        limit("descriptors_run_out", "descriptors"),
        limit("address_space_runs_out", "mappings"),
        limit("the_directory_of_names_is_full", "space").with_ignored_flag(is_ignored),
        limit("another_user_is_refused", "root").with_ignored_flag(is_ignored),
    ]);
    let mut arguments = Arguments::from_args();
    // They sleep most of the time.
    arguments.test_threads.get_or_insert(6);
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(directory);
    conclusion.exit();
}
