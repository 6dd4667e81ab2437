//! What the controller computes for one channel in each tick: features, forecast, what it has learned since.

use std::hint::black_box;
use std::time::Instant;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;
use tidegate::model::{Demand, FeatureWindow, Forecast, Online, OverflowModel, WARM_TICKS};
use tidegate_benches::machine::Machine;
use tidegate_benches::options::RunOptions;
use tidegate_benches::report::Summary;

/// Ticks that are timed together.
const TICKS: usize = 100_000;

/// A part of the work, with all parts before it.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    /// Nanoseconds a tick.
    ns: Summary,
    /// Allocations in all its ticks.
    allocations: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    machine: Machine,
    rounds: u32,
    ticks: usize,
    parts: Vec<Part>,
}

/// One channel's forecaster, and traffic for it.
struct Bench {
    model: OverflowModel,
    online: Online,
    window: FeatureWindow,
    arrivals: Vec<f64>,
}

impl Bench {
    fn new() -> anyhow::Result<Self> {
        let model = OverflowModel::packaged()?;
        let mut state = 1u64;
        let arrivals = (0..TICKS).map(|tick| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let burst = if (tick / 50).is_multiple_of(4) { 2.0 } else { 0.4 };
            burst * (state >> 40) as f64 / (1u64 << 24) as f64 * 2.0
        });
        let arrivals = arrivals.collect();
        let mut bench = Self { online: Online::new(&model, 1), model, window: FeatureWindow::default(), arrivals };
        bench.run(WARM_TICKS, |_, _, _| None);
        Ok(bench)
    }

    fn run(&mut self, ticks: usize, each: impl Fn(&OverflowModel, &mut Online, &FeatureWindow) -> Option<Forecast>) {
        let mut backlog = 0.0f64;
        for &arrivals in &self.arrivals[..ticks] {
            backlog = (backlog + arrivals - 1.0).max(0.0);
            self.window.push(Demand { arrivals, backlog });
            black_box(each(&self.model, &mut self.online, &self.window));
        }
    }
}

fn features(_: &OverflowModel, _: &mut Online, window: &FeatureWindow) -> Option<Forecast> {
    black_box(window.features());
    None
}

fn forecast(model: &OverflowModel, _: &mut Online, window: &FeatureWindow) -> Option<Forecast> {
    Some(model.forecast(&window.features()))
}

fn corrected(model: &OverflowModel, online: &mut Online, window: &FeatureWindow) -> Option<Forecast> {
    Some(online.correct(model.forecast(&window.features())))
}

type Work = fn(&OverflowModel, &mut Online, &FeatureWindow) -> Option<Forecast>;

const PARTS: [(&str, Work); 3] =
    [("features", features), ("features and forecast", forecast), ("and what it has learned since", corrected)];

fn main() -> anyhow::Result<()> {
    let options = RunOptions::from_args("forecast", "The forecast of one channel for one tick: time and allocations");
    anyhow::ensure!(options.plot().is_none(), "this benchmark draws no picture: leave --plot out");
    let mut bench = Bench::new()?;
    let mut figures = PARTS.map(|_| (Vec::new(), 0));
    for _ in 0..options.rounds() {
        for ((_, work), (ns, allocations)) in PARTS.iter().zip(&mut figures) {
            let began = Instant::now();
            let counted = allocation_counter::measure(|| bench.run(TICKS, work));
            ns.push(began.elapsed().as_nanos() as f64 / TICKS as f64);
            *allocations += counted.count_total;
        }
    }
    let parts = PARTS
        .iter()
        .zip(figures)
        .filter_map(|((name, _), (ns, allocations))| Some(Part { name, ns: Summary::of(&ns)?, allocations }));
    let report = Report {
        benchmark: "forecast",
        machine: Machine::here(),
        rounds: options.rounds(),
        ticks: TICKS,
        parts: parts.collect(),
    };
    if options.json() {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    let Machine { cpu_model, cpus, kernel, commit } = &report.machine;
    println!("forecast: {cpu_model}, {cpus} CPUs, Linux {kernel}, commit {commit}, {} rounds", report.rounds);
    println!("nanoseconds a tick of one channel: median (smallest-largest), over {TICKS} ticks");
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["part", "ns", "allocations"]);
    for Part { name, ns, allocations } in &report.parts {
        let ns = format!("{:.0} ({:.0}-{:.0})", ns.median, ns.min, ns.max);
        table.add_row([(*name).to_owned(), ns, allocations.to_string()]);
    }
    println!("{table}");
    Ok(())
}
