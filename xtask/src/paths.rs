//! Instructions of the send and receive paths, counted by callgrind: a check that no noise of a machine can sway.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The functions of `benches/src/bin/paths.rs`.
const PATHS: [&str; 4] = ["path_send", "path_receive", "path_send_batch", "path_receive_batch"];
/// Instructions a message may grow by before the check fails, share of what is on record.
const GROWTH_MAX: f64 = 0.05;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the counts are on record: a path and its instructions a message, a line each.
fn record() -> PathBuf {
    root().join("benches/paths.txt")
}

/// Whether valgrind can be run here.
pub(crate) fn can_count() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Counts, prints beside what is on record, and fails where a path has grown. `update` writes the record instead.
pub(crate) fn run(update: bool) -> Result<(), String> {
    let built = crate::cargo(
        crate::Cargo::Own,
        &["build", "--release", "--package", "tidegate-benches", "--bin", "paths"],
        &[],
    );
    if built != 0 {
        return Err("the paths cannot be built".into());
    }
    let counts = PATHS.iter().map(|path| Ok((*path, count(path)?))).collect::<Result<Vec<_>, String>>()?;
    if update {
        let lines: String = counts.iter().map(|(path, count)| format!("{path} {count:.1}\n")).collect();
        return std::fs::write(record(), lines).map_err(|e| format!("{}: {e}", record().display()));
    }
    let text = std::fs::read_to_string(record()).map_err(|e| format!("{}: {e}", record().display()))?;
    let mut grown = Vec::new();
    for (path, count) in counts {
        let line = text.lines().find_map(|line| line.strip_prefix(path)?.strip_prefix(' '));
        let recorded: f64 = line.and_then(|n| n.parse().ok()).ok_or(format!("no count of {path} is on record"))?;
        eprintln!("{path}: {count:.1} instructions a message, {recorded:.1} on record");
        if count > recorded * (1.0 + GROWTH_MAX) {
            grown.push(format!("{path} has grown from {recorded:.1} to {count:.1} instructions a message"));
        }
    }
    if grown.is_empty() { Ok(()) } else { Err(format!("{}: see cargo xtask paths --update", grown.join(", "))) }
}

/// Instructions a message of `path`.
fn count(path: &str) -> Result<f64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=paths::{path}"))
        .arg(root().join("target/release/paths"))
        .output()
        .map_err(|e| format!("valgrind: {e}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok()).filter(|&n| n > 0.0);
    let collected = number(told.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count));
    let messages = number(String::from_utf8_lossy(&output.stdout).lines().next());
    match (collected, messages) {
        (Some(collected), Some(messages)) => Ok(collected / messages),
        _ => Err(format!("valgrind counted nothing in {path}:\n{told}")),
    }
}
