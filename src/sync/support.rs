//! Which of the kernel's newer calls this process may use.

use crate::shm::own_process;
use crate::sync::{fences, reactor};

/// Kernel features that make waiting cheaper, and what this process may use of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// `membarrier(2)` with GLOBAL_EXPEDITED: wakers need no fence.
    pub membarrier: bool,
    /// `futex_waitv(2)`: one thread sleeps for all tasks of the process.
    pub futex_waitv: bool,
    /// MADV_WIPEONFORK (`madvise(2)`): a forked child is told from its parent without a system call.
    pub wipe_on_fork: bool,
}

impl Support {
    /// Asks the kernel.
    pub fn of_kernel() -> Self {
        fences::register();
        Self {
            membarrier: fences::heavy(),
            futex_waitv: reactor::has_futex_waitv(),
            wipe_on_fork: own_process::knows_forks(),
        }
    }
}
