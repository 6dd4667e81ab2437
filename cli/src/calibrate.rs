//! `tidegate calibrate`: what each way of waiting for a lock costs on this machine.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidegate::control::host_profile_path;
use tidegate::model::{HostProfile, ProfiledMachine, Standing};
use tidegate_training::contention::{CalibrateError, SweepParams, profile, read_measured, sweep, write_measured};

use crate::failure::Failure;
use crate::progress::Bars;
use crate::table::aligned;
use crate::whole_file::WholeFile;

/// `tidegate calibrate`.
#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// Profile to write; without it, where programs of this user look for it (TIDEGATE_PROFILE, or tidegate/host.json in
    /// the directory of configuration)
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Write every measurement into this file, too, as CSV
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Fit to the measurements in this file instead of measuring
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trace", "rounds", "window_ms"])]
    from: Option<PathBuf>,
    /// Times that each situation is measured
    #[arg(long, default_value_t = SweepParams::default().rounds, value_parser = clap::value_parser!(u32).range(2..=100))]
    rounds: u32,
    /// Milliseconds each time
    #[arg(long, default_value_t = SweepParams::default().window.as_millis() as u64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    window_ms: u64,
    /// Print the profile as one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Calibrate) -> Result<(), Failure> {
    let path = command.output.clone().or_else(host_profile_path);
    let path = path.ok_or_else(|| Failure::Usage("neither HOME nor XDG_CONFIG_HOME is set: say -o FILE".into()))?;
    let output = WholeFile::begin(&path)?;
    let trace = command.trace.as_deref().map(WholeFile::begin).transpose()?;
    let measured = match &command.from {
        Some(from) => {
            let file = File::open(from).map_err(|e| Failure::io("read", from, &e))?;
            read_measured(file).map_err(|e| Failure::Corrupt(format!("{}: {e}", from.display())))?
        }
        None => {
            let window = Duration::from_millis(command.window_ms);
            sweep(SweepParams { rounds: command.rounds, window }, &Bars::default())?
        }
    };
    if let Some(trace) = trace {
        write_measured(&measured, &trace.file)?;
        trace.finish()?;
    }
    let profile = profile(&measured, machine())?;
    let text = profile.to_json()?;
    output.fill(&text)?;
    if command.json {
        print!("{text}");
    } else {
        print(&profile);
        println!("\nwrote {}: fitted to {} measurements", path.display(), measured.len());
    }
    Ok(())
}

fn machine() -> ProfiledMachine {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    ProfiledMachine {
        cpu_model: model.map_or("unknown", |(_, name)| name.trim()).into(),
        cpus: tidegate::cpus() as u32,
        kernel: kernel.trim().into(),
    }
}

fn print(profile: &HostProfile) {
    let ProfiledMachine { cpu_model, cpus, kernel } = &profile.machine;
    println!(
        "{cpu_model}, {cpus} CPUs, Linux {kernel}.\nWhat the choice of a way of waiting costs over the best one (1 is perfect), \
         in pairs of contenders and hold\nthat it was not fitted to; `repeated` is the best of the even rounds in the odd ones: \
         what chance alone costs.\n"
    );
    let mut table = aligned(&["chosen by", "over best", "95 % interval"]);
    for score in &profile.held_out {
        let [low, high] = score.interval;
        table.add_row([score.chooser.clone(), format!("{:.3}", score.over_best), format!("{low:.3} to {high:.3}")]);
    }
    println!("{table}");
    let chosen = match profile.standing {
        Standing::Proven => "The model chooses: it costs less than every one way of waiting and every rule.".to_owned(),
        Standing::Candidate => {
            format!(
                "{} is chosen everywhere: the model is a candidate, since not all others cost more.",
                profile.default_strategy
            )
        }
    };
    println!("\n{chosen}");
}

impl From<CalibrateError> for Failure {
    fn from(error: CalibrateError) -> Self {
        match error {
            CalibrateError::NotWhole { .. } | CalibrateError::Csv(_) => Self::Corrupt(error.to_string()),
            _ => Self::Environment(error.to_string()),
        }
    }
}
