//! Processes that are killed at every step of the protocols, and what the others make of it.
//!
//! Built with `--cfg failpoints`, run by `cargo xtask crash-matrix`. A census runs each scenario to its end and notes the
//! points of `src/prim/failpoint.rs` that its child comes to; then the child is killed at each of them, as it comes there
//! first and as it comes there again, while the others are alive, and a referee counts messages, blocks, rings, names and
//! descriptors afterwards.

#[cfg(failpoints)]
mod channel;
#[cfg(failpoints)]
mod child;
#[cfg(failpoints)]
mod controlling;
#[cfg(failpoints)]
mod kind;
#[cfg(failpoints)]
mod ledger;
#[cfg(failpoints)]
mod locking;
#[cfg(failpoints)]
mod matrix;
#[cfg(failpoints)]
mod reading;
mod receiving;
#[cfg(failpoints)]
mod sending;

/// Without its failpoints there is nothing to run.
#[cfg(not(failpoints))]
fn main() {}

#[cfg(failpoints)]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    if let Ok(role) = std::env::var(child::ROLE) {
        child::run(&role);
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let only = arguments.iter().find(|argument| !argument.starts_with("--"));
    // Names stay apart from those of the user.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let directory = tempfile::Builder::new().permissions(private).tempdir_in("/dev/shm").expect("/dev/shm");
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("TIDEGATE_DIR", directory.path()) };
    let result = matrix::run(directory.path(), only.map(String::as_str));
    result.print(json);
    if result.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
