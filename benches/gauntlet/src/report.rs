//! What came of it: every workload's costs, and every configuration's regrets.

use std::collections::BTreeMap;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use tidegate::control::Weights;
use tidegate_benches::machine::Machine;
use tidegate_benches::report::Summary;

use crate::configuration::Configuration;
use crate::cost::{Cost, Measured};
use crate::store::{Entry, Phases, Store};
use crate::workloads::Workload;

/// The bar of the promise: no workload costs more than this share above the best static configuration.
pub(crate) const REGRET_BAR: f64 = 0.05;

/// The whole report.
#[derive(Debug, Serialize)]
pub(crate) struct GauntletReport {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) weights: Weights,
    pub(crate) workloads: Vec<WorkloadReport>,
    pub(crate) regret: Regrets,
    /// Of those that tune themselves, where traffic changes in phases.
    pub(crate) phases: BTreeMap<String, BTreeMap<String, Phases>>,
    pub(crate) lost: u64,
    /// What the figures do not tell.
    pub(crate) caveats: Vec<&'static str>,
}

const CAVEATS: [&str; 4] = [
    "The packaged model was trained on the recordings that are replayed here, among others; the rule of thumb was not.",
    "What comes before a run counts is for the controller to come to know the traffic, but where traffic changes in phases.",
    "The best static configuration is the least of twenty medians: chance makes it look better than it is.",
    "Memory is that of the rings that senders are in, not of those that they have left and that are being read.",
];

/// One workload.
#[derive(Debug, Serialize)]
pub(crate) struct WorkloadReport {
    pub(crate) name: String,
    /// What a cost is counted by.
    pub(crate) per: &'static str,
    /// The static configuration that costs least.
    pub(crate) best_static: String,
    pub(crate) rows: Vec<Row>,
}

/// A configuration on a workload.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) configuration: String,
    /// Median of the rounds, microseconds.
    pub(crate) cost_us: f64,
    /// Least and most of the rounds.
    pub(crate) spread_us: [f64; 2],
    /// Of the round in the middle.
    pub(crate) parts: Cost,
    /// See there.
    pub(crate) measured: Measured,
    /// Cost above that of the best static configuration, as a share of that.
    pub(crate) regret: f64,
}

/// Regrets by configuration.
#[derive(Debug, Serialize)]
pub(crate) struct Regrets {
    pub(crate) adaptive: Regret,
    pub(crate) heuristic: Regret,
    #[serde(rename = "static")]
    pub(crate) by_static: BTreeMap<String, Regret>,
}

/// Regrets of one configuration.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Regret {
    pub(crate) max: f64,
    pub(crate) mean: f64,
    pub(crate) by_workload: BTreeMap<String, f64>,
}

impl GauntletReport {
    pub(crate) fn new(workloads: &[Workload], rounds: u32, store: &Store) -> Self {
        let weights = Weights::BALANCED;
        let reports: Vec<_> = workloads.iter().map(|workload| WorkloadReport::new(workload, weights, store)).collect();
        let phases = workloads.iter().filter_map(|workload| {
            let of = |name: &str| Some((name.to_owned(), phases(store.of(&workload.name, name))?));
            let found: BTreeMap<_, _> = ["adaptive", "heuristic"].into_iter().filter_map(of).collect();
            (!found.is_empty()).then(|| (workload.name.clone(), found))
        });
        Self {
            machine: Machine::here(),
            rounds,
            weights,
            phases: phases.collect(),
            regret: Regrets::new(&reports),
            workloads: reports,
            caveats: CAVEATS.to_vec(),
            lost: store.entries.iter().map(|entry| entry.measured.lost).sum(),
        }
    }

    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        let Machine { cpu_model, cpus, kernel, commit } = &self.machine;
        println!("{cpu_model}, {cpus} CPUs, Linux {kernel}, commit {commit}; {} rounds, medians\n", self.rounds);
        for workload in &self.workloads {
            println!("{}\n", workload.table());
        }
        println!("{}", self.regret.table());
        for (workload, by_configuration) in &self.phases {
            for (configuration, Phases { settled_ms, switches_max }) in by_configuration {
                let settled = settled_ms.map_or("never switches".into(), |ms| format!("settles in {ms:.0} ms"));
                println!("{workload}: {configuration} {settled}, at most {switches_max} switches a phase");
            }
        }
        println!("messages lost or doubled: {}", self.lost);
        println!("{}", self.caveats.join("\n"));
        Ok(())
    }
}

fn phases<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<Phases> {
    let found: Vec<Phases> = entries.filter_map(|entry| entry.phases).collect();
    let switches_max = found.iter().map(|phases| phases.switches_max).max()?;
    let settled: Vec<f64> = found.iter().filter_map(|phases| phases.settled_ms).collect();
    let settled_ms = Summary::of(&settled).map(|summary| summary.median);
    Some(Phases { settled_ms, switches_max })
}

impl WorkloadReport {
    fn new(workload: &Workload, weights: Weights, store: &Store) -> Self {
        let is_closed = workload.traffic.is_closed();
        let mut rows: Vec<Row> = Configuration::all()
            .into_iter()
            .filter_map(|configuration| Row::new(&workload.name, configuration, is_closed, weights, store))
            .collect();
        let own = |row: &&Row| row.configuration.contains('/');
        let best = rows.iter().filter(own).min_by(|a, b| a.cost_us.total_cmp(&b.cost_us));
        let (best_static, least_us) =
            best.map_or_else(Default::default, |row| (row.configuration.clone(), row.cost_us));
        rows.iter_mut().for_each(|row| row.regret = row.cost_us / least_us - 1.0);
        let per = if is_closed { "message" } else { "second" };
        Self { name: workload.name.clone(), per, best_static, rows }
    }

    /// Those that tune themselves, and the best and the worst of the static ones.
    fn table(&self) -> Table {
        let cost = format!("us a {}", self.per);
        let mut table = aligned(&[
            &self.name,
            cost.as_str(),
            "spread",
            "regret",
            "time",
            "late",
            "blocked",
            "CPU",
            "memory",
            "msg/s",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "MiB",
            "changes",
        ]);
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.cost_us.total_cmp(&b.cost_us));
        for row in rows {
            let (parts, run) = (&row.parts, &row.measured);
            table.add_row([
                row.configuration.clone(),
                figure(row.cost_us),
                format!("{}..{}", figure(row.spread_us[0]), figure(row.spread_us[1])),
                format!("{:+.1} %", row.regret * 100.0),
                figure(parts.time_us),
                figure(parts.late_us),
                figure(parts.blocked_us),
                figure(parts.cpu_us),
                figure(parts.memory_us),
                figure(run.messages as f64 / run.seconds),
                figure(run.p50_us),
                figure(run.p99_us),
                figure(run.p999_us),
                format!("{:.2}", run.mebibytes),
                run.changes.to_string(),
            ]);
        }
        table
    }
}

impl Row {
    fn new(
        workload: &str,
        configuration: Configuration,
        is_closed: bool,
        weights: Weights,
        store: &Store,
    ) -> Option<Self> {
        let configuration = configuration.to_string();
        let mut runs: Vec<(f64, Cost, Measured)> = store
            .of(workload, &configuration)
            .map(|entry| {
                let cost = Cost::of(&entry.measured, is_closed, weights);
                (cost.sum(), cost, entry.measured)
            })
            .collect();
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (_, parts, measured) = *runs.get(runs.len() / 2)?;
        let costs: Vec<f64> = runs.iter().map(|run| run.0).collect();
        let Summary { median: cost_us, min, max } = Summary::of(&costs)?;
        let spread_us = [min, max];
        Some(Self { configuration, cost_us, spread_us, parts, measured, regret: 0.0 })
    }
}

impl Regrets {
    fn new(workloads: &[WorkloadReport]) -> Self {
        let mut all: BTreeMap<String, Regret> = BTreeMap::new();
        for workload in workloads {
            for row in &workload.rows {
                let regret = all.entry(row.configuration.clone()).or_default();
                regret.max = if regret.by_workload.is_empty() { row.regret } else { regret.max.max(row.regret) };
                regret.by_workload.insert(workload.name.clone(), row.regret);
            }
        }
        for regret in all.values_mut() {
            regret.mean = regret.by_workload.values().sum::<f64>() / regret.by_workload.len() as f64;
        }
        let mut take = |name: &str| all.remove(name).unwrap_or_default();
        Self { adaptive: take("adaptive"), heuristic: take("heuristic"), by_static: all }
    }

    /// Every configuration, the least mean first.
    pub(crate) fn ranked(&self) -> Vec<(&str, &Regret)> {
        let own = [("adaptive", &self.adaptive), ("heuristic", &self.heuristic)];
        let by_static = self.by_static.iter().map(|(name, regret)| (name.as_str(), regret));
        // What was not run has no regret.
        let was_run = |(_, regret): &(&str, &Regret)| !regret.by_workload.is_empty();
        let mut ranked: Vec<_> = own.into_iter().chain(by_static).filter(was_run).collect();
        ranked.sort_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        ranked
    }

    fn table(&self) -> Table {
        let mut table = aligned(&["regret", "mean", "max", "workloads within 5 %"]);
        for (name, regret) in self.ranked() {
            let within = regret.by_workload.values().filter(|regret| **regret <= REGRET_BAR).count();
            let of = regret.by_workload.len();
            table.add_row([
                name.into(),
                format!("{:+.1} %", regret.mean * 100.0),
                format!("{:+.1} %", regret.max * 100.0),
                format!("{within} of {of}"),
            ]);
        }
        table
    }
}

fn aligned(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(heads);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// Three digits that tell.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        a if a >= 100.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
