//! The channel between two processes: throughput by message and ring size, and round trips, as ratios to the floor.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::Receivers;
use tidegate_benches::channel::{self, Plan};
use tidegate_benches::cores::Cores;
use tidegate_benches::floor;
use tidegate_benches::load::Load;
use tidegate_benches::machine::Machine;
use tidegate_benches::options::RunOptions;
use tidegate_benches::picture;
use tidegate_benches::report::Report;
use tidegate_benches::resizing::{self, Resizes};
use tidegate_benches::rounds::{self, Case, Quantity, RowKey};

const ONE_WAY_BYTES: [usize; 3] = [8, 64, 1024];
const RINGS: [(u64, &str); 3] = [(1 << 16, "64 KiB"), (1 << 20, "1 MiB"), (1 << 24, "16 MiB")];
const PING_PONG_BYTES: [usize; 2] = [8, 64];
const PING_PONG_RING_BYTES: u64 = 1 << 16;
/// Messages in a batch.
const BATCH: usize = 16;
/// Between two resizes of a ring that is resized all the time.
const RESIZE_PERIOD: Duration = Duration::from_millis(10);
/// How long is measured where the ring is resized once.
const RESIZED_ONCE: Duration = Duration::from_secs(1);
const STEADY_SECOND: &str = "64 B, each send timed, 1 s";
const RESIZED_SECOND: &str = "64 B, each send timed, 1 s, resized once";
const FLOOR: &str = "floor";
const TIDEGATE: &str = "Tidegate";

/// What a child process does.
#[derive(Debug, Serialize, Deserialize)]
enum Role {
    Channel(channel::Role),
    Resizing(resizing::Role),
}

fn main() -> anyhow::Result<()> {
    let options = RunOptions::from_args("ring", "Tidegate between two processes, as ratios to the floor");
    match options.role::<Role>()? {
        Some(Role::Channel(role)) => return role.run(),
        Some(Role::Resizing(role)) => return role.run(),
        None => {}
    }
    let (machine, cores) = (Machine::here(), Cores::choose()?);
    let mut cases = cases(&options, cores);
    cases.retain(|case| case.system == FLOOR || options.wants(case.system, &case.setting));
    let rows = rounds::run(options.rounds(), &mut cases)?;
    let names = ("ring", "the floor's round trip (of a second with a resize to one without)");
    let report = Report::new(names, (machine, cores), options.rounds(), &rows, reference);
    if let Some(path) = options.plot() {
        picture::draw(&report, path)?;
    }
    report.print(options.json())
}

fn cases(options: &RunOptions, cores: Cores) -> Vec<Case> {
    let window = options.window();
    let mut cases = vec![Case {
        system: FLOOR,
        setting: String::new(),
        measure: Box::new(move || floor::ping_pong(cores, window)),
    }];
    for bytes in PING_PONG_BYTES {
        let load = Load { bytes, warm_up_messages: 1000, window };
        cases.push(Case {
            system: TIDEGATE,
            setting: format!("{bytes} B"),
            measure: Box::new(move || channel::ping_pong(cores, &load, PING_PONG_RING_BYTES, Role::Channel)),
        });
    }
    for bytes in ONE_WAY_BYTES {
        for (ring_bytes, ring) in RINGS {
            let load = Load::for_ring(bytes, ring_bytes, window);
            for (batch, how) in [(1, "single"), (BATCH, "batches")] {
                cases.push(Case {
                    system: TIDEGATE,
                    setting: format!("{bytes} B, ring {ring}, {how}"),
                    measure: Box::new(move || channel::one_way(cores, &load, (ring_bytes, batch), Role::Channel)),
                });
            }
        }
    }
    let (load, ring_bytes) = (Load::for_ring(64, 1 << 20, window), 1 << 20);
    for (batch, how) in [(1, "single"), (BATCH, "batches")] {
        let plan = Plan { ring_bytes, batch, receivers: Receivers::Competing };
        cases.push(Case {
            system: TIDEGATE,
            setting: format!("64 B, ring 1 MiB, {how}, others may come"),
            measure: Box::new(move || channel::one_way(cores, &load, plan, Role::Channel)),
        });
    }
    let timed = [
        (Resizes::None, window, "64 B, each send timed"),
        (Resizes::Every(RESIZE_PERIOD), window, "64 B, each send timed, resized every 10 ms"),
        (Resizes::None, RESIZED_ONCE, STEADY_SECOND),
        (Resizes::Once, RESIZED_ONCE, RESIZED_SECOND),
    ];
    for (resizes, window, setting) in timed {
        let load = Load::for_ring(64, 1 << 20, window);
        cases.push(Case {
            system: TIDEGATE,
            setting: setting.into(),
            measure: Box::new(move || resizing::one_way(cores, &load, resizes, Role::Resizing)),
        });
    }
    cases
}

/// A message's time is a ratio to the floor's median round trip; a second with a resize is one to a second without.
fn reference(key: &RowKey) -> RowKey {
    if key.setting == RESIZED_SECOND {
        return RowKey { setting: STEADY_SECOND.into(), ..key.clone() };
    }
    let quantity = match key.quantity {
        Quantity::Cpu => Quantity::CpuRoundTrip,
        Quantity::Message | Quantity::SendP999 => Quantity::RoundTripP50,
        round_trip => round_trip,
    };
    RowKey { system: FLOOR, setting: String::new(), quantity }
}
