//! Record locks on the memory file: locks that die with their holder.
//!
//! Open-file-description locks (`fcntl(2)`, F_OFD_SETLK) belong to the descriptor, not to the process, and the kernel
//! drops them when its last copy closes, however the process ended. A byte that nobody holds locked is therefore
//! proof that its owner is gone. Which byte means what:
//!
//! | byte | held by |
//! |---|---|
//! | 0 | whoever changes the channel's structure: attaches a lane, offers a ring, reclaims one |
//! | 1 + slot | the participant in that slot, for as long as it lives |
//!
//! A child made by `fork` shares its parent's descriptors, so its parent's locks outlive the parent; the pid and its
//! start time (see [`crate::shm::participants`]) are the proof then.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::shm::error::ShmError;

/// The byte of the structure lock.
pub(crate) const STRUCTURE: u64 = 0;

/// The byte of the participant in `slot`.
pub(crate) fn participant(slot: usize) -> u64 {
    1 + slot as u64
}

/// Takes the lock on `byte`, waiting for its holder; the kernel bounds the wait by the holder's life.
pub(crate) fn lock(file: impl AsFd, byte: u64) -> Result<(), ShmError> {
    loop {
        match request(&file, byte, libc::F_WRLCK, libc::F_OFD_SETLKW) {
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(ShmError::os("fcntl(F_OFD_SETLKW)", e)),
        }
    }
}

/// Takes the lock on `byte` if no other descriptor holds it.
pub(crate) fn try_lock(file: impl AsFd, byte: u64) -> Result<bool, ShmError> {
    match request(&file, byte, libc::F_WRLCK, libc::F_OFD_SETLK) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(ShmError::os("fcntl(F_OFD_SETLK)", e)),
    }
}

/// Drops this descriptor's lock on `byte`.
pub(crate) fn unlock(file: impl AsFd, byte: u64) -> Result<(), ShmError> {
    request(&file, byte, libc::F_UNLCK, libc::F_OFD_SETLK)
        .map(|_| ())
        .map_err(|e| ShmError::os("fcntl(F_OFD_SETLK)", e))
}

/// Whether a descriptor other than this one holds `byte`.
pub(crate) fn held_by_another(file: impl AsFd, byte: u64) -> Result<bool, ShmError> {
    request(&file, byte, libc::F_WRLCK, libc::F_OFD_GETLK)
        .map(|kind| kind != libc::F_UNLCK)
        .map_err(|e| ShmError::os("fcntl(F_OFD_GETLK)", e))
}

fn request(file: &impl AsFd, byte: u64, kind: i32, command: i32) -> io::Result<i32> {
    // SAFETY: `flock` is a C struct of integers, for which all zeros is a value.
    let mut record: libc::flock = unsafe { std::mem::zeroed() };
    record.l_type = kind as libc::c_short;
    record.l_whence = libc::SEEK_SET as libc::c_short;
    record.l_start = byte as libc::off_t;
    record.l_len = 1;
    // SAFETY: the descriptor is open while borrowed, and `record` is a valid `flock` that the call reads and writes.
    let status = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &raw mut record) };
    if status == -1 { Err(io::Error::last_os_error()) } else { Ok(i32::from(record.l_type)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_lock_excludes_other_descriptors_until_its_own_closes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let first = File::create(&path).unwrap();
        let second = File::options().write(true).open(&path).unwrap();
        assert!(try_lock(&first, 3).unwrap());
        assert!(!try_lock(&second, 3).unwrap());
        assert!(held_by_another(&second, 3).unwrap());
        assert!(!held_by_another(&second, 4).unwrap());
        drop(first);
        assert!(!held_by_another(&second, 3).unwrap());
        lock(&second, 3).unwrap();
        unlock(&second, 3).unwrap();
    }
}
