//! A queue between two threads of this process.

use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Result, anyhow};
use tidegate_benches::cores::{Cores, Pinned};
use tidegate_benches::fan::{self, Fan, Tally};
use tidegate_benches::load::{self, Load};
use tidegate_benches::rounds::Sample;

use crate::idle::Idle;
use crate::queues::{Batches, Queue};

/// Time a message takes from another thread to this one.
pub(crate) fn one_way<Q, const WORDS: usize>(cores: Cores, load: &Load, capacity: usize) -> Result<Vec<Sample>>
where
    Q: Queue<[u64; WORDS]>,
{
    let (mut sender, mut receiver) = Q::bounded(capacity, Idle::of(cores));
    thread::scope(|scope| {
        let far = scope.spawn(move || {
            let _pinned = Pinned::to(cores.far)?;
            load::produce(load, |sequence| Ok(Q::send(&mut sender, [sequence; WORDS])?))
        });
        let near = Pinned::to(cores.near)
            .and_then(|_pinned| load::consume(load, || Ok(sum_of_words(&Q::recv(&mut receiver)?))));
        drop(receiver);
        far.join().map_err(|_| anyhow!("the other thread panicked"))??;
        near
    })
}

/// As [`one_way`], `batch` messages at once.
pub(crate) fn batches<Q, const WORDS: usize>(
    cores: Cores,
    load: &Load,
    (capacity, batch): (usize, usize),
) -> Result<Vec<Sample>>
where
    Q: Batches<[u64; WORDS]>,
{
    let (mut sender, mut receiver) = Q::bounded(capacity, Idle::of(cores));
    thread::scope(|scope| {
        let far = scope.spawn(move || {
            let _pinned = Pinned::to(cores.far)?;
            let mut sequences = Vec::with_capacity(batch);
            load::produce(load, |sequence| {
                sequences.push(sequence);
                if sequences.len() == batch || sequence == load::END {
                    Q::send_batch(&mut sender, sequences.drain(..).map(|sequence| [sequence; WORDS]))?;
                }
                Ok(())
            })
        });
        let near = Pinned::to(cores.near).and_then(|_pinned| {
            let (mut sums, mut next) = (Vec::with_capacity(batch), 0);
            load::consume(load, || {
                if next == sums.len() {
                    sums.clear();
                    Q::recv_batch(&mut receiver, batch, |message| sums.push(sum_of_words(message)))?;
                    next = 0;
                }
                next += 1;
                Ok(sums[next - 1])
            })
        });
        drop(receiver);
        far.join().map_err(|_| anyhow!("the other thread panicked"))??;
        near
    })
}

/// Round trips from this thread to another and back, over two queues that both poll.
pub(crate) fn ping_pong<Q, const WORDS: usize>(cores: Cores, load: &Load, capacity: usize) -> Result<Vec<Sample>>
where
    Q: Queue<[u64; WORDS]>,
{
    let idle = Idle::of(cores);
    let (mut ping_sender, mut ping_receiver) = Q::bounded(capacity, idle);
    let (mut pong_sender, mut pong_receiver) = Q::bounded(capacity, idle);
    thread::scope(|scope| {
        let far = scope.spawn(move || -> Result<()> {
            let _pinned = Pinned::to(cores.far)?;
            while let Ok(message) = Q::recv_polling(&mut ping_receiver, idle) {
                Q::send(&mut pong_sender, message)?;
            }
            Ok(())
        });
        let near = Pinned::to(cores.near).and_then(|_pinned| {
            load::round_trips(load, |sequence| {
                Q::send(&mut ping_sender, [sequence; WORDS])?;
                Ok(sum_of_words(&Q::recv_polling(&mut pong_receiver, idle)?))
            })
        });
        drop(ping_sender);
        far.join().map_err(|_| anyhow!("the other thread panicked"))??;
        near
    })
}

#[inline]
fn sum_of_words(message: &[u64]) -> u64 {
    message.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// Time a message takes from all the sending threads to all the receiving ones.
pub(crate) fn fan<Q>(fan: &Fan, capacity: usize) -> Result<Vec<Sample>>
where
    Q: Queue<u64>,
    Q::Sender: Clone,
    Q::Receiver: Clone,
{
    let (sender, receiver) = Q::bounded(capacity, Idle::Yield);
    let start = Barrier::new(fan.senders + fan.receivers + 1);
    thread::scope(|scope| {
        let start = &start;
        let receiving: Vec<_> = (0..fan.receivers)
            .map(|_| {
                let mut receiver = receiver.clone();
                scope.spawn(move || -> Result<Tally> {
                    let _pinned = fan.core.map(Pinned::to).transpose()?;
                    start.wait();
                    let mut tally = Tally::default();
                    while let Ok(message) = Q::recv(&mut receiver) {
                        tally.add(message);
                    }
                    Ok(tally)
                })
            })
            .collect();
        let sending: Vec<_> = (0..fan.senders as u64)
            .map(|number| {
                let mut sender = sender.clone();
                scope.spawn(move || -> Result<Tally> {
                    let _pinned = fan.core.map(Pinned::to).transpose()?;
                    start.wait();
                    fan::produce(fan, number, |message| Ok(Q::send(&mut sender, message)?))
                })
            })
            .collect();
        drop((sender, receiver));
        start.wait();
        let began = Instant::now();
        let join = |thread: ScopedJoinHandle<'_, Result<Tally>>| {
            thread.join().map_err(|_| anyhow!("another thread panicked"))?
        };
        let received = receiving.into_iter().map(join).collect::<Result<Vec<_>>>()?;
        let elapsed = began.elapsed();
        let sent = sending.into_iter().map(join).collect::<Result<Vec<_>>>()?;
        fan::samples(fan, elapsed, &sent, &received)
    })
}
