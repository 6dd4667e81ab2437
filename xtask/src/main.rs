//! Project tasks: `cargo xtask test` runs everything that must hold before a change lands, `cargo xtask bench` what
//! is measured.

mod paths;
mod python;
mod trials;
mod watched;

use std::path::Path;
use std::process::{Command, ExitCode};

use watched::{page, prometheus, terminal};

const USAGE: &str = "\
usage: cargo xtask test
       cargo xtask bench NAME [ARGUMENTS]
       cargo xtask crash-matrix [--json] [SCENARIO]  kills processes at every step of the protocols
       cargo xtask soak [SECONDS]       kills and stops eight processes at random (default: 600)
       cargo xtask sanitize [FILTER]    hostile memory under AddressSanitizer (needs a nightly toolchain)
       cargo xtask fuzz TARGET [SECONDS]  open_segment, receive, read_trace or read_model (default: 60; needs cargo-fuzz)
       cargo xtask test-page [DIRECTORY]  the page of a demo in a browser; pictures to DIRECTORY (default: target/page)
       cargo xtask test-prometheus      the metrics of a demo as Prometheus sees them, and what ops/ makes of them
       cargo xtask test-top [--update]  `tidegate top` beside a demo, in tmux
       cargo xtask test-python          the Python package, installed into an environment of its own
       cargo xtask paths [--update]     counts the instructions of sending and receiving (needs valgrind)

benchmarks (NAME --help tells their arguments):
  ring   the channel between two processes, as ratios to the floor
  locks  Tidegate's mutex in each way of waiting beside others, as ratios to the best of these
  rwlock  readers and writers: Tidegate's reader-writer lock and parking_lot's, as ratios to Tidegate's mutex
  peers  Tidegate beside other channels, as ratios to Tidegate
  forecast  the forecast of one channel for one tick: time and allocations
  gauntlet  Tidegate with no knob touched beside every static configuration, on workloads that change
  budget  a thousand channels that share one memory budget, beside an equal split of it
  scrape  a scrape of a thousand channels, and what senders notice of it";

/// What a step needs and not every machine has.
struct Tool {
    name: &'static str,
    is_there: fn() -> bool,
}

/// Those that not every machine can have.
const MAY_BE_MISSING: [&str; 2] = ["nightly toolchain", "C++ compiler"];

/// A part of `cargo xtask test`.
struct Step {
    name: &'static str,
    needs: Option<Tool>,
    /// Yields its exit code.
    run: fn() -> u8,
}

const fn step(name: &'static str, run: fn() -> u8) -> Step {
    Step { name, needs: None, run }
}

/// What `cargo xtask test` runs, in order.
const STEPS: &[Step] = &[
    step("tests of every crate", || cargo(Cargo::Own, &["test", "--workspace", "--all-targets"], &[])),
    step("documentation examples", || cargo(Cargo::Own, &["test", "--workspace", "--doc"], &[])),
    step("a hundred million messages", || cargo(Cargo::Own, LONG, &[])),
    step("models of the protocols: tests/loom", || cargo(Cargo::Own, MODELS, &[("RUSTFLAGS", "--cfg loom")])),
    step("a death at every step: cargo xtask crash-matrix", || trials::crash_matrix(&[])),
    step("deaths at random: cargo xtask soak 60", || trials::soak("60")),
    Step {
        name: "hostile memory under AddressSanitizer: cargo xtask sanitize",
        needs: Some(Tool { name: "nightly toolchain", is_there: trials::has_nightly }),
        run: || trials::sanitize(&["--skip", "every_bit"]),
    },
    Step {
        name: "fuzzers compile: cargo xtask fuzz",
        needs: Some(Tool { name: "C++ compiler", is_there: trials::can_check_fuzzers }),
        run: trials::check_fuzzers,
    },
    Step {
        name: "the page in a browser: cargo xtask test-page",
        needs: Some(Tool { name: "node, npm and chromium", is_there: page::can_browse }),
        run: || watched::code(page::check(Path::new(PICTURES), ON_A_LOADED_MACHINE_S)),
    },
    Step {
        name: "the metrics in Prometheus: cargo xtask test-prometheus",
        needs: Some(Tool { name: "prometheus with promtool", is_there: prometheus::can_scrape }),
        run: || watched::code(prometheus::check()),
    },
    Step {
        name: "the terminal: cargo xtask test-top",
        needs: Some(Tool { name: "tmux", is_there: terminal::has_terminal }),
        run: || watched::code(terminal::check(false)),
    },
    Step {
        name: "the Python package: cargo xtask test-python",
        needs: Some(Tool { name: "Python 3.11 with venv", is_there: python::can_build }),
        run: || watched::code(python::check()),
    },
    Step {
        name: "instructions of sending and receiving: cargo xtask paths",
        needs: Some(Tool { name: "valgrind", is_there: paths::can_count }),
        run: || check_paths(false),
    },
];

/// Seconds within which a new decision has to show on the page: on a machine that has time for it, and on one that has not.
const SHOWN_WITHIN_S: u32 = 2;
const ON_A_LOADED_MACHINE_S: u32 = 30;
/// Where pictures of the page go.
const PICTURES: &str = "target/page";
const LONG: &[&str] = &["test", "--release", "--package", "tidegate", "--test", "long"];
const MODELS: &[&str] =
    &["test", "--release", "--package", "tidegate", "--test", "loom", "--target-dir", "target/loom"];

/// Benchmarks by name, and the manifest of each one's crate from the project's root.
const BENCHES: &[(&str, &str)] = &[
    ("ring", "benches/Cargo.toml"),
    ("locks", "benches/Cargo.toml"),
    ("rwlock", "benches/Cargo.toml"),
    ("peers", "benches/peers/Cargo.toml"),
    ("forecast", "benches/Cargo.toml"),
    ("gauntlet", "benches/gauntlet/Cargo.toml"),
    ("budget", "benches/Cargo.toml"),
    ("scrape", "benches/Cargo.toml"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["test"] => test(),
        ["paths"] => check_paths(false).into(),
        ["paths", "--update"] => check_paths(true).into(),
        ["test-page"] => watched::code(page::check(Path::new(PICTURES), SHOWN_WITHIN_S)).into(),
        ["test-page", pictures] => watched::code(page::check(Path::new(pictures), SHOWN_WITHIN_S)).into(),
        ["test-prometheus"] => watched::code(prometheus::check()).into(),
        ["test-python"] => watched::code(python::check()).into(),
        ["test-top"] => watched::code(terminal::check(false)).into(),
        ["test-top", "--update"] => watched::code(terminal::check(true)).into(),
        ["crash-matrix", arguments @ ..] => trials::crash_matrix(arguments).into(),
        ["soak"] => trials::soak("600").into(),
        ["soak", seconds] => trials::soak(seconds).into(),
        ["sanitize", filter @ ..] => trials::sanitize(filter).into(),
        ["fuzz", target] => trials::fuzz(target, "60").into(),
        ["fuzz", target, seconds] => trials::fuzz(target, seconds).into(),
        ["bench", name, arguments @ ..] => bench(name, arguments),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn test() -> ExitCode {
    for step in STEPS {
        if let Some(missing) = step.needs.as_ref().filter(|tool| !(tool.is_there)()) {
            eprintln!("== {}: not run, there is no {}", step.name, missing.name);
            continue;
        }
        eprintln!("== {}", step.name);
        let code = (step.run)();
        if code != 0 {
            return code.into();
        }
    }
    let missing: Vec<&str> = STEPS
        .iter()
        .filter_map(|step| step.needs.as_ref())
        .filter(|tool| !(tool.is_there)())
        .map(|tool| tool.name)
        .collect();
    if std::env::var_os("CI").is_some() && missing.iter().any(|name| !MAY_BE_MISSING.contains(name)) {
        eprintln!("missing: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn check_paths(update: bool) -> u8 {
    match paths::run(update) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
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
    cargo(Cargo::Own, &[&run, arguments].concat(), &[]).into()
}

/// Which toolchain's cargo.
enum Cargo {
    /// The one that runs this.
    Own,
    Nightly,
}

/// Runs cargo with these variables set and yields its exit code, or 1 if it has none.
fn cargo(which: Cargo, arguments: &[&str], variables: &[(&str, &str)]) -> u8 {
    let mut command = match which {
        Cargo::Own => Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        Cargo::Nightly => {
            let mut command = Command::new("rustup");
            // Else it is the toolchain that runs this.
            command.args(["run", "nightly", "cargo"]).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
            command
        }
    };
    command.args(arguments).envs(variables.iter().copied());
    command.status().ok().and_then(|status| status.code()).map_or(1, |code| u8::try_from(code).unwrap_or(1))
}
