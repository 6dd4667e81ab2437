//! The process at the other end: this program once more, with a hidden argument.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

/// A child process; killed if it is dropped before it was seen to finish.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
}

impl Child {
    /// Starts this program as a child that does `role`. To be called before the calling thread is pinned: the child
    /// inherits where it may run.
    ///
    /// # Errors
    /// The program cannot be started again.
    pub fn spawn<R: Serialize>(role: &R, stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command.arg("--role").arg(serde_json::to_string(role)?).stdin(stdin).stdout(stdout);
        Ok(Self { process: command.spawn().context("starting the other process")? })
    }

    /// Waits until the child has ended.
    ///
    /// # Errors
    /// It failed; it has told why on standard error.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let status = self.process.wait().context("waiting for the other process")?;
        ensure!(status.success(), "the other process failed: {status}");
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped_already = self.process.wait();
    }
}
