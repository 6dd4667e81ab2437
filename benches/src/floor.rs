//! The floor: what two cores need to tell each other anything at all.

use std::hint::spin_loop;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::cores::{Cores, Pinned};
use crate::load::{self, END, Load, WORD};
use crate::rounds::Sample;

/// A word on lines of its own: 128 bytes, since CPUs prefetch lines in pairs.
#[repr(align(128))]
struct Padded(AtomicU64);

/// Round trips of two threads, each of which polls one word and stores to another, timed like those of a channel.
///
/// # Errors
/// A thread cannot be pinned.
pub fn ping_pong(cores: Cores, window: Duration) -> anyhow::Result<Vec<Sample>> {
    let load = Load { bytes: WORD, warm_up_messages: 1000, window };
    let (ping, pong) = (Padded(AtomicU64::new(0)), Padded(AtomicU64::new(0)));
    thread::scope(|scope| {
        let far = scope.spawn(|| {
            let echoed = Pinned::to(cores.far).map(|_pinned| echo(&ping.0, &pong.0));
            pong.0.store(END, Release);
            echoed
        });
        let near = Pinned::to(cores.near).and_then(|_pinned| {
            load::round_trips(&load, |sequence| {
                // 0 is what the words begin with.
                let turn = sequence + 1;
                ping.0.store(turn, Release);
                loop {
                    match pong.0.load(Acquire) {
                        END => bail!("the other thread has ended"),
                        seen if seen == turn => return Ok(sequence),
                        _ => spin_loop(),
                    }
                }
            })
        });
        ping.0.store(END, Release);
        far.join().map_err(|_| anyhow!("the other thread panicked"))??;
        near
    })
}

fn echo(ping: &AtomicU64, pong: &AtomicU64) {
    let mut turn = 0;
    while turn != END {
        let next = ping.load(Acquire);
        if next == turn {
            spin_loop();
            continue;
        }
        turn = next;
        pong.store(turn, Release);
    }
}
