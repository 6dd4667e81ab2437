//! Models of the protocols: every interleaving and every stale read that the C11 memory model allows.
//!
//! The sources are those of the library, compiled with loom's atomics by `src/prim.rs`. Run by `cargo xtask test`, or
//! alone: `RUSTFLAGS="--cfg loom" cargo test --release --test loom`.
#![cfg(loom)]
#![allow(dead_code, unreachable_pub)]

#[path = "../../src/channel/presence.rs"]
mod channel_presence;
#[path = "../../src/prim.rs"]
mod prim;
#[path = "../../src/ring/mod.rs"]
mod ring;
#[path = "../../src/shm/mod.rs"]
mod shm;
#[path = "../../src/sync/mod.rs"]
mod sync;

mod alone;
mod claiming;
mod eventcount;
mod following;
mod lane;
mod leaving_the_queue;
mod locking;
mod per_process;
mod presence;
mod reading;
mod taking;
mod tokens;

/// Runs `check` through its interleavings, with at most `preemptions` involuntary switches of thread. Two or three find
/// nearly all bugs (Musuvathi and Qadeer, "Iterative context bounding", 2007).
fn model(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(check);
}
