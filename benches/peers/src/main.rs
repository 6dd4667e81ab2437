//! Tidegate beside other channels: one-way loads, round trips and many ends, as ratios to Tidegate.
//!
//! Tidegate, iceoryx2, ipc-channel, sockets and pipes connect processes; rtrb, crossbeam-channel and kanal threads of one,
//! which spares them what crossing a process boundary costs. With one end on each core, whoever can wait without the kernel
//! does so; with more ends than cores, or all on one, Tidegate waits as it does unless told otherwise, and whoever can only
//! poll yields the core between two polls.
//!
//! Tidegate and rtrb alone take and yield many messages in one call, so batches are theirs alone: crossbeam-channel, kanal,
//! iceoryx2 and ipc-channel send one message a call, and to a pipe a batch is but a longer message. A message of 1 MiB goes
//! between processes only, since threads would hand over a pointer to it, and one at a time: Tidegate has it in a block,
//! which is a batch of its own, and a socket's record cannot be as long.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tidegate_benches::cores::Cores;
use tidegate_benches::machine::Machine;
use tidegate_benches::options::RunOptions;
use tidegate_benches::report::Report;
use tidegate_benches::rounds::{self, RowKey};
use tidegate_benches::{channel, picture, processes as fans};

use crate::cases::{FLOOR, TIDEGATE};
use crate::summary::Summary;

mod cases;
mod iceoryx;
mod idle;
mod ipc;
mod processes;
mod queues;
mod summary;
mod threads;

/// What a child process does.
#[derive(Debug, Serialize, Deserialize)]
enum Role {
    /// One end of two, of Tidegate.
    Tidegate(channel::Role),
    /// One end of many, of Tidegate.
    Fan(fans::Role),
    Iceoryx(iceoryx::Role),
    IceoryxFan(iceoryx::fan::Role),
    Ipc(ipc::Role),
    Wire(processes::Role),
}

fn main() -> Result<()> {
    let options = RunOptions::from_args("peers", "Tidegate beside other channels, as ratios to Tidegate");
    match options.role::<Role>()? {
        Some(Role::Tidegate(role)) => return role.run(),
        Some(Role::Fan(role)) => return role.run(),
        Some(Role::Iceoryx(role)) => return role.run(),
        Some(Role::IceoryxFan(role)) => return role.run(),
        Some(Role::Ipc(role)) => return role.run(),
        Some(Role::Wire(role)) => return role.run(),
        None => {}
    }
    let (machine, cores) = (Machine::here(), Cores::choose()?);
    let mut cases = cases::all(cores, &options);
    cases.retain(|case| options.wants(case.system, &case.setting));
    let rows = rounds::run(options.rounds(), &mut cases)?;
    let report = Report::new(("peers", "Tidegate"), (machine, cores), options.rounds(), &rows, reference);
    if let Some(path) = options.plot() {
        picture::draw(&report, path)?;
    }
    if options.json() {
        println!("{}", serde_json::to_string_pretty(&Summary::of(&report, FLOOR, TIDEGATE))?);
        return Ok(());
    }
    report.print(false)
}

/// What a row's ratios are to.
fn reference(key: &RowKey) -> RowKey {
    let setting = if key.system == FLOOR { "64 B" } else { &key.setting };
    RowKey { system: TIDEGATE, setting: setting.into(), quantity: key.quantity }
}
