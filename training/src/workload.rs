//! What a replay sends when, and how long its receiver takes: one recording at one speed against one service.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dataset::{ArrivalTrace, open_unpacked};

/// Bytes that one opportunity of a service trace delivers (mahimahi; Netravali et al., USENIX ATC 2015).
const OPPORTUNITY_BYTES: f64 = 1500.0;
/// Mean share of time that the receiver is busy unless something else is asked for.
const LOAD: f64 = 0.85;
/// Times are given to a nanosecond up to about 100 days.
const SPAN_NS_MAX: f64 = 9e15;
/// Latest moment of a service trace, milliseconds: about 100 days, too.
const MOMENT_MS_MAX: u64 = 9_000_000_000;
/// Bytes of a service trace that are read.
const SERVICE_BYTES_MAX: u64 = 1 << 28;

/// A message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Nanoseconds from the start of the replay.
    pub after_ns: u64,
    /// Bytes of the message.
    pub bytes: u32,
}

/// How long a receiver takes for a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Service {
    /// Nanoseconds a byte.
    PerByte(f64),
    /// Nanoseconds a message.
    PerMessage(f64),
    /// So many bytes at each of these moments, nanoseconds, ascending; after `cycle_ns` all over again.
    Opportunities {
        /// Moments within a cycle.
        at_ns: Vec<u64>,
        /// Length of a cycle.
        cycle_ns: u64,
        /// Bytes at each.
        bytes: f64,
    },
}

/// How fast a receiver is asked to be.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceRequest {
    /// Such that the load is what was asked for: nanoseconds a byte.
    ByLoad,
    /// Nanoseconds a message.
    PerMessage(f64),
    /// As a recorded consumer: milliseconds at which it could deliver.
    Recorded(Vec<u64>),
}

/// How a recording is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayParams {
    /// Times the recorded speed.
    pub speed: Option<f64>,
    /// Length of the replay in seconds, in place of `speed`.
    pub seconds: f64,
    /// Mean share of time that the receiver is busy, above 0 to 4.
    pub load: Option<f64>,
    /// How fast the receiver is.
    pub service: ServiceRequest,
    /// Longest message, bytes: sizes are scaled down together where one is longer.
    pub message_bytes_max: u32,
    /// Bytes that each message has on top.
    pub head_bytes: u32,
}

/// A recording at its speed, and its receiver.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Messages in order.
    pub dues: Vec<Due>,
    /// The receiver.
    pub service: Service,
    /// Times the recorded speed.
    pub speed: f64,
    /// What sizes were multiplied with before the head was added.
    pub size_scale: f64,
    /// Mean share of time that the receiver is busy if it never has to wait.
    pub load: f64,
}

impl Workload {
    /// Times and sizes of `trace`, and a receiver, as asked for. A speed that is not asked for follows from the load where
    /// the service is given by message, and else from `seconds`.
    ///
    /// # Errors
    /// A sentence that says which number is out of its range, or which two contradict each other.
    pub fn new(trace: &ArrivalTrace, params: &ReplayParams) -> Result<Self, String> {
        let within = |name: &str, value: f64, most: f64| {
            if value > 0.0 && value <= most {
                Ok(())
            } else {
                Err(format!("{name} is {value}, it must be above 0 to {most}"))
            }
        };
        params.speed.map_or(Ok(()), |speed| within("the speed", speed, 1e12))?;
        params.load.map_or(Ok(()), |load| within("the load", load, 4.0))?;
        within("the length in seconds", params.seconds, 86_400.0)?;
        if let ServiceRequest::PerMessage(ns) = &params.service {
            within("the service time", *ns, 1e12)?;
        }
        let (Some(first), Some(last)) = (trace.events.first(), trace.events.last()) else {
            return Err(format!("{} has no arrivals", trace.name));
        };
        let recorded_ns = (last.0 - first.0).max(1) as f64;
        let largest = trace.events.iter().map(|event| event.1).max().unwrap_or(1);
        let room = params.message_bytes_max.saturating_sub(params.head_bytes).max(1);
        let size_scale = (f64::from(room) / f64::from(largest.max(1))).min(1.0);
        let size = |bytes: u32| ((f64::from(bytes) * size_scale) as u32).clamp(1, room) + params.head_bytes;
        let by_load = match (&params.service, params.load, params.speed) {
            (ServiceRequest::PerMessage(_), Some(_), Some(_)) => {
                return Err("of speed, load and a service time, the third follows from the other two".into());
            }
            (ServiceRequest::PerMessage(ns), Some(load), None) => {
                Some(recorded_ns * load / (ns * trace.events.len() as f64))
            }
            _ => None,
        };
        let speed = by_load.or(params.speed).unwrap_or(recorded_ns / (params.seconds * 1e9));
        if recorded_ns / speed > SPAN_NS_MAX {
            return Err(format!("at {speed} times the recorded speed it takes more than 100 days"));
        }
        let due = |&(t_ns, bytes): &(u64, u32)| Due {
            after_ns: ((t_ns - first.0) as f64 / speed) as u64,
            bytes: size(bytes),
        };
        let dues: Vec<Due> = trace.events.iter().map(due).collect();
        let span_ns = recorded_ns / speed;
        let bytes: f64 = dues.iter().map(|due| f64::from(due.bytes)).sum();
        let service = match &params.service {
            ServiceRequest::PerMessage(ns) => Service::PerMessage(*ns),
            ServiceRequest::ByLoad => Service::PerByte(params.load.unwrap_or(LOAD) * span_ns / bytes),
            ServiceRequest::Recorded(milliseconds) => recorded(milliseconds, speed, params.load, bytes / span_ns)?,
        };
        let busy_ns = match &service {
            Service::PerByte(ns) => bytes * ns,
            Service::PerMessage(ns) => dues.len() as f64 * ns,
            Service::Opportunities { at_ns, cycle_ns, bytes: each } => {
                bytes / (at_ns.len() as f64 * each) * *cycle_ns as f64
            }
        };
        Ok(Self { dues, service, speed, size_scale, load: busy_ns / span_ns })
    }
}

fn recorded(milliseconds: &[u64], speed: f64, load: Option<f64>, offered_bytes_ns: f64) -> Result<Service, String> {
    let Some(last) = milliseconds.last() else { return Err("the service trace is empty".into()) };
    let at_ns: Vec<u64> = milliseconds.iter().map(|ms| (*ms as f64 * 1e6 / speed) as u64).collect();
    let cycle_ns = (((last + 1) as f64 * 1e6 / speed) as u64).max(1);
    let fitting = |load: f64| offered_bytes_ns * cycle_ns as f64 / at_ns.len() as f64 / load;
    let bytes = load.map_or(OPPORTUNITY_BYTES, fitting);
    Ok(Service::Opportunities { at_ns, cycle_ns, bytes })
}

/// Reads a recorded consumer: text, an ascending millisecond a line at which it could deliver 1,500 bytes; gzip if the name
/// ends in `.gz`.
///
/// # Errors
/// A sentence that names the path, and the line where there is one.
pub fn read_service(path: &Path) -> Result<Vec<u64>, String> {
    use std::io::Read;
    let at = |what: String| format!("{}: {what}", path.display());
    let input = open_unpacked(path).map_err(|e| at(e.to_string()))?;
    let mut text = String::new();
    input.take(SERVICE_BYTES_MAX).read_to_string(&mut text).map_err(|e| at(e.to_string()))?;
    let mut moments: Vec<u64> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let moment = line.trim().parse().map_err(|_| at(format!("line {number} is no millisecond: {line:?}")))?;
        if moment > MOMENT_MS_MAX {
            return Err(at(format!("line {number}: {moment} ms are more than 100 days")));
        }
        if moments.last().is_some_and(|last| *last > moment) {
            return Err(at(format!("line {number}: the time descends")));
        }
        moments.push(moment);
    }
    if moments.is_empty() { Err(at("it has no line".into())) } else { Ok(moments) }
}

/// A receiver at work: tells when it is done with each message.
#[derive(Debug, Clone)]
pub struct Server {
    service: Service,
    /// Bytes left of the opportunity that was used last, and its number since the start.
    left: f64,
    used: u64,
    /// When that opportunity was: what comes later has nothing of it.
    used_ns: u64,
}

impl Server {
    /// A receiver that has not begun.
    pub fn new(service: Service) -> Self {
        Self { service, left: 0.0, used: 0, used_ns: 0 }
    }

    /// When it is done with a message of `bytes` that it begins at `begin_ns` from the start of the replay.
    pub fn done_ns(&mut self, begin_ns: u64, bytes: u32) -> u64 {
        let (left, used) = (&mut self.left, &mut self.used);
        match &self.service {
            Service::PerByte(ns) => begin_ns.saturating_add((ns * f64::from(bytes)) as u64),
            Service::PerMessage(ns) => begin_ns.saturating_add(*ns as u64),
            Service::Opportunities { at_ns, cycle_ns, bytes: each } => {
                let count = at_ns.len() as u64;
                // Opportunities that passed while it had nothing to do are lost.
                let cycle = begin_ns / cycle_ns;
                let next = cycle * count + at_ns.partition_point(|at| *at < begin_ns % cycle_ns) as u64;
                *used = next.max(*used);
                if begin_ns > self.used_ns {
                    *left = 0.0;
                }
                let mut needed = f64::from(bytes) - *left;
                let mut done_ns = begin_ns;
                if needed > 0.0 {
                    // Of what the last one delivers, the rest is left.
                    let more = (needed / each).ceil().max(1.0) as u64;
                    let last = *used + more - 1;
                    done_ns = begin_ns
                        .max((last / count).saturating_mul(*cycle_ns).saturating_add(at_ns[(last % count) as usize]));
                    self.used_ns = done_ns;
                    *used += more;
                    needed -= more as f64 * each;
                }
                *left = -needed;
                done_ns
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(count: u64) -> ArrivalTrace {
        let events = (0..count).map(|i| (1_000_000 * i, 100 + (i % 3) as u32 * 1000)).collect();
        ArrivalTrace { name: "t".into(), family: "t".into(), sha256: String::new(), events, is_cut_short: false }
    }

    const PARAMS: ReplayParams = ReplayParams {
        speed: None,
        seconds: 2.0,
        load: None,
        service: ServiceRequest::ByLoad,
        message_bytes_max: 1024,
        head_bytes: 24,
    };

    #[test]
    fn a_replay_takes_the_time_and_has_the_load_that_were_asked_for() {
        let made = Workload::new(&trace(1001), &ReplayParams { load: Some(0.6), ..PARAMS }).unwrap();
        assert_eq!(made.dues.last().unwrap().after_ns, 2_000_000_000);
        assert!((made.load - 0.6).abs() < 1e-9 && (made.speed - 0.5).abs() < 1e-9);
        assert!(made.dues.iter().all(|due| (25..=1024).contains(&due.bytes)));
        let by_message = ReplayParams { load: Some(0.5), service: ServiceRequest::PerMessage(2e6), ..PARAMS };
        let made = Workload::new(&trace(1001), &by_message).unwrap();
        // 1,001 messages of 2 ms are to take half of the time.
        assert!(
            (made.load - 0.5).abs() < 1e-9 && (made.dues.last().unwrap().after_ns as f64 / 4.004e9 - 1.0).abs() < 1e-6
        );
        assert!(Workload::new(&trace(1001), &ReplayParams { speed: Some(2.0), ..by_message }).is_err());
        assert!(Workload::new(&trace(1001), &ReplayParams { load: Some(f64::NAN), ..PARAMS }).is_err());
        for ns in [f64::NAN, f64::INFINITY, -5.0, 0.0, 1e30] {
            let service = ServiceRequest::PerMessage(ns);
            assert!(Workload::new(&trace(1001), &ReplayParams { service, ..PARAMS }).is_err(), "{ns}");
        }
    }

    #[test]
    fn a_recorded_consumer_delivers_at_its_moments_and_no_more_than_it_did() {
        let service = Service::Opportunities { at_ns: vec![10, 20, 20, 50], cycle_ns: 60, bytes: 100.0 };
        let mut server = Server::new(service);
        assert_eq!(server.done_ns(0, 50), 10);
        assert_eq!(server.done_ns(10, 50), 10, "the rest of the first");
        assert_eq!(server.done_ns(10, 250), 50);
        assert_eq!(server.done_ns(50, 60), 70, "half of the fourth was left, and the next cycle begins at 60");
        assert_eq!(server.done_ns(115, 10), 130, "what it did not use is lost");
        assert_eq!(server.done_ns(131, 10), 140, "who comes after a moment has nothing of it");
    }

    #[test]
    fn a_load_against_a_recorded_consumer_is_one_of_bytes() {
        let service = ServiceRequest::Recorded((0..500).map(|i| i * 2).collect());
        let made = Workload::new(&trace(1001), &ReplayParams { load: Some(0.7), service, ..PARAMS }).unwrap();
        assert!((made.load - 0.7).abs() < 1e-9);
        let mut server = Server::new(made.service);
        let mut at_ns = 0;
        let busy_to = made.dues.iter().map(|due| {
            at_ns = server.done_ns(at_ns, due.bytes);
            at_ns
        });
        let needed_ns = busy_to.last().unwrap() as f64;
        assert!((needed_ns / 1.4e9 - 1.0).abs() < 0.01, "{needed_ns}");
    }
}
