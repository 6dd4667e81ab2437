//! ipc-channel between two processes: channels of bytes, over Unix sockets.

use std::process::Stdio;

use anyhow::{Result, anyhow};
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel};
use serde::{Deserialize, Serialize};
use tidegate_benches::child::Child;
use tidegate_benches::cores::{Cores, Pinned};
use tidegate_benches::load::{self, Load};
use tidegate_benches::rounds::Sample;

/// What the other process does. It connects to the server of that name and sends its ends of the channels there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Sends a one-way load.
    Sender { server: String, load: Load, core: usize },
    /// Answers each message with a copy of it.
    Echo { server: String, core: usize },
}

/// What the measuring process uses: it writes pings and reads pongs.
#[derive(Debug, Serialize, Deserialize)]
struct Ends {
    pings: IpcBytesSender,
    pongs: IpcBytesReceiver,
}

impl Role {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        let (server, core) = match &self {
            Self::Sender { server, core, .. } | Self::Echo { server, core } => (server.clone(), *core),
        };
        let (pings, echo) = bytes_channel()?;
        let (answers, pongs) = bytes_channel()?;
        IpcSender::connect(server)?.send(Ends { pings, pongs })?;
        let _pinned = Pinned::to(core)?;
        match self {
            Self::Sender { load, .. } => {
                let mut message = vec![0; load.bytes];
                load::produce(&load, |sequence| {
                    load::fill(&mut message, sequence);
                    Ok(answers.send(&message)?)
                })
            }
            Self::Echo { .. } => loop {
                match echo.recv() {
                    Ok(message) => answers.send(&message)?,
                    // Its only other end is the measuring process's.
                    Err(_) => return Ok(()),
                }
            },
        }
    }
}

fn start(role: impl FnOnce(String) -> Role) -> Result<(Ends, Child)> {
    let (server, name) = IpcOneShotServer::<Ends>::new()?;
    let child = Child::spawn(&crate::Role::Ipc(role(name)), Stdio::null(), Stdio::null())?;
    let (_, ends) = server.accept().map_err(|e| anyhow!("the other process has not connected: {e}"))?;
    Ok((ends, child))
}

fn receive(pongs: &IpcBytesReceiver) -> Result<u64> {
    Ok(load::sum(&pongs.recv().map_err(|e| anyhow!("receiving: {e}"))?))
}

/// Time a message takes from another process to this one.
pub(crate) fn one_way(cores: Cores, load: &Load) -> Result<Vec<Sample>> {
    let (ends, child) = start(|server| Role::Sender { server, load: *load, core: cores.far })?;
    let pinned = Pinned::to(cores.near)?;
    let samples = load::consume(load, || receive(&ends.pongs))?;
    drop(pinned);
    child.finish()?;
    Ok(samples)
}

/// Round trips from this process to another and back.
pub(crate) fn ping_pong(cores: Cores, load: &Load) -> Result<Vec<Sample>> {
    let (ends, child) = start(|server| Role::Echo { server, core: cores.far })?;
    let pinned = Pinned::to(cores.near)?;
    let mut message = vec![0; load.bytes];
    let samples = load::round_trips(load, |sequence| {
        load::fill(&mut message, sequence);
        ends.pings.send(&message)?;
        receive(&ends.pongs)
    })?;
    drop((ends, pinned));
    child.finish()?;
    Ok(samples)
}
