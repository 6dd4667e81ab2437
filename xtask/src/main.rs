//! Project tasks: `cargo xtask test` runs everything that must hold before a change lands.

use std::process::{Command, ExitCode};

/// What `cargo xtask test` runs, in order.
const TESTS: &[(&str, &[&str])] = &[
    ("tests of every crate", &["test", "--workspace", "--all-targets"]),
    ("documentation examples", &["test", "--workspace", "--doc"]),
];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("test") => test(),
        _ => {
            eprintln!("usage: cargo xtask test");
            ExitCode::from(2)
        }
    }
}

fn test() -> ExitCode {
    for (name, arguments) in TESTS {
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        if !cargo(arguments, None) {
            return ExitCode::FAILURE;
        }
    }
    eprintln!("== models of the protocols: tests/loom");
    let models = ["test", "--release", "--package", "tidegate", "--test", "loom", "--target-dir", "target/loom"];
    if cargo(&models, Some("--cfg loom")) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo(arguments: &[&str], rustflags: Option<&str>) -> bool {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    if let Some(flags) = rustflags {
        command.env("RUSTFLAGS", flags);
    }
    command.status().is_ok_and(|status| status.success())
}
