//! One tick of a channel.

use serde::{Deserialize, Serialize};

use crate::WaitStrategy;
use crate::channel::{Channel, ChannelView, WaitView};
use crate::sync::wait::{WAIT_BUCKETS, wait_bucket};
use crate::telemetry::machine::machine;

/// What happened in a channel between two looks at it. Bytes are ring bytes: headers, payload and padding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// End of the tick, nanoseconds on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Length of the tick, nanoseconds; longer than asked for where the sampler was not run in time.
    pub tick_ns: u64,
    /// Messages committed in the tick.
    pub arrived_messages: u64,
    /// Bytes committed.
    pub arrived_bytes: u64,
    /// Messages released by the receiver.
    pub departed_messages: u64,
    /// Bytes released.
    pub departed_bytes: u64,
    /// Bytes committed and not released, at the tick's end, over all lanes.
    pub backlog_bytes: u64,
    /// The same in the lane where it is largest.
    pub backlog_bytes_max: u64,
    /// The least of [`Sample::backlog_bytes`] at any look in the tick, its beginning and its end among them.
    pub backlog_bytes_least: u64,
    /// The most.
    pub backlog_bytes_most: u64,
    /// Bytes of the rings of all attached senders, at the tick's end.
    pub ring_bytes: u64,
    /// Attached senders, at the tick's end.
    pub senders: u32,
    /// Rings entered in the tick.
    pub epochs: u64,
    /// Sends refused for want of room.
    pub rejected: u64,
    /// Payload bytes of these.
    pub rejected_bytes: u64,
    /// Waits for room that outlasted a first burst of polls: stalls.
    pub stalls: u64,
    /// Nanoseconds that senders waited for room, summed over senders.
    pub blocked_ns: u64,
    /// Waits of the receiver that outlasted a first burst of polls.
    pub idles: u64,
    /// Nanoseconds that the receiver waited for messages.
    pub idle_ns: u64,
    /// Sleeps of any endpoint.
    pub parks: u64,
    /// Wakes sent through the kernel.
    pub wakes: u64,
    /// Endpoints that were waiting at the tick's end, for longer than a first burst of polls.
    pub waiting: u32,
    /// Of the waits of senders for room that ended in the tick, the time that 99 of 100 did not exceed, nanoseconds: a power of
    /// two, rounded up; 0 of none.
    pub blocked_p99_ns: u64,
    /// The same of the receiver's waits for messages.
    pub idle_p99_ns: u64,
    /// Threads of the whole machine that ran or could, up to a second ago; 0 if that is not known.
    pub runnable: u32,
    /// Context switches of the whole machine since it was started, up to a second ago; 0 if that is not known.
    pub context_switches: u64,
    /// Wait strategy in force at the tick's end.
    pub strategy: WaitStrategy,
}

/// Waits that ended in a tick, by duration: entry `b` counts those of less than 2^b nanoseconds and not of less than half of that,
/// the last one all longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitTimes {
    /// Of receivers, for messages.
    pub receivers: [u64; WAIT_BUCKETS],
    /// Of senders, for room.
    pub senders: [u64; WAIT_BUCKETS],
}

impl WaitTimes {
    /// Adds `count` waits of a receiver that took `total_ns` together, as if all had taken the same time.
    pub fn add_receivers(&mut self, count: u64, total_ns: u64) {
        self.receivers[wait_bucket(total_ns / count.max(1))] += count;
    }

    /// The same of senders.
    pub fn add_senders(&mut self, count: u64, total_ns: u64) {
        self.senders[wait_bucket(total_ns / count.max(1))] += count;
    }
}

/// Takes samples of one channel.
#[derive(Debug)]
pub struct Sampler {
    channel: Channel,
    previous: ChannelView,
    /// Least and most backlog of the looks in this tick.
    backlogs: (u64, u64),
    wait_times: WaitTimes,
}

impl Sampler {
    /// Starts a first tick now.
    pub fn new(channel: &Channel) -> Self {
        let previous = channel.view();
        let backlog = previous.backlog_bytes();
        Self { channel: channel.clone(), previous, backlogs: (backlog, backlog), wait_times: WaitTimes::default() }
    }

    /// Looks at the backlog within the tick, so that the sample knows how far it went up and down.
    pub fn look(&mut self) {
        let backlog = self.channel.view().backlog_bytes();
        self.backlogs = (self.backlogs.0.min(backlog), self.backlogs.1.max(backlog));
    }

    /// Ends the tick and starts the next.
    pub fn sample(&mut self) -> Sample {
        let view = self.channel.view();
        self.wait_times = wait_times(&self.previous, &view);
        let sample = between(&self.previous, &view, self.backlogs, &self.wait_times);
        self.backlogs = (sample.backlog_bytes, sample.backlog_bytes);
        self.previous = view;
        sample
    }

    /// The waits that ended in the tick that the last sample is of.
    pub fn wait_times(&self) -> WaitTimes {
        self.wait_times
    }
}

fn between(earlier: &ChannelView, later: &ChannelView, (least, most): (u64, u64), times: &WaitTimes) -> Sample {
    let grown = |count: &dyn Fn(&ChannelView) -> u64| count(later).saturating_sub(count(earlier));
    let lanes = |count: fn(&crate::channel::LaneView) -> u64| {
        grown(&|view: &ChannelView| view.lanes.iter().map(count).fold(0, u64::wrapping_add))
    };
    let (machine, backlog_bytes) = (machine(), later.backlog_bytes());
    let receiver = |count: fn(&WaitView) -> u64| grown(&|view: &ChannelView| count(&view.receiver_waits));
    Sample {
        at_ns: later.at_ns,
        tick_ns: later.at_ns.saturating_sub(earlier.at_ns),
        arrived_messages: lanes(|lane| lane.sent_messages),
        arrived_bytes: lanes(|lane| lane.sent_bytes),
        departed_messages: lanes(|lane| lane.received_messages),
        departed_bytes: lanes(|lane| lane.received_bytes),
        backlog_bytes,
        backlog_bytes_max: later.lanes.iter().map(|lane| lane.backlog_bytes()).max().unwrap_or(0),
        backlog_bytes_least: least.min(backlog_bytes),
        backlog_bytes_most: most.max(backlog_bytes),
        ring_bytes: later.ring_bytes(),
        senders: later.lanes.iter().filter(|lane| lane.sender_pid.is_some()).count() as u32,
        epochs: lanes(|lane| lane.epoch),
        rejected: lanes(|lane| lane.rejected),
        rejected_bytes: lanes(|lane| lane.rejected_bytes),
        stalls: lanes(|lane| lane.sender_waits.waits),
        blocked_ns: lanes(|lane| lane.sender_waits.wait_ns),
        idles: receiver(|waits| waits.waits),
        idle_ns: receiver(|waits| waits.wait_ns),
        parks: lanes(|lane| lane.sender_waits.parks).wrapping_add(receiver(|waits| waits.parks)),
        wakes: lanes(|lane| lane.sender_waits.wakes).wrapping_add(receiver(|waits| waits.wakes)),
        waiting: later.lanes.iter().map(|lane| lane.sender_waits.waiting).sum::<u32>() + later.receiver_waits.waiting,
        blocked_p99_ns: p99_ns(times.senders),
        idle_p99_ns: p99_ns(times.receivers),
        runnable: machine.runnable,
        context_switches: machine.context_switches,
        strategy: later.strategy,
    }
}

fn wait_times(earlier: &ChannelView, later: &ChannelView) -> WaitTimes {
    let receivers = |view: &ChannelView, bucket: usize| view.receiver_waits.histogram[bucket];
    let ended = |of: fn(&ChannelView, usize) -> u64| {
        std::array::from_fn(|bucket| of(later, bucket).saturating_sub(of(earlier, bucket)))
    };
    WaitTimes { receivers: ended(receivers), senders: ended(lanes_bucket) }
}

/// Ended waits of all senders in one bucket.
fn lanes_bucket(view: &ChannelView, bucket: usize) -> u64 {
    view.lanes.iter().map(|lane| lane.sender_waits.histogram[bucket]).fold(0, u64::wrapping_add)
}

/// Upper bound of the bucket that holds the 99th of 100 waits.
fn p99_ns(counts: [u64; WAIT_BUCKETS]) -> u64 {
    let all = counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
    // Of fewer than a hundred, the longest.
    let rank = all.saturating_sub(all / 100);
    let mut below = 0u64;
    let found = counts.iter().position(|count| {
        below = below.saturating_add(*count);
        below >= rank
    });
    if all == 0 { 0 } else { found.map_or(0, |bucket| 1 << bucket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_counts_what_came_and_went_in_it() {
        let channel = Channel::options().create_anonymous().unwrap();
        let mut sender = channel.sender().unwrap();
        let mut receiver = channel.receiver().unwrap();
        sender.send(&[0; 8]).unwrap();
        let mut sampler = Sampler::new(&channel);
        for _ in 0..3 {
            sender.send(&[0; 8]).unwrap();
        }
        drop(receiver.recv().unwrap());
        let sample = sampler.sample();
        assert_eq!((sample.arrived_messages, sample.arrived_bytes), (3, 48));
        assert_eq!((sample.departed_messages, sample.departed_bytes), (1, 16));
        assert_eq!((sample.backlog_bytes, sample.backlog_bytes_max), (48, 48));
        assert_eq!((sample.ring_bytes, sample.senders), (1 << 16, 1));
        assert_eq!((sample.backlog_bytes_least, sample.backlog_bytes_most), (16, 48));
        sender.send(&[0; 8]).unwrap();
        sampler.look();
        (0..4).for_each(|_| drop(receiver.recv().unwrap()));
        sampler.look();
        (0..3).for_each(|_| sender.send(&[0; 8]).unwrap());
        let up_and_down = sampler.sample();
        assert_eq!((up_and_down.backlog_bytes_least, up_and_down.backlog_bytes_most), (0, 64));
        let quiet = sampler.sample();
        assert_eq!((quiet.arrived_messages, quiet.departed_messages), (0, 0));
        assert_eq!(quiet.backlog_bytes, 48);
        assert_eq!(up_and_down.at_ns + quiet.tick_ns, quiet.at_ns);
    }

    #[test]
    fn refusals_and_waits_for_room_are_counted() {
        let channel = Channel::options().ring_bytes(1 << 12).create_anonymous().unwrap();
        let mut sender = channel.sender().unwrap();
        let mut sampler = Sampler::new(&channel);
        while sender.try_send(&[0; 1000]).is_ok() {}
        let timeout = std::time::Duration::from_millis(2);
        assert!(sender.send_timeout(&[0; 1000], timeout).is_err());
        let sample = sampler.sample();
        assert_eq!((sample.rejected, sample.rejected_bytes, sample.stalls), (1, 1000, 1));
        assert!(sample.blocked_ns > 0 && sample.blocked_p99_ns.is_power_of_two(), "{sample:?}");
        assert_eq!((sample.idle_p99_ns, sample.waiting), (0, 0));
        assert_eq!(sampler.sample().blocked_p99_ns, 0, "of waits in the tick alone");
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let of = |counts: &[(usize, u64)]| {
            p99_ns(std::array::from_fn(|bucket| {
                counts.iter().find(|(at, _)| *at == bucket).map_or(0, |(_, count)| *count)
            }))
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[(5, 1), (9, 1)]), 512);
        assert_eq!(of(&[(5, 990), (9, 10)]), 32);
        assert_eq!(of(&[(5, 980), (9, 20)]), 512);
        assert_eq!(of(&[(31, 1)]), 1 << 31);
    }
}
