//! Two cores, one for each end.

use std::fs;

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// The cores that a benchmark's two ends are pinned to.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cores {
    /// Of the end that measures.
    pub near: usize,
    /// Of the other end.
    pub far: usize,
}

impl Cores {
    /// The first core that this process may use, and the next that is not the same core's other hardware thread.
    ///
    /// # Errors
    /// This process may use one CPU only, or the kernel does not tell.
    pub fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("sched_getaffinity")?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        let near = allowed.next().context("no CPU is allowed")?;
        let others: Vec<usize> = allowed.collect();
        let apart = others.iter().find(|&&cpu| hardware_threads(cpu) != hardware_threads(near));
        let far = *apart.or(others.first()).context("a benchmark needs two CPUs: this process may use one")?;
        Ok(Self { near, far })
    }
}

/// The hardware threads of the core that `cpu` is one of; nothing on machines that do not tell.
fn hardware_threads(cpu: usize) -> Option<String> {
    fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")).ok()
}

/// While it lives, the thread that made it runs on one core.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Pins this thread to `core`.
    ///
    /// # Errors
    /// The kernel refuses (`sched_setaffinity(2)`).
    pub fn to(core: usize) -> anyhow::Result<Self> {
        let before = sched_getaffinity(None).context("sched_getaffinity")?;
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).with_context(|| format!("pinning to core {core}"))?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _was_allowed_before = sched_setaffinity(None, &self.before);
    }
}
