//! Where a task ends soonest: what workers have waiting, and how long its data takes to get there.

use std::collections::HashMap;

/// Samples before an estimate is trusted.
pub const TRUSTED_FROM: u64 = 10;
/// Share of the newest sample in a mean once there are many: it follows what changes.
const GAIN_MIN: f64 = 1.0 / 64.0;
/// Kinds of tasks that are kept apart; those that come later share one.
const KINDS_MAX: usize = 4096;
/// What kinds beyond these are counted as.
const OTHER_KINDS: u64 = u64::MAX;

/// A core, as the kernel numbers it.
pub type Core = u16;

/// Run times and transfer times, learned from what tasks took. Nothing is assumed of a machine beforehand: what was seen
/// fewer than [`TRUSTED_FROM`] times is not known.
#[derive(Debug, Clone, Default)]
pub struct PlacementModel {
    transfers: HashMap<(Core, Core, u8), Mean>,
    runs: HashMap<(u64, u8), Mean>,
}

/// A task to place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Task {
    /// What it does: tasks of one kind and of about the same size take about as long.
    pub kind: u64,
    /// Bytes of its data.
    pub bytes: u64,
    /// The core on which its data was written.
    pub data_at: Core,
}

/// A worker that could have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worker {
    /// The core on which it runs.
    pub core: Core,
    /// Nanoseconds of work that wait for it: its backlog over its service.
    pub backlog_ns: f64,
}

/// Where a task should go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Index of the worker.
    pub worker: usize,
    /// Predicted nanoseconds until its data is there and what waits before it is done.
    pub begins_ns: f64,
    /// Whether the transfer to every worker is known; else it counts as none there.
    pub is_trusted: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    value: f64,
    samples: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.samples += 1;
        self.value += (value - self.value) * (1.0 / self.samples as f64).max(GAIN_MIN);
    }

    fn trusted(&self) -> Option<f64> {
        (self.samples >= TRUSTED_FROM).then_some(self.value)
    }
}

/// Sizes of one power of two are one bucket.
fn bucket(bytes: u64) -> u8 {
    (u64::BITS - bytes.leading_zeros()) as u8
}

impl PlacementModel {
    /// Learns that `bytes` written on one core were read on another in `ns`. What is no time is not learned.
    pub fn saw_transfer(&mut self, from: Core, to: Core, bytes: u64, ns: f64) {
        if ns.is_finite() && ns >= 0.0 {
            self.transfers.entry((from, to, bucket(bytes))).or_default().add(ns);
        }
    }

    /// Learns that a task of that kind and size ran for `ns`. What is no time is not learned.
    pub fn saw_run(&mut self, kind: u64, bytes: u64, ns: f64) {
        if !(ns.is_finite() && ns >= 0.0) {
            return;
        }
        let known = (kind, bucket(bytes));
        let is_new = !self.runs.contains_key(&known) && self.runs.len() >= KINDS_MAX;
        let key = if is_new { (OTHER_KINDS, known.1) } else { known };
        self.runs.entry(key).or_default().add(ns);
    }

    /// Nanoseconds that so many bytes take from core to core; `None` until it was seen often enough. Another size of the same
    /// pair stands in, nearest first, by the ratio of the sizes if it is smaller.
    pub fn transfer_ns(&self, from: Core, to: Core, bytes: u64) -> Option<f64> {
        let own = bucket(bytes);
        let of = |bucket: u8| self.transfers.get(&(from, to, bucket)).and_then(Mean::trusted);
        of(own).or_else(|| {
            (1..=u64::BITS as u8).find_map(|distance| {
                let smaller = own.checked_sub(distance).and_then(of).map(|ns| ns * f64::from(distance).exp2());
                smaller.or_else(|| of(own.saturating_add(distance)))
            })
        })
    }

    /// Nanoseconds that a task of that kind and size runs; `None` until it was seen often enough.
    pub fn run_ns(&self, kind: u64, bytes: u64) -> Option<f64> {
        let of = |kind| self.runs.get(&(kind, bucket(bytes))).and_then(Mean::trusted);
        of(kind).or_else(|| of(OTHER_KINDS))
    }

    /// The worker that can begin `task` soonest; `None` of no worker. A transfer begins at once, while the worker is busy
    /// with what it has.
    pub fn place(&self, task: &Task, workers: &[Worker]) -> Option<Placement> {
        let transfer = |worker: &Worker| self.transfer_ns(task.data_at, worker.core, task.bytes);
        let is_trusted = workers.iter().all(|worker| transfer(worker).is_some());
        // What is known of some workers only says nothing of who is nearer.
        let begins =
            |worker: &Worker| worker.backlog_ns + if is_trusted { transfer(worker).unwrap_or(0.0) } else { 0.0 };
        let best = workers.iter().map(begins).enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|(worker, begins_ns)| Placement { worker, begins_ns, is_trusted })
    }

    /// Whether a task that waits for `victim` should be taken over by `thief`, whose `backlog_ns` is what it still has to do:
    /// only if it ends sooner there even after its data was moved (as Dask's scheduler steals; Rocklin, "Dask: parallel
    /// computation with blocked algorithms and task scheduling", 2015). What is not known is not worth it.
    pub fn is_worth_stealing(&self, task: &Task, victim: &Worker, thief: &Worker) -> bool {
        let Some(transfer_ns) = self.transfer_ns(task.data_at, thief.core, task.bytes) else { return false };
        thief.backlog_ns + transfer_ns < victim.backlog_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sockets: cores 0 and 1 are near each other, core 2 is far.
    fn model() -> PlacementModel {
        let mut model = PlacementModel::default();
        for _ in 0..TRUSTED_FROM {
            for (to, ns) in [(0, 100.0), (1, 500.0), (2, 5_000.0)] {
                model.saw_transfer(0, to, 4096, ns);
            }
            model.saw_run(7, 4096, 10_000.0);
        }
        model
    }

    fn worker(core: Core, backlog_ns: f64) -> Worker {
        Worker { core, backlog_ns }
    }

    const TASK: Task = Task { kind: 7, bytes: 5000, data_at: 0 };

    #[test]
    fn nothing_is_trusted_before_the_tenth_sample() {
        let mut model = PlacementModel::default();
        for seen in 1..=TRUSTED_FROM {
            assert_eq!(model.transfer_ns(0, 1, 64), None);
            model.saw_transfer(0, 1, 64, 300.0);
            assert_eq!(model.transfer_ns(0, 1, 64).is_some(), seen == TRUSTED_FROM);
        }
        model.saw_transfer(0, 1, 64, f64::NAN);
        assert_eq!(model.transfer_ns(0, 1, 100), Some(300.0));
        assert_eq!(model.transfer_ns(0, 1, 1000), Some(300.0 * 8.0), "three powers of two larger");
        assert_eq!(model.transfer_ns(0, 1, 3), Some(300.0));
        assert_eq!(model.transfer_ns(1, 0, 64), None, "the way back is another");
    }

    #[test]
    fn a_task_goes_where_its_data_is_unless_too_much_waits_there() {
        let model = model();
        assert_eq!(model.run_ns(7, 4097), Some(10_000.0));
        let place = |backlogs: [f64; 3]| {
            let workers = [worker(0, backlogs[0]), worker(1, backlogs[1]), worker(2, backlogs[2])];
            model.place(&TASK, &workers).unwrap()
        };
        assert_eq!(place([0.0; 3]), Placement { worker: 0, begins_ns: 100.0, is_trusted: true });
        assert_eq!(place([1_000.0, 0.0, 0.0]).worker, 1);
        assert_eq!(place([9_000.0, 9_000.0, 0.0]).worker, 2);
        let unknown = [worker(0, 2.0), worker(9, 1.0)];
        assert_eq!(model.place(&TASK, &unknown), Some(Placement { worker: 1, begins_ns: 1.0, is_trusted: false }));
        assert_eq!(model.place(&TASK, &[]), None);
    }

    #[test]
    fn a_task_is_stolen_only_if_it_begins_sooner_after_the_move() {
        let model = model();
        let victim = worker(0, 3_000.0);
        assert!(model.is_worth_stealing(&TASK, &victim, &worker(1, 0.0)));
        assert!(!model.is_worth_stealing(&TASK, &victim, &worker(1, 2_600.0)));
        assert!(!model.is_worth_stealing(&TASK, &victim, &worker(2, 0.0)), "the way is longer than the wait");
        assert!(!model.is_worth_stealing(&TASK, &victim, &worker(9, 0.0)), "nobody knows how far that is");
    }

    #[test]
    fn a_mean_follows_what_changes_and_kinds_have_an_end() {
        let mut model = model();
        (0..1000).for_each(|_| model.saw_run(7, 4096, 50_000.0));
        assert!((model.run_ns(7, 4096).unwrap() - 50_000.0).abs() < 10.0);
        for kind in 0..2 * KINDS_MAX as u64 {
            model.saw_run(kind + 100, 64, 1.0);
        }
        assert_eq!(model.runs.len(), KINDS_MAX + 1);
        assert_eq!(model.run_ns(1 << 40, 64), Some(1.0), "a kind too many");
    }
}
