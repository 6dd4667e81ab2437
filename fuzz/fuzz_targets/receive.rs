//! Who has a channel or a lock goes on using it while its memory says anything.
#![no_main]

#[path = "../../tests/hostile/exercise.rs"]
#[allow(dead_code, reason = "the other target opens them")]
mod exercise;
#[path = "../../tests/hostile/memory.rs"]
#[allow(dead_code, reason = "the tests take memory away, too")]
mod memory;
mod spoil;

libfuzzer_sys::fuzz_target!(|input: spoil::Input| input.spoil().exercise());
