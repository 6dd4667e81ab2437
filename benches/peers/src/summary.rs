//! The figures that matter most, by system.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_benches::report::{Report, ReportRow};
use tidegate_benches::rounds::Quantity;

use crate::cases::SAMPLED;

/// What one system measured; nothing where it cannot do it, or was not asked to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Median round trip of 64 bytes.
    rt_ns_p50: Option<f64>,
    /// 64-byte messages a second, one at a time.
    oneway_64_msgs_per_s: Option<f64>,
    /// The same in batches.
    oneway_64_batched_msgs_per_s: Option<f64>,
    /// Bytes a second of messages of 1 MiB.
    loan_1mib_bytes_per_s: Option<f64>,
    /// Numbers a second from four senders to one receiver.
    mpsc_4_msgs_per_s: Option<f64>,
    /// Numbers a second from two senders to two receivers that compete.
    mpmc_2_2_msgs_per_s: Option<f64>,
    /// Numbers a second from one sender to four receivers that each get all.
    broadcast_1_4_msgs_per_s: Option<f64>,
}

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    floor_rt_ns: Option<f64>,
    #[serde(flatten)]
    tidegate: Figures,
    /// Share of the one-way throughput of 64-byte messages that sampling costs.
    telemetry_cost: Option<f64>,
    /// The least and the most of a round.
    telemetry_cost_spread: Option<[f64; 2]>,
    peers: BTreeMap<&'static str, Figures>,
    report: &'a Report,
}

impl<'a> Summary<'a> {
    /// Of `report`, in which `floor` and `tidegate` are systems by those names.
    pub(crate) fn of(report: &'a Report, floor: &str, tidegate: &str) -> Self {
        let figures = |system: &str| {
            let ns = |setting: &str, quantity| find(report, system, setting, quantity).map(|row| row.ns.median);
            let rate = |setting| ns(setting, Quantity::Message).map(|ns| 1e9 / ns);
            Figures {
                rt_ns_p50: ns("64 B", Quantity::RoundTripP50),
                oneway_64_msgs_per_s: rate("64 B"),
                oneway_64_batched_msgs_per_s: rate("64 B, batches of 16"),
                loan_1mib_bytes_per_s: rate("1 MiB").map(|rate| rate * f64::from(1 << 20)),
                mpsc_4_msgs_per_s: rate("u64, 4 to 1"),
                mpmc_2_2_msgs_per_s: rate("u64, 2 to 2"),
                broadcast_1_4_msgs_per_s: rate("u64, 1 to 4, each gets all"),
            }
        };
        let systems = report.rows.iter().map(|row| row.row.key.system);
        let peers = systems.filter(|&system| system != floor && system != tidegate);
        let slowdown = find(report, tidegate, SAMPLED, Quantity::Slowdown).map(|row| row.ns);
        let cost = |slowdown: f64| 1.0 - 1.0 / slowdown;
        Self {
            floor_rt_ns: find(report, floor, "", Quantity::RoundTripP50).map(|row| row.ns.median),
            tidegate: figures(tidegate),
            telemetry_cost: slowdown.map(|slowdown| cost(slowdown.median)),
            telemetry_cost_spread: slowdown.map(|slowdown| [cost(slowdown.min), cost(slowdown.max)]),
            peers: peers.map(|system| (system, figures(system))).collect(),
            report,
        }
    }
}

fn find<'a>(report: &'a Report, system: &str, setting: &str, quantity: Quantity) -> Option<&'a ReportRow> {
    report.rows.iter().find(|row| {
        let key = &row.row.key;
        key.system == system && key.setting == setting && key.quantity == quantity
    })
}
