//! Project tasks: `cargo xtask test` runs everything that must hold before a change lands, `cargo xtask bench` what
//! is measured.

mod paths;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask test
       cargo xtask bench NAME [ARGUMENTS]
       cargo xtask crash-matrix [--json] [SCENARIO]  kills processes at every step of the protocols
       cargo xtask paths [--update]     counts the instructions of sending and receiving (needs valgrind)

benchmarks (NAME --help tells their arguments):
  ring   the channel between two processes, as ratios to the floor
  locks  Tidegate's mutex in each way of waiting beside others, as ratios to the best of these
  peers  Tidegate beside other channels, as ratios to Tidegate";

/// What `cargo xtask test` runs, in order.
const TESTS: &[(&str, &[&str])] = &[
    ("tests of every crate", &["test", "--workspace", "--all-targets"]),
    ("documentation examples", &["test", "--workspace", "--doc"]),
    ("a hundred million messages", &["test", "--release", "--package", "tidegate", "--test", "long"]),
];

/// Benchmarks by name, and the manifest of each one's crate from the project's root.
const BENCHES: &[(&str, &str)] =
    &[("ring", "benches/Cargo.toml"), ("locks", "benches/Cargo.toml"), ("peers", "benches/peers/Cargo.toml")];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["test"] => test(),
        ["paths"] => check_paths(false),
        ["paths", "--update"] => check_paths(true),
        ["crash-matrix", arguments @ ..] => crash_matrix(arguments).into(),
        ["bench", name, arguments @ ..] => bench(name, arguments),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn test() -> ExitCode {
    for (name, arguments) in TESTS {
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        let code = cargo(arguments, None);
        if code != 0 {
            return code.into();
        }
    }
    eprintln!("== models of the protocols: tests/loom");
    let models = ["test", "--release", "--package", "tidegate", "--test", "loom", "--target-dir", "target/loom"];
    let code = cargo(&models, Some("--cfg loom"));
    if code != 0 {
        return code.into();
    }
    eprintln!("== a death at every step: cargo xtask crash-matrix");
    let code = crash_matrix(&[]);
    if code != 0 {
        return code.into();
    }
    if paths::can_count() {
        eprintln!("== instructions of sending and receiving: cargo xtask paths");
        return check_paths(false);
    }
    if std::env::var_os("CI").is_some() {
        eprintln!("valgrind is missing: it counts the instructions of sending and receiving");
        return ExitCode::FAILURE;
    }
    eprintln!("== instructions of sending and receiving: not counted, valgrind is missing");
    ExitCode::SUCCESS
}

fn crash_matrix(arguments: &[&str]) -> u8 {
    let run = ["test", "--release", "--package", "tidegate", "--test", "crash", "--target-dir", "target/crash", "--"];
    cargo(&[&run, arguments].concat(), Some("--cfg failpoints"))
}

fn check_paths(update: bool) -> ExitCode {
    match paths::run(update) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(name: &str, arguments: &[&str]) -> ExitCode {
    let Some((_, manifest)) = BENCHES.iter().find(|(known, _)| *known == name) else {
        return usage();
    };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(manifest);
    let manifest = manifest.to_string_lossy();
    let run = ["run", "--release", "--manifest-path", &manifest, "--bin", name, "--"];
    cargo(&[&run, arguments].concat(), None).into()
}

/// Runs cargo and yields its exit code, or 1 if it has none.
fn cargo(arguments: &[&str], rustflags: Option<&str>) -> u8 {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    if let Some(flags) = rustflags {
        command.env("RUSTFLAGS", flags);
    }
    command.status().ok().and_then(|status| status.code()).map_or(1, |code| u8::try_from(code).unwrap_or(1))
}
