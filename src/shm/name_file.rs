//! The file behind a name: which memory file it leads to, and who holds that. Layout and reading; see `directory` for its use.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::shm::error::ShmError;
use crate::shm::process::{UNKNOWN_NAMESPACE, is_proven_dead, namespace};

/// Holders that a name file lists.
pub(super) const HOLDERS_MAX: u64 = 160;
const RECORD_BYTES: u64 = 24;
pub(super) const NAME_FILE_BYTES: u64 = 4096;
pub(super) const NAME_MAGIC: [u8; 8] = *b"TGNAME02";
pub(super) const FIRST_RECORD: u64 = 32;

const _: () = assert!(FIRST_RECORD + HOLDERS_MAX * RECORD_BYTES <= NAME_FILE_BYTES);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) descriptor: u32,
    pub(super) start_time: u64,
    /// Inode of the pid namespace in which the pid means anything.
    pub(super) pid_namespace: u64,
}

impl Holder {
    pub(super) const NONE: Self = Self { pid: 0, descriptor: 0, start_time: 0, pid_namespace: 0 };

    /// Whether it is not proven dead. One of another pid namespace cannot be proven so from here.
    pub(super) fn is_alive(self) -> bool {
        self.pid != 0 && !(self.is_of_this_namespace() && is_proven_dead(self.pid, self.start_time))
    }

    pub(super) fn is_of_this_namespace(self) -> bool {
        let own = namespace("pid");
        self.pid_namespace == own && own != UNKNOWN_NAMESPACE
    }
}

/// Device and inode of the memory file that the name leads to.
pub(super) fn identity(file: &File, path: &Path) -> Result<(u64, u64), ShmError> {
    let mut head = [0u8; 24];
    let whole = file.read_exact_at(&mut head, 0);
    if whole.is_err() || head[..8] != NAME_MAGIC {
        return Err(ShmError::Untrusted { path: path.into(), why: "it is not a channel's name file".into() });
    }
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
    Ok((number(8), number(16)))
}

/// Who holds the name, each with its place in the list.
pub(super) fn holders(file: &File, path: &Path) -> Result<Vec<(u64, Holder)>, ShmError> {
    let mut records = vec![0u8; (HOLDERS_MAX * RECORD_BYTES) as usize];
    file.read_exact_at(&mut records, FIRST_RECORD).map_err(|_| ShmError::Untrusted {
        path: path.into(),
        why: "it is too short for a channel's name file".into(),
    })?;
    let holders = records.chunks_exact(RECORD_BYTES as usize).zip(0..).filter_map(|(record, index)| {
        let (pid, rest) = record.split_first_chunk::<4>()?;
        let (descriptor, rest) = rest.split_first_chunk::<4>()?;
        let (start_time, rest) = rest.split_first_chunk::<8>()?;
        let (pid_namespace, _) = rest.split_first_chunk::<8>()?;
        let holder = Holder {
            pid: u32::from_le_bytes(*pid),
            descriptor: u32::from_le_bytes(*descriptor),
            start_time: u64::from_le_bytes(*start_time),
            pid_namespace: u64::from_le_bytes(*pid_namespace),
        };
        (holder.pid != 0).then_some((index, holder))
    });
    Ok(holders.collect())
}

/// Puts a holder in its place in the list.
pub(super) fn write_record(file: &File, index: u64, holder: Holder) -> io::Result<()> {
    let mut record = [0u8; RECORD_BYTES as usize];
    record[..4].copy_from_slice(&holder.pid.to_le_bytes());
    record[4..8].copy_from_slice(&holder.descriptor.to_le_bytes());
    record[8..16].copy_from_slice(&holder.start_time.to_le_bytes());
    record[16..].copy_from_slice(&holder.pid_namespace.to_le_bytes());
    file.write_all_at(&record, FIRST_RECORD + index * RECORD_BYTES)
}
