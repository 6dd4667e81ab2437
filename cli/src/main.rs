//! The `tidegate` command.

mod calibrate;
mod control;
mod demo;
mod doctor;
mod explain;
mod failure;
mod follow;
mod host;
mod inspect;
mod manual;
mod mean;
mod message;
mod models;
mod progress;
mod record;
mod replay;
mod report;
mod serve;
mod settings;
mod table;
mod tally;
mod top;
mod trace;
mod units;
mod watch;
mod whole_file;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};

use failure::Failure;

const ENVIRONMENT: &str = "\
Environment:
  TIDEGATE_DIR     directory in which processes find each other, of mode 0700 (default: /dev/shm/tidegate-UID)
  TIDEGATE_CONFIG  file of settings (default: tidegate/config.toml in $XDG_CONFIG_HOME or ~/.config)
  TIDEGATE_LISTEN, TIDEGATE_PROFILE, TIDEGATE_BUDGET_MIB, TIDEGATE_MODEL  settings, see `tidegate config show`
  NO_COLOR         where it is set and not empty, nothing is coloured (no-color.org)";

/// A shared-memory channel between processes that tunes itself.
///
/// Exit codes: 0 done, 2 wrong usage, 3 something needed is missing, 4 a file is damaged or foreign.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_long_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay recorded traffic between real processes, adaptive and static, and compare
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoChild(demo::ChildCommand),
    /// Record a live channel into a trace file
    Record(record::Record),
    /// Say what a trace holds, export it, or make one of arrivals recorded elsewhere
    Trace(trace::Trace),
    /// Send recorded arrivals through a channel between processes, or compute what would come of it
    Replay(replay::Replay),
    #[command(hide = true)]
    ReplayChild(replay::ChildCommand),
    /// Control every channel of the host directory that no other controller has, until Ctrl-C
    Control(control::Control),
    /// Serve the page and the metrics of every channel of the host directory, until Ctrl-C
    Serve(serve::Serve),
    /// Show every channel of the host directory, live in the terminal
    Top(top::Command),
    /// Look at one channel
    Inspect(inspect::Inspect),
    /// Tell one decision of a controller: what was seen, predicted, weighed and done, and what then happened
    Explain(explain::Explain),
    /// List what is in this user's host directory, and who holds it
    Ls(host::List),
    /// Remove the names that dead processes have left; says what it would do unless told --yes
    Clean(host::Clean),
    /// Look at what this machine allows, and say what follows for channels
    Doctor(doctor::Doctor),
    /// Measure what each way of waiting for a lock costs on this machine, and write its profile
    Calibrate(calibrate::Calibrate),
    /// Show the settings and where each comes from: flags, else environment, else file, else default
    Config(settings::Config),
    /// Print the completions of a shell
    Completions(manual::Completions),
    /// Write the manual pages
    Man(manual::Man),
    /// Fit the overflow model to recorded arrivals
    Train(models::Train),
    /// Score the model's recipe against rules of thumb on families it was not fitted to
    Evaluate(models::Evaluate),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// What an interrupt sets for commands that look at it, since they end others before they end; the
/// others it ends.
fn interrupts(command: &Command) -> Result<Arc<AtomicBool>, Failure> {
    const SIGNALS: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    let failed = |error: std::io::Error| Failure::Environment(format!("cannot handle signals: {error}"));
    let interrupted = Arc::new(AtomicBool::new(false));
    if matches!(command, Command::DemoChild(_) | Command::ReplayChild(_)) {
        // Signals keep their default there: the parent decides what an interrupt means.
        return Ok(interrupted);
    }
    if matches!(command, Command::Demo(_) | Command::Record(_) | Command::Control(_) | Command::Serve(_))
        || matches!(command, Command::Replay(r) if r.is_live())
        || matches!(command, Command::Top(top) if top.is_live())
    {
        for signal in SIGNALS {
            signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(failed)?;
        }
        return Ok(interrupted);
    }
    // Who reads what is printed may stop before the end: no reason to complain.
    let ends = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_default(signal_hook::consts::SIGPIPE, ends).map_err(failed)?;
    let mut signals = signal_hook::iterator::Signals::new(SIGNALS).map_err(failed)?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            whole_file::remove_all_under_way();
            let _code = Failure::Interrupted.report();
            std::process::exit(130);
        }
    });
    Ok(interrupted)
}

fn run(command: Command) -> Result<(), Failure> {
    let interrupted = interrupts(&command)?;
    match command {
        Command::Demo(command) => demo::run(&command, &interrupted),
        Command::DemoChild(command) => demo::run_child(&command),
        Command::Replay(command) => replay::run(&command, &interrupted),
        Command::ReplayChild(command) => replay::run_child(&command),
        Command::Record(command) => record::run(&command, &interrupted),
        Command::Trace(command) => trace::run(&command),
        Command::Control(command) => control::run(&command, &interrupted),
        Command::Serve(command) => serve::run(&command, &interrupted),
        Command::Top(command) => top::run(&command, &interrupted),
        Command::Inspect(command) => inspect::run(&command),
        Command::Explain(command) => explain::run(&command),
        Command::Config(command) => settings::run(&command),
        Command::Completions(command) => manual::print_completions(&command),
        Command::Man(command) => manual::write_pages(&command),
        Command::Ls(command) => host::list(&command),
        Command::Clean(command) => host::clean(&command),
        Command::Doctor(command) => doctor::run(&command),
        Command::Calibrate(command) => calibrate::run(&command),
        Command::Train(command) => models::run_train(&command),
        Command::Evaluate(command) => models::run_evaluate(&command),
    }
}
