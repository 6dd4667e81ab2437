//! A sealed memfd, mapped once.
//!
//! The file is created sparse at the largest size its channel may ever need and sealed against shrinking and growing
//! (`memfd_create(2)`, `fcntl(2)` F_ADD_SEALS), so no peer can turn our loads into SIGBUS by truncating it. Memory is
//! given to ranges of it (`fallocate(2)`) before anything points at them, and taken back by punching holes.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};

use crate::shm::error::ShmError;

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// The largest segment that is mapped: more is taken for a hostile or damaged file.
const SEGMENT_BYTES_MAX: u64 = 1 << 42;

/// A shared mapping of a sealed memory file.
#[derive(Debug)]
pub(crate) struct Segment {
    file: OwnedFd,
    map: MmapRaw,
}

impl Segment {
    /// Creates a sparse segment of `len` bytes; `label` shows in `/proc/PID/maps`.
    pub(crate) fn create(label: &str, len: usize) -> Result<Self, ShmError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create(label, flags).map_err(|e| ShmError::os("memfd_create", e))?;
        rustix::fs::ftruncate(&file, len as u64).map_err(|e| ShmError::os("ftruncate", e))?;
        rustix::fs::fcntl_add_seals(&file, SEALS).map_err(|e| ShmError::os("fcntl(F_ADD_SEALS)", e))?;
        Self::map(file, len)
    }

    /// Maps a segment made by another process.
    ///
    /// Refuses a file that is not sealed, or shorter than `len_min` bytes.
    pub(crate) fn attach(file: OwnedFd, len_min: usize) -> Result<Self, ShmError> {
        let seals = rustix::fs::fcntl_get_seals(&file).map_err(|e| ShmError::os("fcntl(F_GET_SEALS)", e))?;
        if !seals.contains(SEALS) {
            return Err(ShmError::Foreign {
                field: "seals",
                found: u64::from(seals.bits()),
                expected: u64::from(SEALS.bits()),
            });
        }
        let stat = rustix::fs::fstat(&file).map_err(|e| ShmError::os("fstat", e))?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        if len > SEGMENT_BYTES_MAX || len < len_min as u64 {
            return Err(ShmError::Corrupt { what: "segment length", value: len, limit: SEGMENT_BYTES_MAX });
        }
        Self::map(file, len as usize)
    }

    fn map(file: OwnedFd, len: usize) -> Result<Self, ShmError> {
        let map = MmapOptions::new().len(len).map_raw(&file).map_err(|e| ShmError::os("mmap", e))?;
        Ok(Self { file, map })
    }

    /// Length in bytes; fixed for the segment's life.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// First byte of the mapping.
    pub(crate) fn base(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Gives memory to `len` bytes from `offset`, so that touching them cannot fail later.
    pub(crate) fn back(&self, offset: usize, len: usize) -> Result<(), ShmError> {
        let available = memory_available();
        let no_memory = || ShmError::NoMemory { bytes: len as u64, available };
        if available < len as u64 {
            return Err(no_memory());
        }
        rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset as u64, len as u64).map_err(|e| match e {
            rustix::io::Errno::NOSPC | rustix::io::Errno::NOMEM => no_memory(),
            other => ShmError::os("fallocate", other),
        })
    }

    /// Has this mapping of the pages that lie wholly in `range` be read only: a write to them is a SIGSEGV (`mprotect(2)`).
    pub(crate) fn protect(&self, range: std::ops::Range<usize>) -> Result<(), ShmError> {
        let page = rustix::param::page_size();
        let (first, end) = (range.start.next_multiple_of(page), range.end.min(self.len()) & !(page - 1));
        if first >= end {
            return Ok(());
        }
        // SAFETY: the range lies in the mapping (just checked). That what is there is not written through it from here on is
        // the caller's to keep; a write is a SIGSEGV, and changes nothing.
        unsafe { rustix::mm::mprotect(self.base().add(first).cast(), end - first, rustix::mm::MprotectFlags::READ) }
            .map_err(|e| ShmError::os("mprotect", e))
    }

    /// Takes the memory of `len` bytes from `offset` back; they read as zero from now on.
    pub(crate) fn release(&self, offset: usize, len: usize) -> Result<(), ShmError> {
        let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
        rustix::fs::fallocate(&self.file, flags, offset as u64, len as u64)
            .map_err(|e| ShmError::os("fallocate(PUNCH_HOLE)", e))
    }

    /// Bytes of memory behind the segment now.
    pub(crate) fn resident_bytes(&self) -> Result<u64, ShmError> {
        let stat = rustix::fs::fstat(&self.file).map_err(|e| ShmError::os("fstat", e))?;
        Ok(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512))
    }

    /// Device and inode, which tell one memory file from another.
    pub(crate) fn identity(&self) -> Result<(u64, u64), ShmError> {
        let stat = rustix::fs::fstat(&self.file).map_err(|e| ShmError::os("fstat", e))?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

/// The memory that a descriptor leads to, opened anew: record locks prove who lives, and belong to what `open` made
/// (fcntl_locking(2)), so that a descriptor that was inherited shares them with its origin.
pub(crate) fn reopened(memory: &OwnedFd) -> Result<OwnedFd, ShmError> {
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let own = OpenOptions::new().read(true).write(true).open(path);
    Ok(own.map_err(|e| ShmError::os("open /proc/self/fd", e))?.into())
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Memory that can be had without reclaiming from others (`MemAvailable` of `proc(5)`), or no limit where that
/// cannot be read. A memfd is not bounded by the size of /dev/shm, only by memory; past it the kernel kills.
fn memory_available() -> u64 {
    let parse = |text: String| -> Option<u64> {
        let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let host = std::fs::read_to_string("/proc/meminfo").ok().and_then(parse).unwrap_or(u64::MAX);
    host.min(cgroup_available().unwrap_or(u64::MAX))
}

/// What the memory controller of this process's cgroup v2 still allows, if there is one.
fn cgroup_available() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|l| l.strip_prefix("0::"))?;
    let directory = format!("/sys/fs/cgroup{path}");
    let read = |file: &str| -> io::Result<String> { std::fs::read_to_string(format!("{directory}/{file}")) };
    let max = read("memory.max").ok()?.trim().parse::<u64>().ok()?;
    let current = read("memory.current").ok()?.trim().parse::<u64>().ok()?;
    Some(max.saturating_sub(current))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_sparse_until_a_range_is_backed() {
        let segment = Segment::create("test", 1 << 20).unwrap();
        assert_eq!(segment.resident_bytes().unwrap(), 0);
        segment.back(1 << 16, 1 << 16).unwrap();
        assert_eq!(segment.resident_bytes().unwrap(), 1 << 16);
        segment.release(1 << 16, 1 << 16).unwrap();
        assert_eq!(segment.resident_bytes().unwrap(), 0);
    }

    #[test]
    fn a_segment_can_be_neither_shrunk_nor_grown() {
        let segment = Segment::create("test", 1 << 16).unwrap();
        assert!(rustix::fs::ftruncate(&segment, 0).is_err());
        assert!(rustix::fs::ftruncate(&segment, 1 << 17).is_err());
    }

    #[test]
    fn an_unsealed_file_is_refused() {
        let file = rustix::fs::memfd_create("loose", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&file, 1 << 16).unwrap();
        assert!(matches!(Segment::attach(file, 1), Err(ShmError::Foreign { field: "seals", .. })));
    }

    #[test]
    fn backing_more_than_the_machine_has_names_both_figures() {
        let segment = Segment::create("test", 1 << 41).unwrap();
        let error = segment.back(0, 1 << 41).unwrap_err();
        assert!(matches!(error, ShmError::NoMemory { bytes, .. } if bytes == 1 << 41), "{error}");
        assert_eq!(segment.resident_bytes().unwrap(), 0);
    }
}
