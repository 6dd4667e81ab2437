//! Who is measured, and how.

use std::time::{Duration, Instant};

use anyhow::Result;
use tidegate_benches::channel;
use tidegate_benches::cores::{Cores, Pinned};
use tidegate_benches::fan::Fan;
use tidegate_benches::load::{Load, WORD};
use tidegate_benches::options::RunOptions;
use tidegate_benches::rounds::{Case, Quantity, Sample};
use tidegate_benches::{floor, processes as fans};

use crate::processes::Wire;
use crate::queues::{Crossbeam, Kanal, Queue, Rtrb};
use crate::{Role, iceoryx, ipc, processes, threads};

/// Payload bytes that each system can hold before it is full, but for the kernel's, which have bounds of their own.
const CAPACITY_BYTES: usize = 1 << 20;
pub(crate) const FLOOR: &str = "floor";
pub(crate) const TIDEGATE: &str = "Tidegate (processes)";
const ICEORYX: &str = "iceoryx2 (processes)";
const IPC_CHANNEL: &str = "ipc-channel (processes)";
const PIPE: &str = "pipe (processes)";
const RTRB: &str = "rtrb (threads)";
const CROSSBEAM: &str = "crossbeam-channel (threads)";
const KANAL: &str = "kanal (threads)";
const MEMCPY: &str = "memcpy";
pub(crate) const SAMPLED: &str = "64 B, sampled every 1 ms";
/// Long messages that can be under way.
const LONG_CAPACITY: usize = 4;
/// Messages in a batch.
const BATCH: usize = 16;

/// The cases of a run.
pub(crate) struct Cases {
    cores: Cores,
    window: Duration,
    cases: Vec<Case>,
}

/// Every case of a run: a short one measures what the summary needs.
pub(crate) fn all(cores: Cores, options: &RunOptions) -> Vec<Case> {
    let mut cases = Cases { cores, window: options.window(), cases: Vec::new() };
    let window = cases.window;
    cases.add(FLOOR, "", move || floor::ping_pong(cores, window));
    cases.size::<8>("64 B");
    cases.long(1 << 20, "1 MiB");
    cases.sampled();
    cases.fans(None);
    if !options.quick() {
        cases.size::<1>("8 B");
        cases.size::<128>("1 KiB");
        cases.size::<2048>("16 KiB");
        cases.long_round_trips(1 << 20, "1 MiB");
        cases.memcpy(16 << 10, "16 KiB");
        cases.fans(Some(cores.near));
        cases.cores.far = cores.near;
        cases.size::<1>("8 B, one core");
        cases.size::<8>("64 B, one core");
        cases.size::<128>("1 KiB, one core");
        cases.size::<2048>("16 KiB, one core");
    }
    cases.cases
}

impl Cases {
    fn add(
        &mut self,
        system: &'static str,
        setting: impl Into<String>,
        measure: impl FnMut() -> Result<Vec<Sample>> + 'static,
    ) {
        self.cases.push(Case { system, setting: setting.into(), measure: Box::new(measure) });
    }

    /// One way and there and back, with messages of `WORDS` words.
    fn size<const WORDS: usize>(&mut self, setting: &str) {
        let (cores, bytes) = (self.cores, WORDS * WORD);
        let one_way = Load::for_ring(bytes, CAPACITY_BYTES as u64, self.window);
        let round_trip = Load { bytes, warm_up_messages: 1000, window: self.window };
        let ring_bytes = CAPACITY_BYTES as u64;
        self.add(TIDEGATE, setting, move || channel::one_way(cores, &one_way, (ring_bytes, 1), Role::Tidegate));
        self.add(TIDEGATE, format!("{setting}, batches of {BATCH}"), move || {
            channel::one_way(cores, &one_way, (ring_bytes, BATCH), Role::Tidegate)
        });
        self.add(TIDEGATE, setting, move || channel::ping_pong(cores, &round_trip, ring_bytes, Role::Tidegate));
        let capacity = CAPACITY_BYTES / bytes;
        self.add(ICEORYX, setting, move || iceoryx::one_way(cores, &one_way, capacity));
        self.add(ICEORYX, setting, move || iceoryx::ping_pong(cores, &round_trip, capacity));
        self.add(IPC_CHANNEL, setting, move || ipc::one_way(cores, &round_trip));
        self.add(IPC_CHANNEL, setting, move || ipc::ping_pong(cores, &round_trip));
        self.add(RTRB, format!("{setting}, batches of {BATCH}"), move || {
            threads::batches::<Rtrb, WORDS>(cores, &one_way, (capacity, BATCH))
        });
        self.queue::<Rtrb, WORDS>(RTRB, setting, one_way, round_trip);
        self.queue::<Crossbeam, WORDS>(CROSSBEAM, setting, one_way, round_trip);
        self.queue::<Kanal, WORDS>(KANAL, setting, one_way, round_trip);
        self.wire("seqpacket (processes)", setting, Wire::seqpacket, round_trip);
        self.wire(PIPE, setting, Wire::pipes, round_trip);
    }

    fn queue<Q, const WORDS: usize>(&mut self, system: &'static str, setting: &str, one_way: Load, round_trip: Load)
    where
        Q: Queue<[u64; WORDS]> + 'static,
    {
        let (cores, capacity) = (self.cores, CAPACITY_BYTES / (WORDS * WORD));
        self.add(system, setting, move || threads::one_way::<Q, WORDS>(cores, &one_way, capacity));
        self.add(system, setting, move || threads::ping_pong::<Q, WORDS>(cores, &round_trip, capacity));
    }

    fn wire(&mut self, system: &'static str, setting: &str, connect: fn() -> Result<Wire>, load: Load) {
        let cores = self.cores;
        self.add(system, setting, move || processes::one_way(cores, &load, connect()?));
        self.add(system, setting, move || processes::ping_pong(cores, &load, connect()?));
    }

    /// Long messages one way: in blocks, where a system has them. A record of a socket cannot be as long.
    fn long(&mut self, bytes: usize, setting: &str) {
        let (cores, ring_bytes) = (self.cores, CAPACITY_BYTES as u64);
        let load = Load { bytes, warm_up_messages: 20, window: self.window };
        self.add(TIDEGATE, setting, move || channel::one_way(cores, &load, (ring_bytes, 1), Role::Tidegate));
        self.add(ICEORYX, setting, move || iceoryx::one_way(cores, &load, LONG_CAPACITY));
        self.add(IPC_CHANNEL, setting, move || ipc::one_way(cores, &load));
        self.add(PIPE, setting, move || processes::one_way(cores, &load, Wire::pipes()?));
    }

    /// The same there and back.
    fn long_round_trips(&mut self, bytes: usize, setting: &str) {
        let (cores, ring_bytes) = (self.cores, CAPACITY_BYTES as u64);
        let load = Load { bytes, warm_up_messages: 20, window: self.window };
        self.add(TIDEGATE, setting, move || channel::ping_pong(cores, &load, ring_bytes, Role::Tidegate));
        self.add(ICEORYX, setting, move || iceoryx::ping_pong(cores, &load, LONG_CAPACITY));
        self.add(IPC_CHANNEL, setting, move || ipc::ping_pong(cores, &load));
        self.add(PIPE, setting, move || processes::ping_pong(cores, &load, Wire::pipes()?));
    }

    /// The one-way load of 64 bytes while a sampler looks on, and while none does.
    fn sampled(&mut self) {
        let (cores, ring_bytes) = (self.cores, CAPACITY_BYTES as u64);
        let load = Load::for_ring(64, ring_bytes, self.window);
        self.add(TIDEGATE, SAMPLED, move || channel::one_way_sampled(cores, &load, ring_bytes, Role::Tidegate));
    }

    /// What this machine copies from one buffer to another, on one core.
    fn memcpy(&mut self, bytes: usize, setting: &str) {
        let (cores, window) = (self.cores, self.window);
        self.add(MEMCPY, setting, move || {
            let _pinned = Pinned::to(cores.near)?;
            let (mut from, mut to) = (vec![1u8; bytes], vec![0u8; CAPACITY_BYTES]);
            let (began, mut copied) = (Instant::now(), 0u64);
            while began.elapsed() < window {
                for place in to.chunks_exact_mut(bytes) {
                    place.copy_from_slice(std::hint::black_box(&from));
                    copied += 1;
                }
                from[0] = std::hint::black_box(to[0]).wrapping_add(1);
            }
            let ns = began.elapsed().as_nanos() as f64 / copied as f64;
            Ok(vec![Sample { quantity: Quantity::Message, ns }, Sample::messages(copied)])
        });
    }

    /// Many ends, wherever the kernel runs them, or all on one core.
    fn fans(&mut self, core: Option<usize>) {
        let window = self.window;
        for (senders, receivers, each) in [(4, 1, false), (2, 2, false), (1, 4, true)] {
            let fan = Fan { senders, receivers, each, window, core };
            let place = if core.is_some() { ", one core" } else { "" };
            let kind = if each { ", each gets all" } else { "" };
            let setting = format!("u64, {senders} to {receivers}{kind}{place}");
            self.add(TIDEGATE, &setting, move || fans::fan(&fan, Role::Fan));
            if each || receivers == 1 {
                // Every subscriber gets all.
                self.add(ICEORYX, &setting, move || iceoryx::fan::fan(&fan, CAPACITY_BYTES / WORD));
            }
            if !each {
                self.add(CROSSBEAM, &setting, move || threads::fan::<Crossbeam>(&fan, CAPACITY_BYTES / WORD));
                self.add(KANAL, &setting, move || threads::fan::<Kanal>(&fan, CAPACITY_BYTES / WORD));
            }
        }
    }
}
