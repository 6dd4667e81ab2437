//! What is controlled: a channel, or a simulation of one.

use std::time::{Duration, Instant};

use crate::WaitStrategy;
use crate::channel::{Channel, Helm, Resize, ResizeError};
use crate::telemetry::{Sample, Sampler, WaitTimes};

/// Between two looks whether another controller lets go, or has died.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// What a controller sees and sets. A simulation that implements it is controlled as a channel is.
pub trait Plant {
    /// Smallest and largest ring, bytes; powers of two.
    fn ring_bytes_bounds(&self) -> (u64, u64);
    /// Bytes of the ring that is in force, or asked for.
    fn ring_bytes(&self) -> u64;
    /// Bytes of all rings that senders have.
    fn held_bytes(&self) -> u64;
    /// How endpoints wait.
    fn wait_strategy(&self) -> WaitStrategy;
    /// Whether decisions may be put in force now: nobody else does.
    fn may_set(&mut self) -> bool {
        true
    }
    /// Ends a tick and starts the next.
    fn sample(&mut self) -> Sample;
    /// Waits that ended in that tick.
    fn wait_times(&self) -> WaitTimes;
    /// Rings entered by all senders so far.
    fn epochs(&self) -> u64;
    /// Asks for rings of that size.
    ///
    /// # Errors
    /// The size is out of bounds, or there is no memory for it.
    fn resize(&mut self, ring_bytes: u64) -> Result<Resize, ResizeError>;
    /// Changes how endpoints wait.
    fn set_wait_strategy(&mut self, strategy: WaitStrategy);
    /// Gives memory back that rings left behind.
    ///
    /// # Errors
    /// It cannot be given back now.
    fn reclaim(&mut self) -> Result<(), ResizeError>;
}

/// A channel as it runs.
#[derive(Debug)]
pub struct LivePlant {
    channel: Channel,
    sampler: Sampler,
    helm: Option<Helm>,
    /// When it was last asked for.
    asked: Option<Instant>,
}

impl LivePlant {
    /// `channel`, from now on.
    pub fn new(channel: &Channel) -> Self {
        Self { channel: channel.clone(), sampler: Sampler::new(channel), helm: None, asked: None }
    }
}

impl Plant for LivePlant {
    fn ring_bytes_bounds(&self) -> (u64, u64) {
        self.channel.ring_bytes_bounds()
    }

    fn ring_bytes(&self) -> u64 {
        self.channel.ring_bytes()
    }

    fn held_bytes(&self) -> u64 {
        self.channel.view().ring_bytes()
    }

    fn wait_strategy(&self) -> WaitStrategy {
        self.channel.wait_strategy()
    }

    fn may_set(&mut self) -> bool {
        if self.helm.is_none() && self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            self.asked = Some(Instant::now());
            self.helm = self.channel.try_steer().ok();
        }
        self.helm.is_some()
    }

    fn sample(&mut self) -> Sample {
        self.sampler.sample()
    }

    fn wait_times(&self) -> WaitTimes {
        self.sampler.wait_times()
    }

    fn epochs(&self) -> u64 {
        self.channel.view().lanes.iter().map(|lane| lane.epoch).fold(0, u64::wrapping_add)
    }

    fn resize(&mut self, ring_bytes: u64) -> Result<Resize, ResizeError> {
        // What is locked now is busy: other channels wait for this one's controller, too.
        let outcome = self.channel.try_resize(ring_bytes)?;
        Ok(outcome.unwrap_or(Resize { offered: 0, unchanged: 0, busy: 1 }))
    }

    fn set_wait_strategy(&mut self, strategy: WaitStrategy) {
        self.channel.set_wait_strategy(strategy);
    }

    fn reclaim(&mut self) -> Result<(), ResizeError> {
        self.channel.try_reclaim()
    }
}
