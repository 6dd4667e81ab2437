//! Who tunes a channel: one handle at a time, until it lets go or its process dies.

use std::sync::Arc;

use crate::channel::Channel;
use crate::channel::core::Core;
use crate::prim::Ordering::Relaxed;
use crate::prim::step;

/// The right to tune a channel; given back when it is dropped. It is no lock: whoever has a channel may resize it and switch its
/// waits. Controllers ask for it, so that no two work against each other.
#[derive(Debug)]
pub struct Helm {
    core: Arc<Core>,
}

/// Somebody else tunes the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("process {pid} tunes the channel")]
pub struct Steered {
    /// The process, which lives, in its own pid namespace.
    pub pid: u32,
}

impl Channel {
    /// H1: takes the right to tune the channel, if nobody has it or who had it is proven dead.
    ///
    /// # Errors
    /// [`Steered`]: a living process has it, or another controller of this handle.
    pub fn try_steer(&self) -> Result<Helm, Steered> {
        let core = &self.core;
        let own = core.membership.word();
        if core.membership.is_inherited() {
            return Err(Steered { pid: own as u32 });
        }
        // Relaxed, here and below: the word says who decides, and orders nothing. Who decides sees the plan by the words that
        // it is in.
        let present = core.control.helm.load(Relaxed);
        let is_free = present == 0 || (present != own && core.participants.sweep(present).unwrap_or(false));
        if is_free && core.control.helm.compare_exchange(present, own, Relaxed, Relaxed).is_ok() {
            step("helm.taken");
            return Ok(Helm { core: Arc::clone(core) });
        }
        Err(Steered { pid: core.control.helm.load(Relaxed) as u32 })
    }
}

impl Channel {
    /// The process that tunes the channel, if one does; it is not asked whether it lives.
    pub fn steered_by(&self) -> Option<u32> {
        let word = self.core.control.helm.load(Relaxed);
        (word != 0).then_some(word as u32)
    }
}

impl Drop for Helm {
    fn drop(&mut self) {
        if !self.core.membership.is_inherited() {
            // H2
            let own = self.core.membership.word();
            let _taken_over_if_it_differs = self.core.control.helm.compare_exchange(own, 0, Relaxed, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_steers_until_it_lets_go() {
        let name = format!("helm-{}", std::process::id());
        let channel = Channel::options().create(&name).unwrap();
        let other = Channel::open(&name).unwrap();
        let helm = channel.try_steer().unwrap();
        assert_eq!(other.try_steer().unwrap_err(), Steered { pid: std::process::id() });
        assert!(channel.try_steer().is_err(), "not twice, either");
        assert_eq!(other.steered_by(), Some(std::process::id()));
        drop(helm);
        assert_eq!(other.steered_by(), None);
        let helm = other.try_steer().unwrap();
        assert!(channel.try_steer().is_err());
        drop(helm);
    }

    #[test]
    fn the_dead_steer_no_more() {
        let name = format!("helm-dead-{}", std::process::id());
        let channel = Channel::options().create(&name).unwrap();
        let dead = Channel::open(&name).unwrap();
        std::mem::forget(dead.try_steer().unwrap());
        assert!(channel.try_steer().is_err());
        let (participants, word) = (&channel.core.participants, dead.core.membership.word());
        let slot = usize::from((word >> 32) as u8);
        assert!(participants.evict(slot, participants.occupant(slot).unwrap()));
        std::mem::forget(dead);
        assert!(channel.try_steer().is_ok());
    }
}
