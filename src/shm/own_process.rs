//! Which process this is, told by a load and no system call, also in a child that `fork` made.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapMut, MmapRaw};

use crate::prim::Ordering::Relaxed;

/// One process, and no child of it that `fork` made: not even one that has the same id, in another pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessToken(u64);

/// The process that something was made in, which a child made by `fork` has from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    token: ProcessToken,
    own: Option<&'static OwnProcess>,
}

impl Origin {
    /// This process.
    pub(crate) fn here() -> Self {
        Self { token: own_token(), own: own_process() }
    }

    /// Whether the caller runs in it.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        match self.own {
            // A child's word is 0 until its token is drawn, and no token is 0.
            Some(own) => own.token.load(Relaxed) == self.token.0,
            None => own_token() == self.token,
        }
    }
}

/// What is known of this process. The kernel empties it in a child made by `fork` (MADV_WIPEONFORK, `madvise(2)`).
#[derive(Debug)]
#[repr(C)]
struct OwnProcess {
    /// A random number; 0: not drawn yet.
    token: AtomicU64,
    /// 0: not asked yet.
    pid: AtomicU32,
}

/// The id of this process.
#[inline]
pub(crate) fn own_pid() -> u32 {
    let Some(own) = own_process() else { return std::process::id() };
    match own.pid.load(Relaxed) {
        0 => {
            let pid = std::process::id();
            own.pid.store(pid, Relaxed);
            pid
        }
        pid => pid,
    }
}

/// The token of this process.
#[inline]
pub(crate) fn own_token() -> ProcessToken {
    let Some(own) = own_process() else { return ProcessToken(std::process::id().into()) };
    match own.token.load(Relaxed) {
        0 => draw_token(own),
        token => ProcessToken(token),
    }
}

#[cold]
fn draw_token(own: &OwnProcess) -> ProcessToken {
    let mut bytes = [0; 8];
    let drawn = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    // Without random numbers children are told by their id alone.
    let token = if drawn == Ok(bytes.len()) { u64::from_ne_bytes(bytes) } else { std::process::id().into() };
    match own.token.compare_exchange(0, token.max(1), Relaxed, Relaxed) {
        Ok(_) => ProcessToken(token.max(1)),
        Err(another_threads) => ProcessToken(another_threads),
    }
}

/// Whether a child made by `fork` is told from its parent without a system call.
pub(crate) fn knows_forks() -> bool {
    own_process().is_some()
}

#[inline]
fn own_process() -> Option<&'static OwnProcess> {
    static PAGE: OnceLock<Option<MmapRaw>> = OnceLock::new();
    let page = PAGE.get_or_init(page_wiped_on_fork).as_ref()?;
    // SAFETY: the beginning of a private page, aligned as pages are, that is mapped for good, and written and read in this
    // way alone; the type is two atomics, of which any bytes are a value.
    Some(unsafe { &*page.as_ptr().cast::<OwnProcess>() })
}

/// A page that is empty in a child made by `fork`; `None` where the kernel has none.
#[cold]
fn page_wiped_on_fork() -> Option<MmapRaw> {
    let bytes = rustix::param::page_size();
    let page = MmapRaw::from(MmapMut::map_anon(bytes).ok()?);
    // SAFETY: the range is the page that was mapped just now, whose content nobody has seen.
    let advised = unsafe { rustix::mm::madvise(page.as_mut_ptr().cast(), bytes, rustix::mm::Advice::LinuxWipeOnFork) };
    advised.ok().map(|()| page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_has_its_own_id() {
        assert_eq!(own_pid(), std::process::id());
        let (token, origin) = (own_token(), Origin::here());
        assert!(origin.is_here());
        // SAFETY: the child calls `getpid`, `getrandom` and `_exit` only, besides the function under test, which allocates nothing.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_told = !origin.is_here() && own_token() != token && !origin.is_here();
            let is_own = is_told && own_pid() == std::process::id() && own_token() == own_token();
            // SAFETY: ends the child, and nothing else.
            unsafe { libc::_exit(if is_own { 0 } else { 1 }) };
        }
        let mut status = 1;
        // SAFETY: `status` is writable, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!((own_pid(), own_token()), (std::process::id(), token));
    }
}
