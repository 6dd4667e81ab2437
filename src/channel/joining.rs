//! How a sender comes by its lane: steps S1 to S3 of `PROTOCOL.md`.

use std::sync::Arc;

use crate::channel::core::{Core, StructureLock};
use crate::channel::error::ChannelError;
use crate::channel::lane::ReceiverLane;
use crate::channel::sender::Sender;
use crate::channel::{presence, resize};
use crate::prim::Ordering::{Acquire, Relaxed, Release};
use crate::prim::step;
use crate::ring::claims::Claimant;
use crate::ring::layout::Lane;
use crate::ring::lock::Holder;
use crate::ring::producer::Producer;
use crate::ring::resize::found;
use crate::shm::error::ShmError;
use crate::shm::header::RING_PAYLOAD_MAX;
use crate::shm::participants::{Membership, Role};

/// Lanes that a sender finds spoilt before it gives up: a hostile peer can make each look long.
const SPOILT_MAX: u32 = 4;

impl Sender {
    pub(crate) fn attach(core: &Arc<Core>) -> Result<Self, ChannelError> {
        let membership = core.participants.join(Role::Sender)?;
        step("attach.joined");
        let lock = core.lock_structure()?;
        let lanes = core.geometry.lanes_max as usize;
        let (mut refused, mut spoilt) = (ChannelError::TooManySenders { lanes }, 0);
        for number in 0..lanes {
            let words = core.lane(number)?;
            let Some(owner_before) = take_lane(core, &lock, number, &words, &membership)? else { continue };
            match ready_ring(core, &lock, number) {
                Ok(producer) => {
                    presence::arrive(&core.control.senders_attached);
                    let ring_lane = core.ring_lane(number);
                    let claimant = || {
                        let (lane, area) = (core.lane(ring_lane)?, core.area(ring_lane)?);
                        Ok::<_, ShmError>(Claimant::new(lane, area, number as u8))
                    };
                    return Ok(Self {
                        producer,
                        claimant: core.is_in_one_order().then(claimant).transpose()?,
                        lane: words,
                        ring_lane,
                        waits: core.sender_wait(number)?,
                        room: core.sender_wait(ring_lane)?,
                        membership,
                        spare: None,
                        ring_payload_max: core.geometry.message_bytes_max.min(RING_PAYLOAD_MAX) as usize,
                        control: core.control.clone(),
                        receiver_wait: core.receiver_wait.clone(),
                        full_at: 0,
                        lead: Default::default(),
                        peers_checked_ns: 0,
                        death_told: core.control.receiver_died.load(Relaxed),
                        blocks_checked_ns: 0,
                        core: Arc::clone(core),
                    });
                }
                Err(error) => {
                    // A death that the receiver has not been told of stays to be told.
                    words.shape.owner.store(owner_before, Release);
                    // It may have been the last one to leave.
                    core.receiver_wait.event.wake_all();
                    spoilt += 1;
                    refused = error;
                }
            }
            // A lane that some peer has spoilt is no reason to refuse the others, unless it has spoilt all.
            if spoilt == SPOILT_MAX || !matches!(refused, ChannelError::Corrupt { .. }) {
                break;
            }
        }
        Err(refused)
    }
}

/// S1: takes the lane if it has no living owner, and says who that was; the structure lock keeps others from doing the same.
fn take_lane(
    core: &Core,
    lock: &StructureLock<'_>,
    number: usize,
    words: &Lane,
    membership: &Membership,
) -> Result<Option<u64>, ChannelError> {
    let mut owner = words.shape.owner.load(Acquire);
    if owner != 0 {
        // Another may have swept it while we looked.
        if !core.participants.sweep(owner)? && core.participants.is_present(owner) {
            return Ok(None);
        }
        // Who leaves in good order says so here before it gives its slot up.
        owner = words.shape.owner.load(Acquire);
    }
    if owner != 0 {
        if core.is_in_one_order() {
            core.await_turn(lock, |turn| core.give_up_claims_of(turn, number))?;
        }
        words.shape.died.store(owner, Relaxed);
    }
    words.shape.owner.store(membership.word(), Release);
    step("attach.owned");
    Ok(Some(owner))
}

/// S2 and S3.
fn ready_ring(core: &Core, lock: &StructureLock<'_>, number: usize) -> Result<Producer, ChannelError> {
    let (lane, class) = (core.ring_lane(number), core.ring_class());
    let words = core.lane(lane)?;
    let is_new = words.producing.cursor.load(Relaxed) == 0;
    if is_new {
        core.back_ring(lane, class)?;
        step("attach.backed");
        found(&words, class, core.readers(), core.is_in_one_order());
        step("attach.founded");
    }
    if lane >= core.lanes_used() {
        // Also if another founded it and died: nobody has met it yet.
        core.follow_new_lane(lock, &words);
        core.leave_new_lane(lock, &words);
    }
    let producer = if core.is_in_one_order() {
        core.await_turn(lock, |_turn| core.producer(lane))??
    } else {
        // The sender before may have died at the lane, and receivers have gone to sleep over it.
        if let Some(held) = words.taking.lock.lock_or_take_from(&[Holder::Producer], Holder::Producer) {
            core.free_blocks_done(lane, &words, &core.area(lane)?, &held);
            if held.unlock().0 {
                core.wake_lane(lane)?;
            }
        }
        let producer = core.producer(lane)?;
        core.free_blocks_never_sent(lock, lane, producer.position());
        producer
    };
    // A lane that cannot be read is not to be written.
    ReceiverLane::check(core, lane)?;
    if number >= core.lanes_used() {
        // Edge `lane-founded`, writing end. Lanes are taken lowest first, so those used are a prefix, but for lanes that are
        // spoilt.
        core.control.lanes_used.store(number as u64 + 1, Release);
        step("attach.counted");
    }
    if !is_new && !core.is_in_one_order() {
        // The lane was passed over by resizes while nobody owned it. Where the ring cannot be had, the old one does.
        let _old_ring_does = resize::offer(core, lock, lane, class);
    }
    Ok(producer)
}

impl Core {
    /// Takes over what producers of `lane` have left, or have died at.
    pub(crate) fn producer(&self, lane: usize) -> Result<Producer, ChannelError> {
        let (words, area) = (self.lane(lane)?, self.area(lane)?);
        Producer::attach(words, area, self.classes(), (self.readers(), self.when_full()))
            .map_err(|found| ChannelError::corrupt(lane, found))
    }
}
