//! Readers and writers: Tidegate's reader-writer lock beside its mutex, and beside parking_lot's of both kinds.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use tidegate::{ShmMutex, ShmRwLock};
use tidegate_benches::locks::Calibration;
use tidegate_benches::machine::Machine;
use tidegate_benches::options::RunOptions;
use tidegate_benches::report::Summary;

const THREADS: [usize; 3] = [1, 2, 4];
const HOLD_NS: [u64; 4] = [0, 1_000, 10_000, 100_000];
/// Of so many uses of the lock one writes.
const WRITE_EVERY: [u64; 2] = [100, 10];
const SYSTEMS: [&str; 4] = ["ShmMutex", "ShmRwLock", "parking_lot Mutex", "parking_lot RwLock"];
/// What ratios are to.
const REFERENCE: usize = 0;

/// A thread's handle on a lock over a count.
trait Count {
    /// The count, after `work`.
    fn read(&self, work: &dyn Fn()) -> u64;
    /// Adds one after `work`.
    fn add(&self, work: &dyn Fn());
}

impl Count for ShmMutex<u64> {
    fn read(&self, work: &dyn Fn()) -> u64 {
        let count = self.lock().unwrap_or_else(|_| unreachable!("nobody dies"));
        work();
        *count
    }

    fn add(&self, work: &dyn Fn()) {
        let mut count = self.lock().unwrap_or_else(|_| unreachable!("nobody dies"));
        work();
        *count += 1;
    }
}

impl Count for ShmRwLock<u64> {
    fn read(&self, work: &dyn Fn()) -> u64 {
        let count = ShmRwLock::read(self).unwrap_or_else(|_| unreachable!("nobody dies"));
        work();
        *count
    }

    fn add(&self, work: &dyn Fn()) {
        let mut count = self.write().unwrap_or_else(|_| unreachable!("nobody dies"));
        work();
        *count += 1;
    }
}

impl Count for Arc<parking_lot::Mutex<u64>> {
    fn read(&self, work: &dyn Fn()) -> u64 {
        let count = self.lock();
        work();
        *count
    }

    fn add(&self, work: &dyn Fn()) {
        let mut count = self.lock();
        work();
        *count += 1;
    }
}

impl Count for Arc<parking_lot::RwLock<u64>> {
    fn read(&self, work: &dyn Fn()) -> u64 {
        let count = parking_lot::RwLock::read(self);
        work();
        *count
    }

    fn add(&self, work: &dyn Fn()) {
        let mut count = self.write();
        work();
        *count += 1;
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Cell {
    threads: usize,
    hold_ns: u64,
    write_every: u64,
}

#[derive(Debug, Serialize)]
struct CellReport {
    #[serde(flatten)]
    cell: Cell,
    /// Uses a second, by system.
    per_s: Vec<(&'static str, Summary)>,
    /// Ratios to the first system's in the same round: above 1 is more often.
    ratio: Vec<(&'static str, Summary)>,
}

fn main() -> anyhow::Result<()> {
    let options = RunOptions::from_args("rwlock", "Readers and writers in threads, as ratios to Tidegate's mutex");
    ensure!(options.plot().is_none(), "this benchmark draws no picture: leave --plot out");
    let window = Duration::from_millis(if options.quick() { 25 } else { 100 });
    let (machine, calibration) = (Machine::here(), Calibration::here());
    let mut cells: Vec<(Cell, [Vec<f64>; SYSTEMS.len()])> = Vec::new();
    for threads in THREADS {
        for write_every in WRITE_EVERY {
            cells.extend(HOLD_NS.map(|hold_ns| (Cell { threads, hold_ns, write_every }, Default::default())));
        }
    }
    for round in 1..=options.rounds() {
        eprintln!("round {round} of {}", options.rounds());
        for (cell, figures) in &mut cells {
            for (system, rounds) in figures.iter_mut().enumerate() {
                rounds.push(measure(system, *cell, calibration, window)?);
            }
        }
    }
    let reports: Vec<CellReport> = cells.iter().filter_map(|(cell, figures)| report(*cell, figures)).collect();
    print(&machine, &options, &reports)
}

/// Uses a second. A thread's handle is its own, as a process's is.
fn measure(system: usize, cell: Cell, calibration: Calibration, window: Duration) -> anyhow::Result<f64> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let name = format!("bench-rwlock-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    match system {
        0 => {
            let _keep = ShmMutex::create(&name, 0u64)?;
            contend(|| Ok(ShmMutex::open(&name)?), cell, calibration, window)
        }
        1 => {
            let _keep = ShmRwLock::create(&name, 0u64)?;
            contend(|| Ok(ShmRwLock::open(&name)?), cell, calibration, window)
        }
        2 => {
            let lock = Arc::new(parking_lot::Mutex::new(0u64));
            contend(|| Ok(Arc::clone(&lock)), cell, calibration, window)
        }
        _ => {
            let lock = Arc::new(parking_lot::RwLock::new(0u64));
            contend(|| Ok(Arc::clone(&lock)), cell, calibration, window)
        }
    }
}

fn contend<L: Count + Send>(
    handle: impl Fn() -> anyhow::Result<L>,
    cell: Cell,
    calibration: Calibration,
    window: Duration,
) -> anyhow::Result<f64> {
    let (stop, start) = (AtomicBool::new(false), Barrier::new(cell.threads + 1));
    let work = || calibration.work(cell.hold_ns);
    let user = |lock: L, first: u64| {
        start.wait();
        let (mut uses, mut writes) = (0u64, 0u64);
        while !stop.load(Ordering::Relaxed) {
            if (uses + first).is_multiple_of(cell.write_every) {
                lock.add(&work);
                writes += 1;
            } else {
                black_box(lock.read(&work));
            }
            uses += 1;
        }
        (uses, writes)
    };
    let handles: Vec<L> = (0..cell.threads).map(|_| handle()).collect::<anyhow::Result<_>>()?;
    let (user, start) = (&user, &start);
    let (uses, writes) = thread::scope(|scope| {
        let users: Vec<_> = (0..).zip(handles).map(|(first, lock)| scope.spawn(move || user(lock, first))).collect();
        start.wait();
        thread::sleep(window);
        stop.store(true, Ordering::Relaxed);
        let counts = users.into_iter().map(|user| user.join().unwrap_or_default());
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    });
    let counted = handle()?.read(&|| ());
    ensure!(counted == writes, "{writes} writes, and a count of {counted}");
    Ok(uses as f64 / window.as_secs_f64())
}

fn report(cell: Cell, figures: &[Vec<f64>; SYSTEMS.len()]) -> Option<CellReport> {
    let of = |figures: Vec<f64>| Summary::of(&figures);
    let ratio = |rounds: &Vec<f64>| of(rounds.iter().zip(&figures[REFERENCE]).map(|(a, b)| a / b).collect());
    let each = |figure: &dyn Fn(&Vec<f64>) -> Option<Summary>| -> Option<Vec<(&'static str, Summary)>> {
        SYSTEMS.into_iter().zip(figures).map(|(system, rounds)| Some((system, figure(rounds)?))).collect()
    };
    Some(CellReport { cell, per_s: each(&|rounds| of(rounds.clone()))?, ratio: each(&ratio)? })
}

fn print(machine: &Machine, options: &RunOptions, cells: &[CellReport]) -> anyhow::Result<()> {
    if options.json() {
        let report = serde_json::json!({
            "benchmark": "rwlock", "machine": machine, "rounds": options.rounds(), "cells": cells,
        });
        println!("{report}");
        return Ok(());
    }
    let Machine { cpu_model, cpus, kernel, commit } = machine;
    println!("rwlock: {cpu_model}, {cpus} CPUs, Linux {kernel}, commit {commit}, {} rounds", options.rounds());
    println!("uses a second, as ratios to {} of the round: median (smallest-largest)", SYSTEMS[REFERENCE]);
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["threads", "hold ns", "writes", "mutex M/s"].into_iter().chain(SYSTEMS.into_iter().skip(1)));
    for CellReport { cell, per_s, ratio } in cells {
        let first = [
            cell.threads.to_string(),
            cell.hold_ns.to_string(),
            format!("1 in {}", cell.write_every),
            format!("{:.3}", per_s[REFERENCE].1.median / 1e6),
        ];
        let ratios = ratio.iter().skip(1);
        let ratios = ratios.map(|(_, Summary { median, min, max })| format!("{median:.2} ({min:.2}-{max:.2})"));
        table.add_row(first.into_iter().chain(ratios));
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    Ok(())
}
