//! `tidegate completions` and `tidegate man`: what shells and manuals know of the command.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::failure::Failure;

/// `tidegate completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

/// `tidegate man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Directory to write tidegate.1 and a page for each command to; ~/.local/share/man/man1, say
    directory: PathBuf,
}

/// The command without the parts that are for itself alone.
fn visible() -> Command {
    let all = Cli::command();
    let mut visible = Command::new("tidegate").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    if let Some(about) = all.get_about() {
        visible = visible.about(about.clone());
    }
    if let Some(more) = all.get_after_long_help() {
        visible = visible.after_long_help(more.clone());
    }
    visible.subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()).cloned())
}

pub(crate) fn print_completions(command: &Completions) -> Result<(), Failure> {
    clap_complete::generate(command.shell, &mut visible(), "tidegate", &mut std::io::stdout());
    Ok(())
}

pub(crate) fn write_pages(command: &Man) -> Result<(), Failure> {
    let directory = &command.directory;
    let written = std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(visible(), directory));
    written.map_err(|error| Failure::io("write the manual to", directory, &error))
}
