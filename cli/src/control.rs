//! `tidegate control`: a controller for every channel in the host directory that has none.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use tidegate::control::{ControllerOptions, Mode};
use tidegate::inspect::Registry;

use crate::explain::check_journal;
use crate::failure::Failure;
use crate::serve::listen;
use crate::settings::Flags;
use crate::watch::{LOOK_EVERY, Watch};

/// `tidegate control`.
#[derive(Debug, Args)]
pub(crate) struct Control {
    #[command(flatten)]
    flags: Flags,
    /// File to which decisions are appended, as lines of JSON that `tidegate explain` reads
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Change nothing: the journal says what would be done
    #[arg(long)]
    shadow: bool,
}

pub(crate) fn run(command: &Control, interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    check_journal(command.journal.as_deref())?;
    let settings = command.flags.settings()?;
    let options = ControllerOptions {
        mode: if command.shadow { Mode::Shadow } else { Mode::Active },
        journal_file: command.journal.clone(),
        ..settings.controller()?
    };
    let registry = Registry::default();
    options.budget.iter().for_each(|budget| registry.set_budget(Arc::clone(budget)));
    // Only where a flag says so: who controls may run beside who serves.
    let _endpoint = command.flags.names_a_place().then(|| listen(&settings, &registry)).transpose()?;
    let mut watch = Watch::new(options, registry)?;
    let what = if command.shadow { "watches" } else { "controls" };
    println!("{what} the channels in {} that no other controller has", watch.host().path().display());
    while !interrupted.load(Ordering::Relaxed) {
        watch.look(&mut |line| println!("{line}"));
        std::thread::sleep(LOOK_EVERY);
    }
    println!("ends; the channels stay as they are");
    Ok(())
}
