//! What is in the host directory: names, what they name, who holds them, and which of them are stale.

use std::path::{Path, PathBuf};

use crate::prim::Ordering::Relaxed;
use crate::shm::directory::{Found, HostDirectory};
use crate::shm::error::ShmError;
use crate::shm::layout::{Header, Kind};
use crate::shm::segment::Segment;
use crate::shm::window::Shared;

/// A name in the host directory, and what was found behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name.
    pub name: String,
    /// What is behind it.
    pub state: EntryState,
    /// Bytes of memory that its file takes in the directory's file system.
    pub file_bytes: u64,
}

/// What is behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryState {
    /// Living processes hold it.
    Held {
        /// `channel`, `mutex`, `semaphore`; or `unknown`, of another version or damaged.
        kind: &'static str,
        /// Processes that hold it, in their own pid namespaces, sorted.
        pids: Vec<u32>,
        /// Bytes of memory behind its segment; 0 if it cannot be reached from here.
        resident_bytes: u64,
    },
    /// Every process that held it is proven dead: its memory is gone, and its name free.
    Stale {
        /// Those processes, sorted.
        pids: Vec<u32>,
    },
    /// It is not a name file of this user: left alone.
    Foreign {
        /// What is wrong with it.
        why: String,
    },
}

/// The directory in which this user's processes find each other by name.
#[derive(Debug, Clone)]
pub struct Host {
    directory: HostDirectory,
}

impl Host {
    /// The directory of this user: `TIDEGATE_DIR` if that is set, else `/dev/shm/tidegate-UID`. Made on first use.
    ///
    /// # Errors
    /// [`ShmError::Untrusted`] if others could write there, [`ShmError::DirectoryFull`] if it cannot be made.
    pub fn of_user() -> Result<Self, ShmError> {
        Ok(Self { directory: HostDirectory::of_user()? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Everything in it, sorted by name.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, ShmError> {
        let mut entries: Vec<Entry> = self.directory.files()?.into_iter().map(|name| self.entry(name)).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn entry(&self, name: String) -> Entry {
        use std::os::unix::fs::MetadataExt;
        let path: PathBuf = self.directory.path().join(&name);
        let file_bytes = std::fs::symlink_metadata(path).map_or(0, |metadata| metadata.blocks() * 512);
        let state = match self.directory.find(&name) {
            Ok(Found { alive, dead }) if alive.is_empty() => EntryState::Stale { pids: dead },
            Ok(Found { alive, .. }) => {
                let (kind, resident_bytes) = self.segment(&name).unwrap_or(("unknown", 0));
                EntryState::Held { kind, pids: alive, resident_bytes }
            }
            Err(error) => EntryState::Foreign { why: error.to_string() },
        };
        Entry { name, state, file_bytes }
    }

    fn segment(&self, name: &str) -> Result<(&'static str, u64), ShmError> {
        let segment = std::sync::Arc::new(Segment::attach(self.directory.open(name)?, size_of::<Header>())?);
        let header: Option<Shared<Header>> = Shared::at(&segment, 0);
        let kind = header.and_then(|header| Kind::from_word(header.kind.load(Relaxed)));
        Ok((kind.map_or("unknown", Kind::name), segment.resident_bytes()?))
    }

    /// Removes the file of a stale name; false if it is not stale, or not any more.
    ///
    /// # Errors
    /// The file cannot be removed, or is none of this user's.
    pub fn remove_stale(&self, name: &str) -> Result<bool, ShmError> {
        self.directory.remove_stale(name)
    }
}
