//! What was measured, and where.

use std::fs;
use std::process::Command;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// Files a channel takes, at most.
const FILES_A_CHANNEL: u64 = 4;

/// The machine and the code that a report is about.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// As the CPU calls itself.
    pub cpu_model: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The commit checked out, with `-dirty` where files differ from it.
    pub commit: String,
}

impl Machine {
    /// This machine, and the checkout that this crate was built in.
    pub fn here() -> Self {
        Self {
            cpu_model: cpu_model().unwrap_or_else(unknown),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), |s| s.trim().into()),
            commit: commit().unwrap_or_else(unknown),
        }
    }
}

/// Lets this process have so many channels open at once.
///
/// # Errors
/// The limit of open files cannot be raised that far.
pub fn allow_channels(channels: u32) -> anyhow::Result<()> {
    let files = u64::from(channels) * FILES_A_CHANNEL;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let current = limit.maximum.map_or(files, |most| most.min(files));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit }).context("too few files may be open")?;
    }
    Ok(())
}

fn unknown() -> String {
    "unknown".into()
}

fn cpu_model() -> Option<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, model) = cpus.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(model.trim().into())
}

fn commit() -> Option<String> {
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain"])?;
    Some(if changes.is_empty() { hash } else { format!("{hash}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().into())
}
