//! glibc's mutexes in a file that processes map. The only unsafe code of the benchmarks: these locks have no other interface.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use memmap2::{MmapOptions, MmapRaw};

/// PTHREAD_MUTEX_ADAPTIVE_NP of glibc's `pthread.h`.
const ADAPTIVE: libc::c_int = 3;
/// Bytes of the file: the mutex, and its count on a line of its own.
const BYTES: usize = 4096;
const COUNT_OFFSET: usize = 128;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= COUNT_OFFSET);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PthreadKind {
    Robust,
    Adaptive,
}

/// A mutex that processes share; who made it removes its file.
pub(super) struct PthreadMutex {
    map: MmapRaw,
    file_made: Option<PathBuf>,
}

// SAFETY: the mutex is made for threads of many processes, and the count is reached with the mutex in hand alone.
unsafe impl Sync for PthreadMutex {}

impl PthreadMutex {
    pub(super) fn create(name: &str, kind: PthreadKind) -> anyhow::Result<Self> {
        let path = path(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        file.set_len(BYTES as u64)?;
        let made = Self { map: map(&file)?, file_made: Some(path) };
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised first and destroyed last; the mutex lies in memory that is mapped, large
        // enough and aligned, and that nobody else has opened yet.
        let results = unsafe {
            let attributes = attributes.as_mut_ptr();
            [
                libc::pthread_mutexattr_init(attributes),
                libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED),
                match kind {
                    PthreadKind::Robust => libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST),
                    PthreadKind::Adaptive => libc::pthread_mutexattr_settype(attributes, ADAPTIVE),
                },
                libc::pthread_mutex_init(made.mutex(), attributes),
                libc::pthread_mutexattr_destroy(attributes),
            ]
        };
        ensure!(results == [0; 5], "making a mutex failed: {results:?}");
        Ok(made)
    }

    pub(super) fn open(name: &str) -> anyhow::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path(name)).context("opening the mutex")?;
        Ok(Self { map: map(&file)?, file_made: None })
    }

    fn mutex(&self) -> *mut libc::pthread_mutex_t {
        self.map.as_mut_ptr().cast()
    }

    fn locked<T>(&self, critical: impl FnOnce(*mut u64) -> T) -> T {
        // SAFETY: the mutex was initialised by who made the file, and stays mapped.
        let locked = unsafe { libc::pthread_mutex_lock(self.mutex()) };
        assert_eq!(locked, 0, "nobody dies");
        let value = critical(self.map.as_mut_ptr().wrapping_add(COUNT_OFFSET).cast());
        // SAFETY: as above, and this thread holds it.
        unsafe { libc::pthread_mutex_unlock(self.mutex()) };
        value
    }
}

impl super::Lock for PthreadMutex {
    #[inline]
    fn hold(&self, work: impl FnOnce()) {
        self.locked(|count| {
            // SAFETY: the count lies in the mapping, aligned, and whoever reaches it holds the mutex.
            unsafe { *count += 1 };
            work();
        });
    }

    fn count(&self) -> u64 {
        // SAFETY: as in `hold`.
        self.locked(|count| unsafe { *count })
    }
}

impl Drop for PthreadMutex {
    fn drop(&mut self) {
        if let Some(path) = &self.file_made {
            let _nobody_else_removes_it = std::fs::remove_file(path);
        }
    }
}

fn path(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(name)
}

fn map(file: &File) -> anyhow::Result<MmapRaw> {
    MmapOptions::new().len(BYTES).map_raw(file).context("mapping the mutex")
}
