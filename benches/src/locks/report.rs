//! What the benchmark of locks prints.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::Locked;
use super::{Cell, System};
use crate::machine::Machine;
use crate::report::Summary;

/// The best way of waiting is as good as the best peer where it is this near.
const NEAR: f64 = 0.9;

/// What was measured of one lock in one cell.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The lock.
    pub system: System,
    /// Round by round.
    pub rounds: Vec<Locked>,
}

/// A cell, and what each lock did in it.
#[derive(Debug, Serialize)]
pub struct CellReport {
    /// The cell.
    #[serde(flatten)]
    pub cell: Cell,
    /// The locks.
    pub locks: Vec<LockReport>,
    /// The best of Tidegate's, by the median of its ratios.
    pub best: System,
    /// That median.
    pub best_ratio: f64,
}

/// One lock in one cell.
#[derive(Debug, Serialize)]
pub struct LockReport {
    /// The lock.
    pub system: System,
    /// Times a second that it was had.
    pub per_s: Summary,
    /// Ratios to the best peer of the same round; above 1 is more often than that.
    pub ratio: Summary,
    /// [`Locked::least_share`].
    pub least_share: Summary,
}

/// The benchmark's outcome.
#[derive(Debug, Serialize)]
pub struct LocksReport {
    /// The benchmark's name.
    pub benchmark: &'static str,
    /// Where it ran, and what.
    #[serde(flatten)]
    pub machine: Machine,
    /// Times that each lock was measured in each cell.
    pub rounds: u32,
    /// The cells.
    pub cells: Vec<CellReport>,
    /// Cells in which the best of Tidegate's is within 10 % of the best peer, or ahead.
    pub cells_near: usize,
    /// In how many cells each of Tidegate's is the best of these.
    pub cells_won: Vec<(System, usize)>,
}

impl CellReport {
    /// What was measured in `cell`; `None` if nothing was.
    pub fn new(cell: Cell, figures: &[Figures]) -> Option<Self> {
        let rounds = figures.iter().map(|f| f.rounds.len()).min()?;
        let peers = || figures.iter().filter(|f| !f.system.is_own());
        let best_peer = |round: usize| peers().map(|f| f.rounds[round].per_s).fold(0.0, f64::max);
        let locks: Vec<LockReport> = figures
            .iter()
            .filter_map(|f| {
                let of = |figure: &dyn Fn(usize) -> f64| Summary::of(&(0..rounds).map(figure).collect::<Vec<_>>());
                Some(LockReport {
                    system: f.system,
                    per_s: of(&|round| f.rounds[round].per_s)?,
                    ratio: of(&|round| f.rounds[round].per_s / best_peer(round))?,
                    least_share: of(&|round| f.rounds[round].least_share)?,
                })
            })
            .collect();
        let own = locks.iter().filter(|lock| lock.system.is_own());
        let best = own.max_by(|a, b| a.ratio.median.total_cmp(&b.ratio.median))?;
        Some(Self { cell, best: best.system, best_ratio: best.ratio.median, locks })
    }
}

impl LocksReport {
    /// The report of those cells.
    pub fn new(machine: Machine, rounds: u32, cells: Vec<CellReport>) -> Self {
        let own = System::ALL.into_iter().filter(|system| system.is_own());
        let won = |system| cells.iter().filter(|cell| cell.best == system).count();
        Self {
            benchmark: "locks",
            machine,
            rounds,
            cells_near: cells.iter().filter(|cell| cell.best_ratio >= NEAR).count(),
            cells_won: own.map(|system| (system, won(system))).collect(),
            cells,
        }
    }

    /// Prints it, for a program or for a person.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let Machine { cpu_model, cpus, kernel, commit } = &self.machine;
        println!("locks: {cpu_model}, {cpus} CPUs, Linux {kernel}, commit {commit}, {} rounds", self.rounds);
        println!("times a lock was had, as ratios to the best peer of the round: median (smallest-largest)");
        println!("{}", self.table());
        println!(
            "the best way of waiting is within 10 % of the best peer in {} of {} cells",
            self.cells_near,
            self.cells.len()
        );
        let won: Vec<String> =
            self.cells_won.iter().map(|(system, cells)| format!("{} {cells}", system.name())).collect();
        println!("cells in which each is the best of Tidegate's: {}", won.join(", "));
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let names = System::ALL.map(System::name);
        table.set_header(
            ["contenders", "hold ns", "peer M/s"].into_iter().chain(names).chain(["best", "its least share"]),
        );
        for cell in &self.cells {
            let CellReport { cell: Cell { processes, contenders, hold_ns }, locks, best, .. } = cell;
            let find = |system| locks.iter().find(|lock| lock.system == system);
            let peers = locks.iter().filter(|lock| !lock.system.is_own());
            let peer_per_s = peers.map(|lock| lock.per_s.median).fold(0.0, f64::max);
            let ratio = |system| {
                let of = |Summary { median, min, max }: Summary| format!("{median:.2} ({min:.2}-{max:.2})");
                find(system).map_or_else(String::new, |lock| of(lock.ratio))
            };
            let share = find(*best).map_or_else(String::new, |lock| format!("{:.2}", lock.least_share.median));
            let who = if *processes { "processes" } else { "threads" };
            let first = [format!("{contenders} {who}"), hold_ns.to_string(), format!("{:.2}", peer_per_s / 1e6)];
            table.add_row(
                first
                    .into_iter()
                    .chain(System::ALL.map(ratio))
                    .chain([format!("{} {:.2}", best.name(), cell.best_ratio), share]),
            );
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}
