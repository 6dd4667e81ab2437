//! A segment that says anything about itself is opened and used, or refused.
#![no_main]

#[path = "../../tests/hostile/exercise.rs"]
mod exercise;
#[path = "../../tests/hostile/memory.rs"]
#[allow(dead_code, reason = "the tests take memory away, too")]
mod memory;
mod spoil;

libfuzzer_sys::fuzz_target!(|input: spoil::Input| {
    let mut thing = input.spoil();
    input.kind().open_and_use(&spoil::name());
    thing.exercise();
});
