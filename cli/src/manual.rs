//! `tidegate completions` and `tidegate man`: what shells and manuals know of the command.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
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

pub(crate) fn print_completions(command: &Completions) -> Result<(), Failure> {
    clap_complete::generate(command.shell, &mut Cli::command(), "tidegate", &mut std::io::stdout());
    Ok(())
}

pub(crate) fn write_pages(command: &Man) -> Result<(), Failure> {
    let directory = &command.directory;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory));
    written.map_err(|error| Failure::io("write the manual to", directory, &error))
}
