//! `tidegate train` and `tidegate evaluate`.

use std::path::{Path, PathBuf};

use clap::Args;
use tidegate::control::ForecastModel;
use tidegate::model::{ModelFile, Standing};
use tidegate_training::evaluate::learning_curve;
use tidegate_training::{ArrivalTrace, Evaluation, Method, TrainParams, ValidParams, evaluate, read_directory, train};

use crate::failure::Failure;
use crate::progress::Bars;
use crate::report::{self, Subject};
use crate::whole_file::WholeFile;

/// The model's file in a directory of models.
const OVERFLOW: &str = "overflow.json";
/// Times that a resize takes that a forecast looks ahead, in ticks of 1 ms a millisecond.
const RESIZES_AHEAD: f64 = 4.0;

/// `tidegate train`.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Directory of recorded arrivals: NAME.tgtrace, or NAME.csv.gz with the columns t_ns,bytes. Traces of one origin are
    /// a family and share what stands in NAME before the first _; two families are needed
    traces: PathBuf,
    #[command(flatten)]
    recipe: Recipe,
    /// Directory to write overflow.json to, or a file NAME.json
    #[arg(short, long, default_value = "models")]
    output: PathBuf,
    /// Write report.html to this directory, too: data, scores, learning curve, calibration, drops against memory,
    /// coefficients and worst cases, on one page that needs nothing else
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// `tidegate evaluate`.
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// A model, or a directory with overflow.json, whose recipe is judged, fitted anew for each family that is held out;
    /// without it the packaged model's. Then the
    /// directory of recorded arrivals, as for `train`
    #[arg(value_name = "[MODEL] TRACES", num_args = 1..=2, required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    recipe: Recipe,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// How to fit. What is not given is the model's, or the default.
#[derive(Debug, Args)]
struct Recipe {
    /// Ticks of 1 ms ahead that the peak backlog is predicted for, 1 to 4,096; 32
    #[arg(long)]
    horizon: Option<u32>,
    /// Quantile to predict, 0.5 to 0.9999; 0.99
    #[arg(long, allow_negative_numbers = true, conflicts_with_all = ["cost_overflow", "cost_memory"])]
    tau: Option<f64>,
    /// In place of --tau: what a byte too few costs, in the unit of --cost-memory. The quantile is the one whose forecast costs
    /// least on average: overflow / (overflow + memory)
    #[arg(long, requires = "cost_memory")]
    cost_overflow: Option<f64>,
    /// What a byte too many costs
    #[arg(long, requires = "cost_overflow")]
    cost_memory: Option<f64>,
    /// In place of --horizon: the 99th percentile of the time that a resize takes, ms. The horizon is four times as long
    #[arg(long, conflicts_with = "horizon")]
    resize_ms: Option<f64>,
    /// Ridge penalty, above 0 to 100; 0.01. A model's file does not hold it: to judge one that was trained with another, give it again
    #[arg(long, allow_negative_numbers = true)]
    penalty: Option<f64>,
    /// How the model is fitted: ridge, quantile, elastic_net or blend; blend
    #[arg(long, value_parser = method)]
    method: Option<Method>,
}

fn method(name: &str) -> Result<Method, String> {
    let known = || Method::ALL.map(Method::name).join(", ");
    Method::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| format!("known are {}", known()))
}

impl Recipe {
    fn check(&self, defaults: TrainParams) -> Result<ValidParams, Failure> {
        let by_costs =
            self.cost_overflow.zip(self.cost_memory).map(|(overflow, memory)| overflow / (overflow + memory));
        let by_resize = self.resize_ms.map(|ms| (RESIZES_AHEAD * ms).ceil().max(1.0) as u32);
        let params = TrainParams {
            horizon_ticks: self.horizon.or(by_resize).unwrap_or(defaults.horizon_ticks),
            tau: self.tau.or(by_costs).unwrap_or(defaults.tau),
            penalty: self.penalty.unwrap_or(defaults.penalty),
            method: self.method.unwrap_or(defaults.method),
            ..defaults
        };
        Ok(params.check()?)
    }
}

pub(crate) fn run_train(command: &Train) -> Result<(), Failure> {
    let params = command.recipe.check(TrainParams::default())?;
    let traces = read(&command.traces)?;
    let path = model_at(&command.output);
    let output = WholeFile::begin(&path)?;
    let report = command.report.as_ref().map(|directory| directory.join("report.html"));
    let report = report.map(|path| WholeFile::begin(&path).map(|output| (path, output))).transpose()?;
    let bars = Bars::default();
    let (file, evaluation) = train(&traces, &params, &bars)?;
    output.fill(&file.to_json()?)?;
    let report = match report {
        Some((path, output)) => {
            let learning = learning_curve(&traces, &params, &bars)?;
            let subject = Subject { file: &file, evaluation: &evaluation, traces: &traces, learning: &learning };
            output.fill(&report::page(&subject)?)?;
            Some(path)
        }
        None => None,
    };
    drop(bars);
    print_table(&evaluation);
    let standing = if file.standing == Standing::Proven {
        "proven: it may be in charge of a channel"
    } else {
        "a candidate, since it is not proven that it does better than each rule of thumb: a controller leaves it alone"
    };
    println!("\nwrote {}: fitted to {} traces; {standing}", path.display(), traces.len());
    report.into_iter().for_each(|path| println!("wrote {}", path.display()));
    Ok(())
}

pub(crate) fn run_evaluate(command: &Evaluate) -> Result<(), Failure> {
    let (model, traces) = match command.paths.as_slice() {
        [model, traces] => (Some(model_at(model)), traces),
        [traces] => (None, traces),
        _ => return Err(Failure::Usage("[MODEL] TRACES: one or two paths".into())),
    };
    let defaults = model.map_or(Ok(TrainParams::default()), |path| recipe_of(&path))?;
    let params = command.recipe.check(defaults)?;
    let evaluation = evaluate(&read(traces)?, &params, &Bars::default())?;
    if command.json {
        let json = serde_json::to_string(&evaluation).map_err(|e| Failure::Corrupt(e.to_string()))?;
        println!("{json}");
    } else {
        print_table(&evaluation);
        println!(
            "Everything was fitted anew, by {} to predict {} ticks ahead.",
            evaluation.method, evaluation.horizon_ticks
        );
    }
    Ok(())
}

/// Where in `path`, a directory or a file, the model is.
fn model_at(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|extension| extension == "json") { path.into() } else { path.join(OVERFLOW) }
}

/// How the model at `path` was fitted.
fn recipe_of(path: &Path) -> Result<TrainParams, Failure> {
    let file = read_model(path)?.file().clone();
    let ModelFile { horizon_ticks, tau, .. } = file;
    let method = method(&file.method).map_err(|known| Failure::Corrupt(format!("{}: {known}", path.display())))?;
    Ok(TrainParams { horizon_ticks, tau, method, ..TrainParams::default() })
}

/// Reads and checks a model.
pub(crate) fn read_model(path: &Path) -> Result<tidegate::model::OverflowModel, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io("read", path, &e))?;
    let model = tidegate::model::OverflowModel::from_json(&bytes);
    model.map_err(|e| Failure::Corrupt(format!("{}: {e}", path.display())))
}

/// What forecasts: that file's model, checked, or the packaged one.
pub(crate) fn forecast_model(path: Option<&Path>) -> Result<ForecastModel, Failure> {
    let model = path.map(read_model).transpose()?;
    Ok(model.map_or(ForecastModel::Packaged, |model| ForecastModel::Given(Box::new(model))))
}

/// The traces, with a word about each that is not whole.
fn read(directory: &Path) -> Result<Vec<ArrivalTrace>, Failure> {
    let traces = read_directory(directory)?;
    traces.iter().for_each(say_if_cut);
    Ok(traces)
}

/// Says so of a trace that is not whole.
pub(crate) fn say_if_cut(trace: &ArrivalTrace) {
    if trace.is_cut_short {
        eprintln!("{} ends inside a frame, as after a crash of its recorder: used up to there", trace.name);
    }
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
