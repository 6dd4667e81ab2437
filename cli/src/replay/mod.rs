//! `tidegate replay`: recorded arrivals through a channel between processes, or through a simulation of one.

mod accuracy;
mod child;
mod live;
mod policy;
mod report;
mod validate;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use tidegate::control::{ControllerOptions, Weights};
use tidegate_training::simulate::{self, Outcome};
use tidegate_training::workload::{ReplayParams, ServiceRequest, Workload, read_service};
use tidegate_training::{ArrivalTrace, read_directory, read_trace};

use crate::explain::check_journal;
use crate::failure::Failure;
use crate::message::{BYTES_MAX, HEAD_BYTES};
use crate::models::say_if_cut;
use accuracy::Accuracy;
use policy::{BOUNDS, Choice, Policy};
use report::{Cost, Report, Run};

pub(crate) use child::{ChildCommand, run as run_child};

/// Longest time that a controller is simulated for, nanoseconds: a decision a millisecond, for a day.
const CONTROLLED_NS_MAX: f64 = 86_400e9;

/// `tidegate replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Recorded arrivals: NAME.tgtrace, or NAME.csv.gz with the columns t_ns,bytes; with --validate also a directory of these
    trace: PathBuf,
    /// How the channel is run: adaptive, heuristic, or static:CAP:WAIT, as static:64K:spin_park or static:1M:park: CAP a
    /// power of two from 4K to 1024M, WAIT one of spin, spin_yield, spin_park, spin_park=MICROSECONDS and park. Several are
    /// run one after the other; `all` is adaptive, heuristic, and rings of 64K to 16M, in each way to wait unless it is simulated
    #[arg(long = "policy", value_name = "POLICY", default_value = "adaptive")]
    policies: Vec<Choice>,
    /// What costs what to a controller, and in the column `cost us/s`, which leaves late receipts out, and CPU time where it is simulated: latency, balanced or efficient
    #[arg(long, value_name = "PROFILE", default_value = "balanced")]
    profile: Weights,
    /// File to which controllers append their decisions, as lines of JSON that `tidegate explain` reads
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Times the recorded speed; without it, such that the replay takes --seconds
    #[arg(long, conflicts_with = "seconds", allow_negative_numbers = true)]
    speed: Option<f64>,
    /// Length of the replay, seconds; with both --load and nanoseconds of --service it follows from these
    #[arg(long, default_value_t = 8.0, allow_negative_numbers = true)]
    seconds: f64,
    /// Mean share of time that the receiver is busy; 0.85 where neither this nor --service is given
    #[arg(long, allow_negative_numbers = true)]
    load: Option<f64>,
    /// The receiver: nanoseconds that it takes for a message, or a file of a millisecond a line at which it can take 1,500
    /// bytes (gzip if it ends in .gz), played at the same speed over and over; with --load, as many bytes as make that load
    #[arg(long, value_name = "NS|FILE", allow_negative_numbers = true)]
    service: Option<String>,
    /// Compute instead of sending: Lindley's recursion. Ways of waiting make no difference there
    #[arg(long)]
    simulate: bool,
    /// Do both at loads of 0.3, 0.6, 0.85 and 1.2 in a ring that holds everything, and print by how much they differ. Later
    /// simulations on this machine tell it
    #[arg(long, conflicts_with_all = ["simulate", "policies", "load", "profile", "journal"])]
    validate: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Whether processes are started, which an interrupt must end.
    pub(crate) fn is_live(&self) -> bool {
        !self.simulate
    }

    fn params(&self) -> Result<ReplayParams, Failure> {
        let service = match &self.service {
            None => ServiceRequest::ByLoad,
            Some(text) => match text.parse() {
                Ok(ns) => ServiceRequest::PerMessage(ns),
                Err(_) => ServiceRequest::Recorded(read_service(text.as_ref()).map_err(Failure::Corrupt)?),
            },
        };
        let (speed, seconds, load) = (self.speed, self.seconds, self.load);
        let (message_bytes_max, head_bytes) = (BYTES_MAX as u32, HEAD_BYTES as u32);
        Ok(ReplayParams { speed, seconds, load, service, message_bytes_max, head_bytes })
    }

    /// Of the controller, where one is in charge.
    fn controller(&self, policy: Policy) -> Option<ControllerOptions> {
        let (weights, journal_file) = (self.profile, self.journal.clone());
        policy.model().map(|model| ControllerOptions { model, weights, journal_file, ..ControllerOptions::default() })
    }

    fn traces(&self) -> Result<Vec<ArrivalTrace>, Failure> {
        if self.trace.is_dir() {
            return Ok(read_directory(&self.trace)?);
        }
        Ok(vec![self.one_trace()?])
    }

    fn one_trace(&self) -> Result<ArrivalTrace, Failure> {
        let trace = read_trace(&self.trace)?;
        say_if_cut(&trace);
        Ok(trace)
    }
}

pub(crate) fn run(command: &Replay, interrupted: &AtomicBool) -> Result<(), Failure> {
    let params = command.params()?;
    if command.validate {
        return validate::run(&command.traces()?, &params, interrupted, command.json);
    }
    let trace = command.one_trace()?;
    let workload = Workload::new(&trace, &params).map_err(Failure::Usage)?;
    check_journal(command.journal.as_deref())?;
    let mut report = Report::new(&trace.name, &workload, command.profile);
    for policy in command.policies.iter().flat_map(|choice| choice.policies(command.simulate)) {
        let options = command.controller(policy);
        let run = if command.simulate {
            simulated(&workload, policy, options)?
        } else {
            real(&workload, policy, options, interrupted)?
        };
        report.add(run);
    }
    report.print(command.json)?;
    if report.is_sound() { Ok(()) } else { Err(Failure::Corrupt("messages were lost, doubled or damaged".into())) }
}

fn real(
    workload: &Workload,
    policy: Policy,
    options: Option<ControllerOptions>,
    interrupted: &AtomicBool,
) -> Result<Run, Failure> {
    let bar = crate::progress::bar(&policy.to_string(), 1000);
    let (outcome, delivery) =
        live::run(workload, (policy, options), false, interrupted, |share| bar.set_position((share * 1000.0) as u64))?;
    bar.finish_and_clear();
    let (delivery, simulated_arrivals_a_second, simulator) = (Some(delivery), None, None);
    Ok(Run {
        policy,
        simulated: false,
        cost: Cost::default(),
        outcome,
        delivery,
        simulated_arrivals_a_second,
        simulator,
    })
}

fn simulated(workload: &Workload, policy: Policy, options: Option<ControllerOptions>) -> Result<Run, Failure> {
    let span_ns = workload.dues.last().map_or(0, |due| due.after_ns) as f64 * workload.load.max(1.0);
    if span_ns > CONTROLLED_NS_MAX && options.is_some() {
        return Err(Failure::Usage(format!(
            "a controller would decide for {:.0} s: choose a higher --speed, or a smaller --load or --service",
            span_ns / 1e9
        )));
    }
    let began = Instant::now();
    let outcome: Outcome = match options {
        None => simulate::fixed(workload, policy.ring_bytes()),
        Some(options) => {
            let name = format!("simulated-{policy}");
            simulate::controlled(workload, (policy.ring_bytes(), BOUNDS), &name, options)
        }
    };
    let arrivals_a_second = outcome.messages as f64 / began.elapsed().as_secs_f64();
    Ok(Run {
        policy,
        simulated: true,
        cost: Cost::default(),
        outcome,
        delivery: None,
        simulated_arrivals_a_second: Some(arrivals_a_second),
        simulator: Accuracy::kept().and_then(|accuracy| accuracy.near(workload.load)),
    })
}
