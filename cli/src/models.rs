//! `tidegate train` and `tidegate evaluate`.

use std::path::{Path, PathBuf};

use clap::Args;
use tidegate_training::{ArrivalTrace, Evaluation, Silent, TrainParams, ValidParams, evaluate, read_directory, train};

use crate::failure::Failure;

/// How to train.
#[derive(Debug, Args)]
pub(crate) struct Recipe {
    /// Directory of recorded arrivals: NAME.tgtrace, or NAME.csv.gz with the columns t_ns,bytes
    traces: PathBuf,
    /// Ticks of 1 ms ahead that the peak backlog is predicted for
    #[arg(long, default_value_t = TrainParams::default().horizon_ticks)]
    horizon: u32,
    /// Quantile to predict
    #[arg(long, default_value_t = TrainParams::default().tau)]
    tau: f64,
    /// Ridge penalty
    #[arg(long, default_value_t = TrainParams::default().penalty)]
    penalty: f64,
}

/// `tidegate train`.
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    recipe: Recipe,
    /// Model file to write
    #[arg(short, long, default_value = "models/overflow.json")]
    output: PathBuf,
}

/// `tidegate evaluate`.
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    recipe: Recipe,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

impl Recipe {
    fn check(&self) -> Result<ValidParams, Failure> {
        let params =
            TrainParams { horizon_ticks: self.horizon, tau: self.tau, penalty: self.penalty, ..TrainParams::default() };
        Ok(params.check()?)
    }
}

impl Recipe {
    /// The traces, with a word about each that is not whole.
    fn traces(&self) -> Result<Vec<ArrivalTrace>, Failure> {
        let traces = read_directory(&self.traces)?;
        for trace in traces.iter().filter(|trace| trace.is_cut_short) {
            eprintln!("{} ends inside a frame, as after a crash of its recorder: used up to there", trace.name);
        }
        Ok(traces)
    }
}

pub(crate) fn run_train(command: &Train) -> Result<(), Failure> {
    let params = command.recipe.check()?;
    let traces = command.recipe.traces()?;
    let (file, evaluation) = train(&traces, &params, &Silent)?;
    write_whole(&command.output, &file.to_json()?)?;
    print_table(&evaluation);
    println!("\nwrote {}: fitted to {} traces", command.output.display(), traces.len());
    Ok(())
}

pub(crate) fn run_evaluate(command: &Evaluate) -> Result<(), Failure> {
    let params = command.recipe.check()?;
    let evaluation = evaluate(&command.recipe.traces()?, &params, &Silent)?;
    if command.json {
        let json = serde_json::to_string(&evaluation).map_err(|e| Failure::Corrupt(e.to_string()))?;
        println!("{json}");
    } else {
        print_table(&evaluation);
    }
    Ok(())
}

fn print_table(evaluation: &Evaluation) {
    println!(
        "Pinball loss at tau {} (ticks of service; less is better) of the peak backlog in the next {} ticks, and the\n\
         share of ticks that the model covers. Each family was scored by predictors fitted to the others. `adapted` is\n\
         the model where it learns on while it is judged. Dispersion below 1: a negative control.\n",
        evaluation.tau, evaluation.horizon_ticks
    );
    println!("{}", evaluation.table());
    println!("\n{}", evaluation.summary());
}

/// Writes a file in one step, so that no reader meets half of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    let partial = path.with_extension("partial");
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|error| {
        let _nothing_is_left_behind = std::fs::remove_file(&partial);
        Failure::io("write", path, &error)
    })
}
