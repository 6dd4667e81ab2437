//! Processes that a command starts of itself, and what it says to them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// From the last child being ready to the first message.
pub(crate) const START_DELAY: Duration = Duration::from_millis(50);
/// Between two looks at the channel and the children.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a child that sends did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) cpu_ns: u64,
}

/// A child process, killed when dropped before it has ended.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts the hidden command `role` of this program.
    pub(crate) fn start(
        role: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        paths: &[PathBuf],
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::Environment(format!("cannot start a process of its own: {e}"));
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg(role)
            .args(arguments)
            .args(paths)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Environment("a process of its own has no pipes".into()));
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Waits until it is ready and tells it when to start.
    pub(crate) fn begin(&mut self, start_ns: u64) -> Result<(), Failure> {
        if self.line()? != "ready" {
            return Err(Self::died());
        }
        writeln!(self.input, "{start_ns}").map_err(|_| Self::died())
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|_| Self::died())?;
        Ok(line.trim_end().to_owned())
    }

    /// Whether it has done its work.
    pub(crate) fn has_ended(&mut self) -> Result<bool, Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(false),
            Ok(Some(status)) if status.success() => Ok(true),
            _ => Err(Self::died()),
        }
    }

    /// What it has said in the end.
    pub(crate) fn result<T: DeserializeOwned>(mut self) -> Result<T, Failure> {
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|_| Self::died())
    }

    fn died() -> Failure {
        Failure::Environment("a process of its own ended early; its message is above".into())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// In the child: says that it is ready and waits for the parent to say when to start, nanoseconds on CLOCK_MONOTONIC. When
/// the parent goes, so does the child.
pub(crate) fn start_ns() -> Result<u64, Failure> {
    println!("ready");
    let lost = |what: &str| Failure::Environment(format!("the parent process {what}"));
    std::io::stdout().flush().map_err(|_| lost("does not listen"))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|_| lost("does not speak"))?;
    std::thread::spawn(|| {
        let _ends_when_the_parent_does = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(3);
    });
    line.trim().parse().map_err(|_| lost("has gone"))
}

/// In the child: says what it has done.
pub(crate) fn say(result: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(result).map_err(|e| Failure::Environment(e.to_string()))?;
    println!("{line}");
    Ok(())
}

/// A clock in nanoseconds (`clock_gettime(2)`).
pub(crate) fn now_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
