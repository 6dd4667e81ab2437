//! The matrix: scenarios, the steps that each comes to, and what became of the death at each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tidegate::{Receivers, STEPS};

use crate::child::{End, Fate, counted};
use crate::kind::Kind;
use crate::{controlling, locking, reading, receiving, sending};

/// Times that a step is come to before the death: the first, and one in the middle of things.
const COUNTS: [u32; 2] = [1, 3];

/// Times that all scenarios are run until somebody has died at every step: some are come to only as others are quick, or slow.
const ROUNDS: usize = 4;
/// Tries for a death as a step is come to first.
const TRIES: u32 = 5;

/// What a case came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Bytes of memory behind the channel after all.
    pub(crate) left_bytes: u64,
}

type Judge = Box<dyn Fn(&str, &Fate) -> Result<Outcome, String>>;

/// Who is killed, and doing what.
struct Scenario {
    role: &'static str,
    name: String,
    judge: Judge,
}

/// What all cases came to.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    cases: usize,
    roles: BTreeSet<&'static str>,
    /// At which somebody died.
    steps: BTreeSet<&'static str>,
    missed_steps: Vec<&'static str>,
    /// Cases that went wrong, and how.
    wrong: Vec<(String, String)>,
    descriptors_leaked: usize,
}

fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |role, name: String, judge: Judge| all.push(Scenario { role, name, judge });
    for kind in Kind::ALL {
        // An only receiver's messages count as received once they are held, so there is nothing to come back.
        let comes_back = kind.receivers() != Receivers::One;
        for after in [false, true] {
            let name = |role| format!("{role}-{}{}", kind.name(), if after { "-after-a-death" } else { "" });
            add("sender", name("sender"), Box::new(move |at, fate| sending::judge(kind, at, fate, after)));
            if !after || comes_back {
                add("receiver", name("receiver"), Box::new(move |at, fate| receiving::judge(kind, at, fate, after)));
            }
        }
    }
    for kind in [Kind::One, Kind::Competing, Kind::OneOrder] {
        let judge = move |at: &str, fate: &Fate| controlling::judge("resize", kind, at, fate);
        add("resizer", format!("resizer-{}", kind.name()), Box::new(judge));
    }
    let judge = |at: &str, fate: &Fate| controlling::judge("control", Kind::One, at, fate);
    add("controller", "controller".into(), Box::new(judge));
    add("locker", "locker".into(), Box::new(locking::judge_mutex));
    add("locker", "locker-torn".into(), Box::new(locking::judge_torn));
    add("reader and writer", "reader-and-writer".into(), Box::new(reading::judge));
    add("permit holder", "permit-holder".into(), Box::new(locking::judge_semaphore));
    all
}

/// Runs every case whose scenario has `only` in its name.
pub(crate) fn run(directory: &Path, only: Option<&str>) -> Matrix {
    let mut matrix = Matrix::default();
    let descriptors = descriptors();
    for _ in 0..ROUNDS {
        for scenario in scenarios() {
            if only.is_none_or(|only| scenario.name.contains(only)) {
                run_scenario(&mut matrix, &scenario, directory);
            }
        }
        if only.is_some() {
            break;
        }
        matrix.missed_steps = STEPS.iter().copied().filter(|step| !matrix.steps.contains(step)).collect();
        if matrix.missed_steps.is_empty() {
            break;
        }
        eprintln!("again: nobody died at {}", matrix.missed_steps.join(", "));
    }
    matrix.descriptors_leaked = self::descriptors().saturating_sub(descriptors);
    matrix
}

fn run_scenario(matrix: &mut Matrix, scenario: &Scenario, directory: &Path) {
    let Scenario { role, name, judge } = scenario;
    let census = directory.join(format!(".census-{name}"));
    let mut runs = 0;
    // Each has a name of its own: what a failed one leaves is not in the way of the next.
    let mut judge = |fate: &Fate| {
        runs += 1;
        judge(&format!("{name}-{runs}"), fate)
    };
    let alive = judge(&Fate::Counts(census.to_string_lossy().into_owned()));
    let steps = counted(&census);
    let _counted = fs::remove_file(&census);
    let baseline = match alive {
        Ok(Outcome { end: End::Finished, left_bytes }) => left_bytes,
        Ok(Outcome { end, .. }) => return matrix.fail(name.clone(), format!("census: {end:?}")),
        Err(error) => return matrix.fail(name.clone(), format!("census: {error}")),
    };
    matrix.roles.insert(role);
    eprintln!("{name}: {} steps", steps.len());
    for step in STEPS.iter().copied().filter(|step| steps.iter().any(|counted| counted == step)) {
        for count in COUNTS {
            let case = format!("{name} at {step}, time {count}");
            // A step to which it comes only as others are quick, or slow, may take some tries.
            let is_over = |result: &Result<Outcome, String>| !matches!(result, Ok(Outcome { end: End::Finished, .. }));
            let tries = if count == 1 { TRIES } else { 1 };
            let mut result = judge(&Fate::Dies(step, count));
            for _ in 1..tries {
                if is_over(&result) {
                    break;
                }
                result = judge(&Fate::Dies(step, count));
            }
            let verdict = match result {
                Err(error) => Err(error),
                Ok(Outcome { end: End::Killed, left_bytes }) if left_bytes > baseline => {
                    Err(format!("leaked: {left_bytes} bytes are left, {baseline} where nobody dies"))
                }
                Ok(Outcome { end: End::Killed, .. }) => Ok(true),
                // It does not come there that often. A step at which nobody died in any scenario is told in the end.
                Ok(Outcome { end: End::Finished, .. }) => Ok(false),
                Ok(Outcome { end, .. }) => Err(format!("the child was to die: {end:?}")),
            };
            let verdict = verdict.and_then(|died| left_names(directory).map(|()| died));
            match verdict {
                Ok(true) => {
                    matrix.steps.insert(step);
                    matrix.cases += 1;
                }
                Ok(false) => {}
                Err(error) => {
                    matrix.cases += 1;
                    matrix.fail(case, error);
                }
            }
        }
    }
}

/// Files that are left in the host directory, which are removed.
fn left_names(directory: &Path) -> Result<(), String> {
    let left: Vec<_> = fs::read_dir(directory).map_err(|error| error.to_string())?.flatten().collect();
    left.iter().for_each(|entry| drop(fs::remove_file(entry.path())));
    let names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    if names.is_empty() { Ok(()) } else { Err(format!("leaked: names {names:?}")) }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count())
}

impl Matrix {
    fn fail(&mut self, case: String, error: String) {
        eprintln!("{case}: {error}");
        self.wrong.push((case, error));
    }

    pub(crate) fn is_good(&self) -> bool {
        self.cases > 0 && self.wrong.is_empty() && self.missed_steps.is_empty() && self.descriptors_leaked == 0
    }

    /// Prints what all cases came to.
    pub(crate) fn print(&self, json: bool) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, error) in &self.wrong {
            let kind = ["lost", "duplicated", "leaked", "hung"].into_iter().find(|kind| error.starts_with(kind));
            *counts.entry(kind.unwrap_or("other")).or_default() += 1;
        }
        *counts.entry("leaked").or_default() += self.descriptors_leaked;
        let count = |kind| counts.get(kind).copied().unwrap_or(0);
        let (steps, roles, cases) = (self.steps.len(), self.roles.len(), self.cases);
        let (lost, duplicated, leaked, hung, other) =
            (count("lost"), count("duplicated"), count("leaked"), count("hung"), count("other"));
        if json {
            println!(
                "{{\"steps\":{steps},\"roles\":{roles},\"cases\":{cases},\"lost\":{lost},\"duplicated\":{duplicated},\
                 \"leaked\":{leaked},\"hung\":{hung},\"other\":{other},\"skipped\":{}}}",
                self.missed_steps.len()
            );
        } else {
            println!(
                "{steps} steps x {roles} roles, {cases} deaths: {lost} lost, {duplicated} duplicated, {leaked} leaked, {hung} hung, {other} otherwise wrong"
            );
        }
        for step in &self.missed_steps {
            eprintln!("nobody died at {step}");
        }
    }
}
