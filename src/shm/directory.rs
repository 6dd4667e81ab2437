//! The host directory: names of channels, and how a name leads to a memory file.
//!
//! A memory file has no path, only descriptors in the processes that hold it. A name is a small file in a directory of
//! mode 0700 under /dev/shm; it lists the holders as (pid, start time, descriptor), and an opener reaches the memory
//! through `/proc/PID/fd/N` of a living one (`proc(5)`). The list is a hint that is checked: the file found must have
//! the recorded device and inode. When the last holder dies the kernel frees the memory, and what is left of the name
//! is a file of one page that the next creator of that name replaces.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::shm::error::ShmError;
use crate::shm::name_file::{
    FIRST_RECORD, HOLDERS_MAX, Holder, NAME_FILE_BYTES, NAME_MAGIC, holders, identity, write_record,
};
use crate::shm::own_process::Origin;
use crate::shm::process::{find_own_start_time, namespace};
use crate::shm::segment::Segment;

const NAME_BYTES_MAX: usize = 100;
/// A name file that has no name yet.
const UNNAMED: &str = ".new";

/// A directory in which channels are found by name.
#[derive(Debug, Clone)]
pub(crate) struct HostDirectory {
    path: PathBuf,
}

/// This process's entry in a name file; removed on drop, and the file with the last of them.
#[derive(Debug)]
pub(crate) struct NameEntry {
    directory: HostDirectory,
    name: String,
    index: u64,
    origin: Origin,
    identity: (u64, u64),
}

/// Processes that hold a name, each once, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) alive: Vec<u32>,
    pub(crate) dead: Vec<u32>,
}

impl HostDirectory {
    /// The directory of this user: `TIDEGATE_DIR` if set, else `/dev/shm/tidegate-UID`. Made on first use.
    pub(crate) fn of_user() -> Result<Self, ShmError> {
        let uid = rustix::process::geteuid().as_raw();
        let path = std::env::var_os("TIDEGATE_DIR")
            .map_or_else(|| PathBuf::from(format!("/dev/shm/tidegate-{uid}")), PathBuf::from);
        if path.as_os_str().is_empty() {
            return Err(ShmError::Untrusted { path: "TIDEGATE_DIR".into(), why: "it is set and empty".into() });
        }
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() == io::ErrorKind::StorageFull => {
                return Err(ShmError::DirectoryFull { path, bytes: NAME_FILE_BYTES });
            }
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(ShmError::Untrusted { path, why: format!("it cannot be created: {e}") });
            }
            _ => {}
        }
        let found = std::fs::symlink_metadata(&path).map_err(|e| ShmError::os("lstat", e))?;
        let untrusted = |why: String| Err(ShmError::Untrusted { path: path.clone(), why });
        if !found.is_dir() {
            return untrusted("it is not a directory".into());
        }
        if found.uid() != uid {
            return untrusted(format!("it belongs to user {}", found.uid()));
        }
        if found.mode() & 0o077 != 0 {
            return untrusted(format!(
                "its mode is {:o}, others may write or look: chmod 700 it",
                found.mode() & 0o777
            ));
        }
        Ok(Self { path })
    }

    /// Enters `segment` under a new name.
    pub(crate) fn create(&self, name: &str, segment: &Segment) -> Result<NameEntry, ShmError> {
        check_name(name)?;
        let _exclusive = self.lock()?;
        match self.open_file(name) {
            Ok(file) => {
                identity(&file, &self.path.join(name))?;
                if let Some(holder) = holders(&file, &self.path.join(name))?.into_iter().find(|(_, h)| h.is_alive()) {
                    return Err(ShmError::NameInUse { name: name.into(), pid: holder.1.pid });
                }
            }
            Err(ShmError::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
        // Written whole under a name that no channel can have, and then named: who dies over it leaves nothing half written.
        let path = self.path.join(UNNAMED);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(ShmError::os("unlink", e)),
            _left_by_the_dead => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(|e| self.write_error(name, e))?;
        let entry =
            self.fill(&file, name, segment).and_then(|entry| match std::fs::rename(&path, self.path.join(name)) {
                Ok(()) => Ok(entry),
                Err(e) => {
                    // There is no name to take it out of.
                    std::mem::forget(entry);
                    Err(self.write_error(name, e))
                }
            });
        if entry.is_err() {
            std::fs::remove_file(&path).map_err(|e| ShmError::os("unlink", e))?;
        }
        entry
    }

    fn fill(&self, file: &File, name: &str, segment: &Segment) -> Result<NameEntry, ShmError> {
        // Backed before it is written: a full file system is an error here rather than a signal later.
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, NAME_FILE_BYTES)
            .map_err(|e| self.write_error(name, e.into()))?;
        let (device, inode) = segment.identity()?;
        let mut head = [0u8; FIRST_RECORD as usize];
        head[..8].copy_from_slice(&NAME_MAGIC);
        head[8..16].copy_from_slice(&device.to_le_bytes());
        head[16..24].copy_from_slice(&inode.to_le_bytes());
        file.write_all_at(&head, 0).map_err(|e| self.write_error(name, e))?;
        self.enter(file, name, segment)
    }

    /// Opens the memory file behind `name` through one of its living holders.
    pub(crate) fn open(&self, name: &str) -> Result<OwnedFd, ShmError> {
        check_name(name)?;
        let file = self.open_file(name)?;
        let identity = identity(&file, &self.path.join(name))?;
        for (_, holder) in holders(&file, &self.path.join(name))? {
            if !holder.is_of_this_namespace() || !holder.is_alive() {
                continue;
            }
            let path = format!("/proc/{}/fd/{}", holder.pid, holder.descriptor);
            let Ok(memory) = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(path) else {
                continue;
            };
            let found = memory.metadata().map_err(|e| ShmError::os("fstat", e))?;
            if (found.dev(), found.ino()) == identity {
                return Ok(memory.into());
            }
        }
        Err(self.not_found(name))
    }

    /// Adds this process to the holders of `name`.
    pub(crate) fn join(&self, name: &str, segment: &Segment) -> Result<NameEntry, ShmError> {
        let _exclusive = self.lock()?;
        let file = self.open_file(name)?;
        if identity(&file, &self.path.join(name))? != segment.identity()? {
            return Err(self.not_found(name));
        }
        self.enter(&file, name, segment)
    }

    fn enter(&self, file: &File, name: &str, segment: &Segment) -> Result<NameEntry, ShmError> {
        use std::os::fd::AsFd;
        let taken = holders(file, &self.path.join(name))?;
        let index = (0..HOLDERS_MAX)
            .find(|i| !taken.iter().any(|(index, h)| index == i && h.is_alive()))
            .ok_or(ShmError::TooManyParticipants { slots: HOLDERS_MAX as usize })?;
        let pid = std::process::id();
        // Names lead to memory through /proc; without it nobody could open what is entered here.
        let start_time = find_own_start_time().map_err(|e| ShmError::os("read /proc/self/stat", e))?;
        let descriptor = segment.as_fd().as_raw_fd() as u32;
        let holder = Holder { pid, descriptor, start_time, pid_namespace: namespace("pid") };
        write_record(file, index, holder).map_err(|e| self.write_error(name, e))?;
        Ok(NameEntry {
            directory: self.clone(),
            name: name.into(),
            index,
            origin: Origin::here(),
            identity: segment.identity()?,
        })
    }

    /// Names of the channels that a living process holds, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, ShmError> {
        let mut names = self.files()?;
        names.retain(|name| self.open(name).is_ok());
        names.sort();
        Ok(names)
    }

    /// Names of all files in it that could be a channel's.
    pub(crate) fn files(&self) -> Result<Vec<String>, ShmError> {
        let entries = std::fs::read_dir(&self.path).map_err(|e| ShmError::os("readdir", e))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| check_name(name).is_ok()).collect())
    }

    /// Who holds `name`, alive and dead.
    pub(crate) fn find(&self, name: &str) -> Result<Found, ShmError> {
        check_name(name)?;
        let file = self.open_file(name)?;
        identity(&file, &self.path.join(name))?;
        let (alive, dead): (Vec<_>, Vec<_>) = holders(&file, &self.path.join(name))?
            .into_iter()
            .map(|(_, holder)| holder)
            .partition(|holder| holder.is_alive());
        let pids = |holders: Vec<Holder>| {
            let mut pids: Vec<u32> = holders.into_iter().map(|holder| holder.pid).collect();
            pids.sort_unstable();
            pids.dedup();
            pids
        };
        Ok(Found { alive: pids(alive), dead: pids(dead) })
    }

    /// Removes the file of `name` if all that hold it are proven dead.
    pub(crate) fn remove_stale(&self, name: &str) -> Result<bool, ShmError> {
        let _exclusive = self.lock()?;
        let is_stale = self.find(name)?.alive.is_empty();
        if is_stale {
            self.remove_file(name)?;
        }
        Ok(is_stale)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn open_file(&self, name: &str) -> Result<File, ShmError> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(&path)
            .map_err(|e| match e.raw_os_error() {
                Some(libc::ENOENT) => self.not_found(name),
                Some(libc::ELOOP) => ShmError::Untrusted { path: path.clone(), why: "it is a symbolic link".into() },
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR) => ShmError::os("open", e),
                _ => ShmError::Untrusted { path: path.clone(), why: e.to_string() },
            })?;
        let found = file.metadata().map_err(|e| ShmError::os("fstat", e))?;
        let uid = rustix::process::geteuid().as_raw();
        if !found.is_file() || found.uid() != uid || found.mode() & 0o077 != 0 {
            return Err(ShmError::Untrusted { path, why: "it is not a private file of this user".into() });
        }
        Ok(file)
    }

    /// Serialises changes to the directory; released when the returned file closes, however that comes about.
    fn lock(&self) -> Result<File, ShmError> {
        let directory = File::open(&self.path).map_err(|e| ShmError::os("open", e))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive))
            .map_err(|e| ShmError::os("flock", e))?;
        Ok(directory)
    }

    fn remove_file(&self, name: &str) -> Result<(), ShmError> {
        std::fs::remove_file(self.path.join(name)).map_err(|e| ShmError::os("unlink", e))
    }

    fn not_found(&self, name: &str) -> ShmError {
        ShmError::NotFound { name: name.into(), directory: self.path.clone() }
    }

    fn write_error(&self, name: &str, source: io::Error) -> ShmError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                ShmError::DirectoryFull { path: self.path.join(name), bytes: NAME_FILE_BYTES }
            }
            _ => ShmError::os("write", source),
        }
    }
}

impl NameEntry {
    fn leave(&self) -> Result<(), ShmError> {
        let _exclusive = self.directory.lock()?;
        let file = self.directory.open_file(&self.name)?;
        // The name may have been replaced after this process was taken for dead.
        if identity(&file, &self.directory.path.join(&self.name))? != self.identity {
            return Ok(());
        }
        write_record(&file, self.index, Holder::NONE).map_err(|e| ShmError::os("write", e))?;
        if holders(&file, &self.directory.path.join(&self.name))?.iter().all(|(_, h)| !h.is_alive()) {
            self.directory.remove_file(&self.name)?;
        }
        Ok(())
    }
}

impl Drop for NameEntry {
    fn drop(&mut self) {
        // A child that inherited this handle by fork must not sign its parent off.
        if self.origin.is_here() {
            let _a_name_that_cannot_be_removed_is_stale_and_replaced_later = self.leave();
        }
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), ShmError> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('.') || !name.chars().all(sound) {
        return Err(ShmError::BadName { name: name.into() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, HostDirectory) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        (directory, HostDirectory { path })
    }

    #[test]
    fn a_name_leads_to_its_memory_until_the_last_holder_leaves() {
        let (_keep, directory) = directory();
        let segment = Segment::create("test", 1 << 16).unwrap();
        let first = directory.create("orders", &segment).unwrap();
        let again = Segment::attach(directory.open("orders").unwrap(), 1).unwrap();
        assert_eq!(again.identity().unwrap(), segment.identity().unwrap());
        let second = directory.join("orders", &again).unwrap();
        drop(first);
        assert_eq!(directory.names().unwrap(), ["orders"]);
        drop(second);
        assert!(matches!(directory.open("orders"), Err(ShmError::NotFound { .. })));
        assert_eq!(std::fs::read_dir(&directory.path).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_creator_has_not_named_is_in_nobodys_way() {
        let (_keep, directory) = directory();
        std::fs::write(directory.path.join(UNNAMED), b"half").unwrap();
        let segment = Segment::create("test", 1 << 16).unwrap();
        let entry = directory.create("orders", &segment).unwrap();
        assert_eq!(directory.names().unwrap(), ["orders"]);
        drop(entry);
        assert_eq!(std::fs::read_dir(&directory.path).unwrap().count(), 0);
    }

    #[test]
    fn a_name_in_use_is_refused_and_a_stale_one_replaced() {
        let (_keep, directory) = directory();
        let segment = Segment::create("test", 1 << 16).unwrap();
        let entry = directory.create("orders", &segment).unwrap();
        let pid = std::process::id();
        assert!(matches!(directory.create("orders", &segment), Err(ShmError::NameInUse { pid: p, .. }) if p == pid));
        let file = directory.open_file("orders").unwrap();
        let elsewhere = Holder { pid, descriptor: 0, start_time: 1, pid_namespace: 1 };
        write_record(&file, entry.index, elsewhere).unwrap();
        assert!(matches!(directory.create("orders", &segment), Err(ShmError::NameInUse { .. })), "who knows");
        assert!(!directory.remove_stale("orders").unwrap());
        let stale = Holder { pid_namespace: namespace("pid"), ..elsewhere };
        write_record(&file, entry.index, stale).unwrap();
        assert_eq!(directory.find("orders").unwrap(), Found { alive: vec![], dead: vec![pid] });
        drop(directory.create("orders", &segment).unwrap());
        let held = directory.create("orders", &segment).unwrap();
        write_record(&directory.open_file("orders").unwrap(), held.index, stale).unwrap();
        assert!(directory.remove_stale("orders").unwrap());
        assert!(matches!(directory.remove_stale("orders"), Err(ShmError::NotFound { .. })));
    }

    #[test]
    fn names_that_would_leave_the_directory_are_refused() {
        let (_keep, directory) = directory();
        for name in ["", "..", "../x", "a/b", ".hidden", "a\0b", &"x".repeat(101)] {
            assert!(matches!(directory.open(name), Err(ShmError::BadName { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_link_or_a_foreign_file_in_the_names_place_is_refused() {
        let (_keep, directory) = directory();
        std::os::unix::fs::symlink("/etc/passwd", directory.path.join("link")).unwrap();
        std::fs::write(directory.path.join("open"), "x").unwrap();
        let segment = Segment::create("test", 1 << 16).unwrap();
        for name in ["link", "open"] {
            assert!(matches!(directory.open(name), Err(ShmError::Untrusted { .. })), "{name}");
            assert!(matches!(directory.create(name, &segment), Err(ShmError::Untrusted { .. })), "{name}");
        }
    }
}
