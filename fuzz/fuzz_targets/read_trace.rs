//! Any bytes are a trace, or refused.
#![no_main]

#[path = "../../tests/hostile/inputs.rs"]
#[allow(dead_code, reason = "the tests try models, too")]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    inputs::read_trace(bytes);
    // Checksums that hold, so that what is behind them is reached.
    inputs::read_trace(&inputs::framed(bytes));
});
