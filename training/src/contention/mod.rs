//! Calibration of the locks on the machine at hand: measure, fit a model an arm, judge its choices.

mod fit;
mod judge;
mod sweep;

use std::io;

use tidegate::model::{ArmModel, Contention, HostProfile, LOCK_ARMS, PROFILE_VERSION, ProfiledMachine, Standing};

use crate::TrainError;
pub use sweep::{Measured, SweepParams, situations, sweep};

/// The locks could not be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// No lock could be made.
    #[error("no lock can be made: {0}")]
    Shm(#[from] tidegate::ShmError),
    /// A lock was not to be had.
    #[error("a lock was not to be had, or a thread that wanted it has panicked")]
    LockFailed,
    /// No memory for a histogram.
    #[error("there is no memory for a histogram of waits")]
    NoHistogram,
    /// The measurements could not be fitted.
    #[error(transparent)]
    Fit(#[from] TrainError),
    /// The measurements do not hold what a fit needs.
    #[error("the measurements are not of a whole sweep: {what}")]
    NotWhole {
        /// What is missing.
        what: String,
    },
    /// A file of measurements cannot be read or written.
    #[error("measurements as CSV: {0}")]
    Csv(#[from] csv::Error),
}

/// Fits a profile to the measurements of a sweep on `machine`, with the scores of its choices in held-out regions.
///
/// # Errors
/// The measurements are not of a whole sweep, or a fit fails.
pub fn profile(measured: &[Measured], machine: ProfiledMachine) -> Result<HostProfile, CalibrateError> {
    let cells = checked_cells(measured, machine.cpus)?;
    let chooser = fit::fit(&cells)?;
    let arms = LOCK_ARMS.iter().zip(chooser.arms).map(|(&strategy, w)| ArmModel { strategy, weights: w.to_vec() });
    let most = |of: fn(&Contention) -> u32| cells.keys().map(of).max().unwrap_or(0);
    let measured_max = Contention {
        contenders: most(|c| c.contenders),
        cpus: machine.cpus,
        hold_ns: most(|c| c.hold_ns),
        think_ns: most(|c| c.think_ns),
    };
    let held_out = judge::judge(measured, &cells)?;
    let profile = HostProfile {
        format_version: PROFILE_VERSION,
        machine,
        tail_weight: fit::TAIL_WEIGHT,
        cpu_weight: fit::CPU_WEIGHT,
        measured_max,
        arms: arms.collect(),
        default_strategy: LOCK_ARMS[chooser.default_arm],
        margin: chooser.margin,
        standing: if judge::is_proven(&held_out) { Standing::Proven } else { Standing::Candidate },
        held_out,
        checksum: 0,
    };
    let profile = profile.sealed();
    profile.clone().check().map_err(TrainError::Unsound)?;
    Ok(profile)
}

/// The cells of a whole sweep on a machine of so many CPUs.
fn checked_cells(measured: &[Measured], cpus: u32) -> Result<fit::Cells, CalibrateError> {
    let not_whole = |what: String| Err(CalibrateError::NotWhole { what });
    if let Some(unknown) = measured.iter().find(|one| one.arm >= LOCK_ARMS.len()) {
        return not_whole(format!("there is no arm {}", unknown.arm));
    }
    if let Some(other) = measured.iter().find(|one| one.contention.cpus != cpus) {
        return not_whole(format!("they are of a machine with {} CPUs, not {cpus}", other.contention.cpus));
    }
    let cells = fit::cells(measured, |_| true);
    if let Some((of, _)) = cells.iter().find(|(_, costs)| !costs.iter().all(|cost| cost.is_finite())) {
        return not_whole(format!("{of:?} was not measured under every way of waiting, or a number is none"));
    }
    let regions = fit::regions(&cells).len();
    if regions < 4 {
        return not_whole(format!("{regions} pairs of contenders and hold, at least 4 are needed"));
    }
    Ok(cells)
}

/// Writes measurements as CSV, a row each.
///
/// # Errors
/// The output cannot be written.
pub fn write_measured(measured: &[Measured], output: impl io::Write) -> Result<(), CalibrateError> {
    let mut rows = csv::Writer::from_writer(output);
    rows.write_record(COLUMNS)?;
    for one in measured {
        let Contention { contenders, cpus, hold_ns, think_ns } = one.contention;
        rows.serialize((
            (one.round, contenders, cpus, hold_ns, think_ns, one.arm),
            (one.locks, one.beyond_work_ns, one.wait_p99_ns, one.cpu_ns),
        ))?;
    }
    rows.flush().map_err(csv::Error::from)?;
    Ok(())
}

/// Reads what [`write_measured`] wrote.
///
/// # Errors
/// The input is not that.
pub fn read_measured(input: impl io::Read) -> Result<Vec<Measured>, CalibrateError> {
    type Row = ((u32, u32, u32, u32, u32, usize), (u64, f64, f64, f64));
    let of = |row: Row| {
        let ((round, contenders, cpus, hold_ns, think_ns, arm), (locks, beyond_work_ns, wait_p99_ns, cpu_ns)) = row;
        let contention = Contention { contenders, cpus, hold_ns, think_ns };
        Measured { round, contention, arm, locks, beyond_work_ns, wait_p99_ns, cpu_ns }
    };
    let mut reader = csv::Reader::from_reader(input);
    let rows: Result<Vec<Row>, csv::Error> = reader.deserialize().collect();
    Ok(rows?.into_iter().map(of).collect())
}

const COLUMNS: [&str; 10] =
    ["round", "contenders", "cpus", "hold_ns", "think_ns", "arm", "locks", "beyond_work_ns", "wait_p99_ns", "cpu_ns"];

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine where the first arm is best for short holds and the last for long ones, and the others never.
    fn measured() -> Vec<Measured> {
        let mut all = Vec::new();
        for (contention, round) in situations(4).into_iter().flat_map(|of| [0, 1].map(|round| (of, round))) {
            for arm in 0..LOCK_ARMS.len() {
                let base = 50.0 * f64::from(contention.contenders);
                let wait_ns = match arm {
                    0 => base + f64::from(contention.hold_ns),
                    4 => base + 3_000.0,
                    _ => base + 10.0 * f64::from(contention.hold_ns) + 30_000.0,
                };
                let noise = 1.0 + f64::from((contention.think_ns / 100 + round) % 3) * 0.01;
                let wait_ns = wait_ns * noise;
                all.push(Measured {
                    round,
                    contention,
                    arm,
                    locks: 1000,
                    beyond_work_ns: wait_ns,
                    wait_p99_ns: 2.0 * wait_ns,
                    cpu_ns: 0.0,
                });
            }
        }
        all
    }

    #[test]
    fn the_arm_that_is_best_is_chosen_where_it_was_not_measured() {
        let machine = ProfiledMachine { cpus: 4, ..ProfiledMachine::default() };
        let profile = profile(&measured(), machine).unwrap();
        let of = |name: &str| profile.held_out.iter().find(|score| score.chooser == name).unwrap().over_best;
        assert!(of("model") < 1.1, "{:?}", profile.held_out);
        assert!(of("model") < of("spin") && of("model") < of("park") && of("model") < of("glk"));
        assert!(of("queue") > 2.0 && of("repeated") < 1.05);
        let model = profile.check().unwrap();
        let choose = |hold_ns| model.choose(&Contention { contenders: 3, cpus: 4, hold_ns, think_ns: 500 }).strategy;
        assert_eq!((choose(20), choose(40_000)), (LOCK_ARMS[0], LOCK_ARMS[4]));
    }

    #[test]
    fn measurements_come_back_from_their_file_and_make_the_same_profile() {
        let measured = measured();
        let mut file = Vec::new();
        write_measured(&measured, &mut file).unwrap();
        assert!(file.starts_with(b"round,contenders,cpus,"));
        let read = read_measured(&file[..]).unwrap();
        assert_eq!(read, measured);
        let machine = || ProfiledMachine { cpus: 4, ..ProfiledMachine::default() };
        let of = |measured: &[Measured]| profile(measured, machine()).unwrap().to_json().unwrap();
        assert!(profile(&measured, ProfiledMachine::default()).unwrap_err().to_string().contains("4 CPUs, not 0"));
        assert_eq!(of(&read), of(&measured));
    }

    #[test]
    fn what_is_no_whole_sweep_is_refused() {
        let mut half = measured();
        half.retain(|one| one.arm != 2 || one.contention.hold_ns != 100);
        let what = profile(&half, ProfiledMachine { cpus: 4, ..ProfiledMachine::default() }).unwrap_err().to_string();
        assert!(what.contains("every way of waiting"), "{what}");
        assert!(profile(&[], ProfiledMachine::default()).is_err());
    }

    #[test]
    fn a_sweep_measures_every_situation_under_every_arm() {
        let params = SweepParams { rounds: 1, window: std::time::Duration::from_micros(300) };
        let measured = sweep(params, &crate::Silent).unwrap();
        let cpus = tidegate::cpus() as u32;
        assert_eq!(measured.len(), situations(cpus).len() * LOCK_ARMS.len());
        checked_cells(&measured, cpus).unwrap();
    }
}
