//! A fence that costs the frequent side nothing and the rare side a system call; see `PROTOCOL.md`.

#[cfg(not(loom))]
pub(crate) use kernel::{heavy, light, register};
#[cfg(loom)]
pub(crate) use model::{heavy, light};

#[cfg(not(loom))]
mod kernel {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

    /// Whether this process is registered, so that others' heavy fences reach its threads.
    static REACHABLE: AtomicBool = AtomicBool::new(false);

    /// Makes this process's light fences free, where the kernel allows it. Each process calls it before it waits or
    /// wakes; without it the light fence is a full barrier.
    pub(crate) fn register() {
        static ONCE: OnceLock<()> = OnceLock::new();
        ONCE.get_or_init(|| {
            let registered = membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
            REACHABLE.store(registered, Ordering::Relaxed);
        });
    }

    /// Orders this thread's earlier stores before its later loads, as seen by threads that call [`heavy`].
    #[inline]
    pub(crate) fn light() {
        if REACHABLE.load(Ordering::Relaxed) {
            compiler_fence(Ordering::SeqCst);
        } else {
            // Edge `dekker`: to `heavy` in the waiter (step W3).
            fence(Ordering::SeqCst);
        }
    }

    /// The other end of [`light`]; false where it could not reach other processes.
    pub(crate) fn heavy() -> bool {
        // Edge `dekker`: to `light` in the waker (step K1).
        fence(Ordering::SeqCst);
        membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED)
    }

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: membarrier(2) takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

#[cfg(loom)]
mod model {
    use crate::prim::{Ordering, fence};

    pub(crate) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}
