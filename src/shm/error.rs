//! What can go wrong between a process and a segment.

use std::io;
use std::path::PathBuf;

/// A segment could not be created, found, trusted or backed with memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShmError {
    /// The name has characters that a file name in the host directory must not have, or is too long.
    #[error("`{name}` cannot be a name: use 1 to 100 letters, digits, `.`, `_` or `-`, not starting with `.`")]
    BadName {
        /// The name as given.
        name: String,
    },
    /// A living process holds a channel of this name.
    #[error("`{name}` is in use by process {pid}: open it, if it is of the kind you want, or choose another name")]
    NameInUse {
        /// The name asked for.
        name: String,
        /// A living process that holds it.
        pid: u32,
    },
    /// No living process holds a channel of this name.
    #[error("nothing is called `{name}` in {}: create it first, and keep a process running that holds it", directory.display())]
    NotFound {
        /// The name asked for.
        name: String,
        /// The host directory that was searched.
        directory: PathBuf,
    },
    /// The host directory or a name in it is not what this user's processes make.
    #[error("{} cannot hold names ({why}): mend that, or point TIDEGATE_DIR, in every process, at another directory of your own", path.display())]
    Untrusted {
        /// The path that was refused.
        path: PathBuf,
        /// What was found there.
        why: String,
    },
    /// The segment was made by another program, version or machine.
    #[error(
        "foreign segment: {field} is {found:#x}, this build needs {expected:#x}; run the same tidegate build on both sides"
    )]
    Foreign {
        /// The header field that differs.
        field: &'static str,
        /// Its value in the segment.
        found: u64,
        /// The value this build writes.
        expected: u64,
    },
    /// A semaphore cannot have that many permits, or so few.
    #[error("a semaphore has from 1 to {max} permits, not {permits}")]
    BadPermits {
        /// Permits asked for, or found.
        permits: u32,
        /// The most that are possible.
        max: u32,
    },
    /// What goes by the name is of another kind.
    #[error("`{name}` is a {found}, not a {expected}")]
    WrongKind {
        /// The name asked for.
        name: String,
        /// What it names.
        found: &'static str,
        /// What was asked for.
        expected: &'static str,
    },
    /// The value that goes by the name has another size than the type it was asked for as.
    #[error("`{name}` holds {found} bytes, the type has {expected}: use the type that it was created with")]
    WrongSize {
        /// The name asked for.
        name: String,
        /// Bytes of the value.
        found: u32,
        /// Bytes of the type.
        expected: u32,
    },
    /// A word in shared memory holds a value that the protocol never writes.
    #[error("corrupt segment: {what} is {value:#x}, at most {limit:#x} is possible")]
    Corrupt {
        /// The word.
        what: &'static str,
        /// The value read.
        value: u64,
        /// The largest value that makes sense there.
        limit: u64,
    },
    /// There is no memory to back a range of the segment.
    #[error(
        "{bytes} bytes of shared memory are needed and {available} are free: lower the ring bytes, free memory, or raise the memory limit"
    )]
    NoMemory {
        /// Bytes asked for.
        bytes: u64,
        /// Bytes that were free when asked.
        available: u64,
    },
    /// The file system of the host directory is full.
    #[error("{} is full: {bytes} bytes are needed there; delete files in it or mount it larger", path.display())]
    DirectoryFull {
        /// The path that could not be written.
        path: PathBuf,
        /// Bytes needed.
        bytes: u64,
    },
    /// Every slot of the participant table, or of the name's file, is taken by a living handle or endpoint.
    #[error("all {slots} places for participants are taken by living handles and endpoints: close some")]
    TooManyParticipants {
        /// Size of the table.
        slots: usize,
    },
    /// The handle was made by another process and came here through `fork`.
    #[error("this handle belongs to process {owner} and was inherited by fork: open the channel again in this process")]
    Forked {
        /// The process that made the handle.
        owner: u32,
    },
    /// Somebody is at a lane and does not go on: stopped, or not keeping the protocol.
    #[error("lane {lane} is held by a process that does not go on: if one is stopped, let it go on or end it")]
    Held {
        /// The lane.
        lane: usize,
    },
    /// A system call failed.
    #[error("{call} failed: {source}")]
    Os {
        /// The call, as its man page names it.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl ShmError {
    pub(crate) fn os(call: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Os { call, source: source.into() }
    }
}
