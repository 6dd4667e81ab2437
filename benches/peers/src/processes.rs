//! What the kernel has between two processes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::{Deserialize, Serialize};
use tidegate_benches::child::Child;
use tidegate_benches::cores::{Cores, Pinned};
use tidegate_benches::load::{self, Load};
use tidegate_benches::rounds::Sample;

/// What the other process does, between its standard input and its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Sends a one-way load.
    Sender { load: Load, core: usize },
    /// Answers each message with a copy of it.
    Echo { bytes: usize, core: usize },
}

/// Both directions between this process and a child.
pub(crate) struct Wire {
    reader: File,
    writer: File,
    child_stdin: OwnedFd,
    child_stdout: OwnedFd,
}

impl Wire {
    /// One socket pair: each message is a record.
    pub(crate) fn seqpacket() -> Result<Self> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok(Self {
            reader: near.try_clone()?.into(),
            writer: near.into(),
            child_stdin: far.try_clone()?,
            child_stdout: far,
        })
    }

    /// Two pipes: messages are told apart by their length, which both ends know.
    pub(crate) fn pipes() -> Result<Self> {
        let (child_stdin, writer) = io::pipe()?;
        let (reader, child_stdout) = io::pipe()?;
        Ok(Self {
            reader: OwnedFd::from(reader).into(),
            writer: OwnedFd::from(writer).into(),
            child_stdin: child_stdin.into(),
            child_stdout: child_stdout.into(),
        })
    }

    /// Starts the child, which alone keeps its ends.
    fn start(self, role: Role) -> Result<(File, File, Child)> {
        let child = Child::spawn(&crate::Role::Wire(role), self.child_stdin, self.child_stdout)?;
        Ok((self.reader, self.writer, child))
    }
}

impl Role {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        // Unbuffered: a message is a system call.
        let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        match self {
            Self::Sender { load, core } => {
                let _pinned = Pinned::to(core)?;
                let mut message = vec![0; load.bytes];
                load::produce(&load, |sequence| {
                    load::fill(&mut message, sequence);
                    Ok(output.write_all(&message)?)
                })
            }
            Self::Echo { bytes, core } => {
                let _pinned = Pinned::to(core)?;
                let mut message = vec![0; bytes];
                loop {
                    match input.read_exact(&mut message) {
                        Ok(()) => output.write_all(&message)?,
                        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                        Err(e) => return Err(e.into()),
                    }
                }
            }
        }
    }
}

/// Time a message takes from another process to this one.
pub(crate) fn one_way(cores: Cores, load: &Load, wire: Wire) -> Result<Vec<Sample>> {
    let (mut reader, _writer, child) = wire.start(Role::Sender { load: *load, core: cores.far })?;
    let pinned = Pinned::to(cores.near)?;
    let mut message = vec![0; load.bytes];
    let samples = load::consume(load, || {
        reader.read_exact(&mut message)?;
        Ok(load::sum(&message))
    })?;
    drop(pinned);
    child.finish()?;
    Ok(samples)
}

/// Round trips from this process to another and back.
pub(crate) fn ping_pong(cores: Cores, load: &Load, wire: Wire) -> Result<Vec<Sample>> {
    let echo = Role::Echo { bytes: load.bytes, core: cores.far };
    let (mut reader, mut writer, child) = wire.start(echo)?;
    let pinned = Pinned::to(cores.near)?;
    let mut message = vec![0; load.bytes];
    let samples = load::round_trips(load, |sequence| {
        load::fill(&mut message, sequence);
        writer.write_all(&message)?;
        reader.read_exact(&mut message)?;
        Ok(load::sum(&message))
    })?;
    drop((reader, writer, pinned));
    child.finish()?;
    Ok(samples)
}
