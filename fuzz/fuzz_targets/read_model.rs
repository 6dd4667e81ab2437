//! Any bytes are a model, which forecasts numbers, or refused.
#![no_main]

#[path = "../../tests/hostile/inputs.rs"]
#[allow(dead_code, reason = "the tests try traces, too")]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    inputs::read_model(bytes);
});
