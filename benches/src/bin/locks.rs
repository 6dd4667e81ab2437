//! Locks under contention: Tidegate's ways of waiting beside parking_lot's and glibc's mutexes.

use std::time::Duration;

use anyhow::Context;
use tidegate_benches::locks::report::{CellReport, Figures, LocksReport};
use tidegate_benches::locks::{self, Calibration, Cell, Role, System};
use tidegate_benches::machine::Machine;
use tidegate_benches::options::RunOptions;

const CONTENDERS: [usize; 4] = [1, 2, 4, 8];
const HOLD_NS: [u64; 4] = [0, 100, 1_000, 10_000];

fn main() -> anyhow::Result<()> {
    let options = RunOptions::from_args("locks", "Locks under contention, as ratios to the best peer");
    if let Some(role) = options.role::<Role>()? {
        return role.run();
    }
    anyhow::ensure!(options.plot().is_none(), "this benchmark draws no picture: leave --plot out");
    let window = Duration::from_millis(if options.quick() { 25 } else { 100 });
    let (machine, calibration) = (Machine::here(), Calibration::here());
    let mut cells: Vec<(Cell, Vec<Figures>)> = cells(&options);
    for round in 1..=options.rounds() {
        eprintln!("round {round} of {}", options.rounds());
        for (cell, figures) in &mut cells {
            for of in figures {
                let locked = locks::measure(of.system, *cell, calibration, window, |role| role);
                of.rounds.push(locked.with_context(|| format!("{}, {cell:?}", of.system.name()))?);
            }
        }
    }
    let cells = cells.iter().filter_map(|(cell, figures)| CellReport::new(*cell, figures)).collect();
    LocksReport::new(machine, options.rounds(), cells).print(options.json())
}

/// Every cell, and the locks that can be measured in it.
fn cells(options: &RunOptions) -> Vec<(Cell, Vec<Figures>)> {
    let mut cells = Vec::new();
    for processes in [false, true] {
        for contenders in CONTENDERS {
            for hold_ns in HOLD_NS {
                let setting = format!("{contenders} {}, {hold_ns} ns", if processes { "processes" } else { "threads" });
                if options.wants("", &setting) {
                    let systems = System::ALL.into_iter().filter(|system| system.is_shared() || !processes);
                    let figures = systems.map(|system| Figures { system, rounds: Vec::new() }).collect();
                    cells.push((Cell { processes, contenders, hold_ns }, figures));
                }
            }
        }
    }
    cells
}
