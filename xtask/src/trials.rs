//! Runs that try to break the library: deaths at every step, deaths at random, hostile memory, and the fuzzers.

use std::process::{Command, Stdio};

use crate::{Cargo, cargo};

const PROCESSES: [&str; 6] = ["test", "--release", "--package", "tidegate", "--test", "processes"];
const SOAK: &str = "killed_and_stopped_at_random_they_lose_nothing";

/// Kills processes at every step of the protocols.
pub(crate) fn crash_matrix(arguments: &[&str]) -> u8 {
    let run = ["test", "--release", "--package", "tidegate", "--test", "crash", "--target-dir", "target/crash", "--"];
    cargo(Cargo::Own, &[&run, arguments].concat(), &[("RUSTFLAGS", "--cfg failpoints")])
}

/// Kills and stops processes at random for so many seconds.
pub(crate) fn soak(seconds: &str) -> u8 {
    cargo(Cargo::Own, &[&PROCESSES[..], &["--", SOAK]].concat(), &[("TIDEGATE_SOAK_SECONDS", seconds)])
}

/// Whether there is a nightly toolchain, which sanitizers need.
pub(crate) fn has_nightly() -> bool {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    rustc.status().is_ok_and(|status| status.success())
}

/// Hostile memory under AddressSanitizer.
pub(crate) fn sanitize(arguments: &[&str]) -> u8 {
    // Named, so that build scripts go without.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let run = [
        "test",
        "--target",
        &target,
        "--package",
        "tidegate",
        "--test",
        "hostile",
        "--target-dir",
        "target/asan",
        "--",
    ];
    cargo(Cargo::Nightly, &[&run, arguments].concat(), &[("RUSTFLAGS", "-Zsanitizer=address")])
}

/// Whether the fuzzers still compile.
pub(crate) fn check_fuzzers() -> u8 {
    cargo(Cargo::Own, &["check", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"], &[])
}

/// Whether there is a compiler for libFuzzer.
pub(crate) fn can_check_fuzzers() -> bool {
    let mut compiler = Command::new("c++");
    compiler.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    compiler.status().is_ok_and(|status| status.success())
}

/// Runs a fuzzer for so many seconds.
pub(crate) fn fuzz(target: &str, seconds: &str) -> u8 {
    let time = format!("-max_total_time={seconds}");
    cargo(Cargo::Nightly, &["fuzz", "run", target, "--", &time], &[])
}
