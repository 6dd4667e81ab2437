//! Tidegate beside other channels: one-way loads and round trips, as ratios to Tidegate.
//!
//! Tidegate, iceoryx2, ipc-channel, sockets and pipes connect two processes; rtrb, crossbeam-channel and kanal two threads of one, which
//! spares them what crossing a process boundary costs. Whoever can wait without the kernel does so in round trips.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tidegate_benches::channel;
use tidegate_benches::cores::Cores;
use tidegate_benches::load::{Load, WORD};
use tidegate_benches::machine::Machine;
use tidegate_benches::options::RunOptions;
use tidegate_benches::report::Report;
use tidegate_benches::rounds::{self, Case, RowKey, Sample};

use crate::processes::Wire;
use crate::queues::{Crossbeam, Kanal, Queue, Rtrb};

mod iceoryx;
mod ipc;
mod processes;
mod queues;
mod threads;

/// Payload bytes that each system can hold before it is full, but for the kernel's, which have bounds of their own.
const CAPACITY_BYTES: usize = 1 << 20;
const TIDEGATE: &str = "Tidegate (processes)";
const TIDEGATE_BATCHED: &str = "Tidegate, batches of 16 (processes)";
/// Messages in a batch.
const BATCH: usize = 16;

/// What a child process does.
#[derive(Debug, Serialize, Deserialize)]
enum Role {
    Tidegate(channel::Role),
    Iceoryx(iceoryx::Role),
    Ipc(ipc::Role),
    Wire(processes::Role),
}

fn main() -> Result<()> {
    let options = RunOptions::from_args("peers", "Tidegate beside other channels, as ratios to Tidegate");
    match options.role::<Role>()? {
        Some(Role::Tidegate(role)) => return role.run(),
        Some(Role::Iceoryx(role)) => return role.run(),
        Some(Role::Ipc(role)) => return role.run(),
        Some(Role::Wire(role)) => return role.run(),
        None => {}
    }
    let (machine, cores) = (Machine::here(), Cores::choose()?);
    let mut cases = Cases { cores, options, cases: Vec::new() };
    cases.add_size::<1>();
    cases.add_size::<8>();
    cases.add_size::<128>();
    let Cases { options, mut cases, .. } = cases;
    cases.retain(|case| case.system == TIDEGATE || options.wants(case.system, &case.setting));
    let rows = rounds::run(options.rounds(), &mut cases)?;
    let reference = |key: &RowKey| RowKey { system: TIDEGATE, ..key.clone() };
    Report::new(("peers", "Tidegate"), (machine, cores), options.rounds(), &rows, reference).print(options.json())
}

struct Cases {
    cores: Cores,
    options: RunOptions,
    cases: Vec<Case>,
}

impl Cases {
    /// Every system with messages of `WORDS` words.
    fn add_size<const WORDS: usize>(&mut self) {
        let (cores, bytes, window) = (self.cores, WORDS * WORD, self.options.window());
        let one_way = Load::for_ring(bytes, CAPACITY_BYTES as u64, window);
        let round_trip = Load { bytes, warm_up_messages: 1000, window };
        let ring_bytes = CAPACITY_BYTES as u64;
        self.add(TIDEGATE, bytes, move || channel::one_way(cores, &one_way, (ring_bytes, 1), Role::Tidegate));
        self.add(TIDEGATE_BATCHED, bytes, move || {
            channel::one_way(cores, &one_way, (ring_bytes, BATCH), Role::Tidegate)
        });
        self.add(TIDEGATE, bytes, move || channel::ping_pong(cores, &round_trip, ring_bytes, Role::Tidegate));
        let capacity = CAPACITY_BYTES / bytes;
        self.add("iceoryx2 (processes)", bytes, move || iceoryx::one_way(cores, &one_way, capacity));
        self.add("iceoryx2 (processes)", bytes, move || iceoryx::ping_pong(cores, &round_trip, capacity));
        self.add("ipc-channel (processes)", bytes, move || ipc::one_way(cores, &round_trip));
        self.add("ipc-channel (processes)", bytes, move || ipc::ping_pong(cores, &round_trip));
        self.add_queue::<Rtrb, WORDS>("rtrb (threads)", one_way, round_trip);
        self.add_queue::<Crossbeam, WORDS>("crossbeam-channel (threads)", one_way, round_trip);
        self.add_queue::<Kanal, WORDS>("kanal (threads)", one_way, round_trip);
        self.add_wire("seqpacket (processes)", Wire::seqpacket, round_trip);
        self.add_wire("pipe (processes)", Wire::pipes, round_trip);
    }

    fn add_queue<Q, const WORDS: usize>(&mut self, system: &'static str, one_way: Load, round_trip: Load)
    where
        Q: Queue<[u64; WORDS]> + 'static,
    {
        let (cores, bytes) = (self.cores, WORDS * WORD);
        let capacity = CAPACITY_BYTES / bytes;
        self.add(system, bytes, move || threads::one_way::<Q, WORDS>(cores, &one_way, capacity));
        self.add(system, bytes, move || threads::ping_pong::<Q, WORDS>(cores, &round_trip, capacity));
    }

    fn add_wire(&mut self, system: &'static str, connect: fn() -> Result<Wire>, load: Load) {
        let cores = self.cores;
        self.add(system, load.bytes, move || processes::one_way(cores, &load, connect()?));
        self.add(system, load.bytes, move || processes::ping_pong(cores, &load, connect()?));
    }

    fn add(&mut self, system: &'static str, bytes: usize, measure: impl FnMut() -> Result<Vec<Sample>> + 'static) {
        self.cases.push(Case { system, setting: format!("{bytes} B"), measure: Box::new(measure) });
    }
}
