//! Who takes part in a channel, and the proof that one of them is dead.
//!
//! A participant is dead when the kernel says so, never because time has passed: a stopped process may go on. Proof is
//! either its unlocked byte (see [`crate::shm::locks`]), or, seen from the same pid namespace, that its process has
//! ended (see [`crate::shm::process`]).

use std::sync::Arc;

use parking_lot::Mutex;

use crate::prim::Ordering::{AcqRel, Acquire, Relaxed};
use crate::prim::{AtomicU64, fence};
use crate::shm::error::ShmError;
use crate::shm::layout::{PARTICIPANTS_OFFSET, Participant, ParticipantSlots};
use crate::shm::locks;
use crate::shm::own_process::{Origin, own_pid};
use crate::shm::process::{UNKNOWN_NAMESPACE, is_proven_dead, namespace, own_start_time};
use crate::shm::segment::Segment;
use crate::shm::window::Shared;

/// Where a participant word holds the role.
pub(crate) const ROLE_SHIFT: u32 = 62;

/// What a participant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// Holds the channel open: a `Channel` and its clones.
    Handle = 1,
    /// Sends.
    Sender = 2,
    /// Receives.
    Receiver = 3,
}

/// The slots of one segment.
#[derive(Debug, Clone)]
pub(crate) struct ParticipantTable {
    shared: Shared<ParticipantSlots>,
    segment: Arc<Segment>,
    /// Threads of one process share the descriptor that holds the locks, so they take turns here.
    turn: Arc<Mutex<()>>,
    /// Process that opened the descriptor. A child that has it by `fork` sees its parent's locks as its own.
    origin: Origin,
    pid: u32,
    /// Of that process, for good; asked once, since `/proc` may be out of its sight later.
    pid_namespace: u64,
    /// When that process started, and in which namespace that was told; asked once, since many channels are looked at often.
    start_time: u64,
    time_namespace: u64,
}

/// A claimed slot, given back on drop.
#[derive(Debug)]
pub(crate) struct Membership {
    table: ParticipantTable,
    slot: usize,
    word: u64,
}

/// A slot's occupant, as read at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupant {
    /// Process id in the occupant's own pid namespace.
    pub(crate) pid: u32,
    word: u64,
}

impl ParticipantTable {
    /// The table of `segment`.
    pub(crate) fn of(segment: &Arc<Segment>) -> Result<Self, ShmError> {
        let shared = Shared::at(segment, PARTICIPANTS_OFFSET).ok_or(ShmError::Corrupt {
            what: "segment length",
            value: segment.len() as u64,
            limit: u64::MAX,
        })?;
        Ok(Self {
            shared,
            segment: Arc::clone(segment),
            turn: Arc::default(),
            origin: Origin::here(),
            pid: own_pid(),
            pid_namespace: namespace("pid"),
            start_time: own_start_time(),
            time_namespace: namespace("time"),
        })
    }

    /// Claims a slot, sweeping the dead if none is free.
    pub(crate) fn join(&self, role: Role) -> Result<Membership, ShmError> {
        self.check_not_forked()?;
        if let Some(membership) = self.claim_free(role)? {
            return Ok(membership);
        }
        for slot in 0..self.len() {
            if let Some(occupant) = self.occupant(slot)
                && self.is_dead(slot, occupant)?
            {
                self.evict(slot, occupant);
            }
        }
        self.claim_free(role)?.ok_or(ShmError::TooManyParticipants { slots: self.len() })
    }

    fn claim_free(&self, role: Role) -> Result<Option<Membership>, ShmError> {
        let _turn = self.turn.lock();
        for (slot, entry) in self.shared.slots.iter().enumerate() {
            if entry.owner.load(Relaxed) != 0 || !locks::try_lock(&*self.segment, locks::participant(slot))? {
                continue;
            }
            let claims = next_claims(entry.claims.load(Relaxed));
            entry.claims.store(claims, Relaxed);
            let word = word_of(role, claims, slot);
            // Written under the slot's lock and before the slot is taken, so that nobody judges its new occupant by the
            // start time of the one before.
            entry.pid_namespace.store(self.pid_namespace, Relaxed);
            entry.time_namespace.store(self.time_namespace, Relaxed);
            entry.start_time.store(self.start_time, Relaxed);
            // Edge `slot-claimed`: to the Acquire load in `occupant`. The lock is held before the slot is, so an
            // occupied slot with a free lock proves death.
            if entry.owner.compare_exchange(0, word, AcqRel, Relaxed).is_ok() {
                return Ok(Some(Membership { table: self.clone(), slot, word }));
            }
            locks::unlock(&*self.segment, locks::participant(slot))?;
        }
        Ok(None)
    }

    /// Who sits in `slot` now.
    pub(crate) fn occupant(&self, slot: usize) -> Option<Occupant> {
        // Edge `slot-claimed`, reading end.
        let word = self.shared.slots.get(slot)?.owner.load(Acquire);
        (word != 0).then_some(Occupant { pid: word as u32, word })
    }

    /// The participant known by `word`, if it is in its slot.
    fn seated(&self, word: u64) -> Option<Occupant> {
        self.occupant(slot_of(word)).filter(|occupant| occupant.word == word)
    }

    /// Whether the occupant is provably dead.
    pub(crate) fn is_dead(&self, slot: usize, occupant: Occupant) -> Result<bool, ShmError> {
        self.check_not_forked()?;
        let Some(entry) = self.shared.slots.get(slot) else { return Ok(false) };
        let (recorded, own) = (entry.pid_namespace.load(Relaxed), self.pid_namespace);
        let is_told = |namespace| namespace != 0 && namespace != UNKNOWN_NAMESPACE;
        let is_another = is_told(recorded) && is_told(own) && recorded != own;
        if occupant.pid == own_pid() && !is_another {
            // Its lock, if this process holds it, is on the same descriptor and says nothing.
            return Ok(self.was_of_an_earlier_process(entry, occupant));
        }
        if !locks::held_by_another(&*self.segment, locks::participant(slot))? {
            return Ok(entry.owner.load(Acquire) == occupant.word);
        }
        Ok(recorded == own
            && own != UNKNOWN_NAMESPACE
            && is_proven_dead(occupant.pid, start_time_in(entry, namespace("time")))
            && entry.owner.load(Acquire) == occupant.word)
    }

    /// Whether an occupant that has this process's id had it before this process.
    fn was_of_an_earlier_process(&self, entry: &Participant, occupant: Occupant) -> bool {
        let (recorded, own) = (start_time_in(entry, self.time_namespace), self.start_time);
        recorded != 0 && own != 0 && recorded != own && entry.owner.load(Acquire) == occupant.word
    }

    /// Whether the participant known by `word` is provably dead; one that is not in its slot is. A dead one is evicted.
    pub(crate) fn sweep(&self, word: u64) -> Result<bool, ShmError> {
        let Some(occupant) = self.seated(word) else { return Ok(true) };
        // One that goes meanwhile, in good order or evicted by another, is not called dead by this look.
        let dead = self.is_dead(slot_of(word), occupant)?;
        if dead {
            self.evict(slot_of(word), occupant);
        }
        Ok(dead)
    }

    /// Whether the participant known by `word` is in its slot: neither has it left, nor was it found dead.
    pub(crate) fn is_present(&self, word: u64) -> bool {
        self.seated(word).is_some()
    }

    /// Whether the participant known by `word` is in its slot and not proven dead. Changes nothing.
    pub(crate) fn lives(&self, word: u64) -> bool {
        self.seated(word).is_some_and(|occupant| !self.is_dead(slot_of(word), occupant).unwrap_or(false))
    }

    /// As [`ParticipantTable::sweep`], of the participant in that seat ([`Membership::seat`]), for whom the kernel would not
    /// tell counts as alive. `None` where it is; else its process, 0 if that is not known any more.
    pub(crate) fn sweep_seat(&self, seat: u64) -> Option<u32> {
        // Edge `seated`, reading end: whoever wrote the seat had taken it, so that it is not missed here.
        fence(Acquire);
        let slot = usize::from(seat as u8);
        let Some(occupant) = self.occupant(slot).filter(|occupant| seat_of(occupant.word) == seat) else {
            return Some(0);
        };
        // Who asks has found something that it holds: it has not left in good order.
        let is_gone = self.sweep(occupant.word).unwrap_or(false) || !self.is_present(occupant.word);
        is_gone.then_some(occupant.pid)
    }

    /// Clears the slot of a dead occupant; true for the one caller that did.
    pub(crate) fn evict(&self, slot: usize, occupant: Occupant) -> bool {
        clear(&self.shared.slots[slot].owner, occupant.word)
    }

    /// Refuses a process that has the table only through `fork`.
    pub(crate) fn check_not_forked(&self) -> Result<(), ShmError> {
        if self.origin.is_here() { Ok(()) } else { Err(ShmError::Forked { owner: self.pid }) }
    }

    /// Slots in the table.
    pub(crate) fn len(&self) -> usize {
        self.shared.slots.len()
    }
}

impl Membership {
    /// What the participant is known by in other words of the segment: role, generation, slot and pid; never 0.
    pub(crate) fn word(&self) -> u64 {
        self.word
    }

    /// Slot and generation: 30 bits, never 0, and of no other participant of the segment.
    pub(crate) fn seat(&self) -> u64 {
        seat_of(self.word)
    }

    /// Process that joined.
    pub(crate) fn pid(&self) -> u32 {
        self.word as u32
    }

    /// Whether this process has the membership only through `fork`: it must not sign its parent off.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        !self.table.origin.is_here()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.is_inherited() {
            return;
        }
        let _turn = self.table.turn.lock();
        // The word goes before the lock: an occupied slot with a free lock would look like a death.
        clear(&self.table.shared.slots[self.slot].owner, self.word);
        let _unlock_fails_only_if_the_descriptor_is_gone =
            locks::unlock(&*self.table.segment, locks::participant(self.slot));
    }
}

/// The bits of a count of claims that make a generation.
const GENERATION: u64 = 0x003f_ffff;

/// Role, generation (22 bits), slot and pid. The generation is the slot's own count of claims, so no two stays share a
/// word, whichever processes they are of and whatever pids these have.
fn word_of(role: Role, claims: u64, slot: usize) -> u64 {
    let generation = claims & GENERATION;
    u64::from(role as u8) << ROLE_SHIFT | generation << 40 | (slot as u64) << 32 | u64::from(own_pid())
}

/// The count of claims after `claims`, of which no generation is 0.
fn next_claims(claims: u64) -> u64 {
    let next = claims.wrapping_add(1);
    if next & GENERATION == 0 { next + 1 } else { next }
}

fn seat_of(word: u64) -> u64 {
    (word >> 32) & ((1 << 30) - 1)
}

fn slot_of(word: u64) -> usize {
    usize::from((word >> 32) as u8)
}

fn clear(owner: &AtomicU64, word: u64) -> bool {
    owner.compare_exchange(word, 0, AcqRel, Relaxed).is_ok()
}

/// When the participant's process started, as this process would see it; 0 where that cannot be told, since another time
/// namespace shifts it (`time_namespaces(7)`).
fn start_time_in(entry: &Participant, time_namespace: u64) -> u64 {
    let is_same = entry.time_namespace.load(Relaxed) == time_namespace && time_namespace != UNKNOWN_NAMESPACE;
    if is_same { entry.start_time.load(Relaxed) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ParticipantTable {
        ParticipantTable::of(&Arc::new(Segment::create("test", 1 << 16).unwrap())).unwrap()
    }

    #[test]
    fn a_slot_is_given_back_on_drop() {
        let table = table();
        let first = table.join(Role::Sender).unwrap();
        let slot = first.slot;
        assert_eq!(table.occupant(slot).unwrap().pid, own_pid());
        assert!(!table.is_dead(slot, table.occupant(slot).unwrap()).unwrap());
        drop(first);
        assert_eq!(table.occupant(slot), None);
    }

    #[test]
    fn the_table_refuses_one_more_than_it_holds() {
        let table = table();
        let all: Vec<_> = (0..table.len()).map(|_| table.join(Role::Handle).unwrap()).collect();
        assert!(matches!(table.join(Role::Handle), Err(ShmError::TooManyParticipants { slots: 256 })));
        drop(all);
        table.join(Role::Handle).unwrap();
    }

    #[test]
    fn two_stays_in_one_slot_have_different_words() {
        let table = table();
        let first = table.join(Role::Sender).unwrap();
        let (slot, word) = (first.slot, first.word());
        drop(first);
        let second = table.join(Role::Sender).unwrap();
        assert_eq!(second.slot, slot);
        assert_ne!(second.word(), word);
        assert!(table.sweep(word).unwrap(), "the first has left");
        assert!(!table.sweep(second.word()).unwrap());
        assert_eq!([word, second.word()].map(slot_of), [slot; 2]);
    }

    #[test]
    fn many_that_sweep_at_once_all_find_the_dead_dead() {
        for _ in 0..200 {
            let table = table();
            let member = table.join(Role::Sender).unwrap();
            let (word, seat) = (member.word(), member.seat());
            // As of an earlier process of this id.
            table.shared.slots[member.slot].start_time.fetch_sub(1, Relaxed);
            let (start, found) = (std::sync::Barrier::new(8), AtomicU64::new(0));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        start.wait();
                        let is_gone = table.sweep(word).unwrap() || !table.is_present(word);
                        found.fetch_add(u64::from(is_gone && table.sweep_seat(seat).is_some()), Relaxed);
                    });
                }
            });
            assert_eq!(found.load(Relaxed), 8);
            std::mem::forget(member);
        }
    }

    #[test]
    fn no_seat_is_zero_when_generations_wrap() {
        let table = table();
        table.shared.slots[0].claims.store(GENERATION, Relaxed);
        let member = table.join(Role::Handle).unwrap();
        assert_eq!((member.slot, member.seat()), (0, 1 << 8));
        assert_eq!(table.sweep_seat(member.seat()), None);
        assert_eq!(table.sweep_seat(GENERATION << 8), Some(0), "a seat that nobody is in any more");
    }

    #[test]
    fn an_earlier_process_of_the_same_id_is_dead() {
        let table = table();
        let first = table.join(Role::Sender).unwrap();
        let occupant = table.occupant(first.slot).unwrap();
        table.shared.slots[first.slot].start_time.fetch_sub(1, Relaxed);
        assert!(table.is_dead(first.slot, occupant).unwrap());
        table.shared.slots[first.slot].time_namespace.fetch_add(1, Relaxed);
        assert!(!table.is_dead(first.slot, occupant).unwrap(), "its clock may be shifted");
        table.shared.slots[first.slot].time_namespace.fetch_sub(1, Relaxed);
        table.shared.slots[first.slot].start_time.fetch_add(1, Relaxed);
        assert!(!table.is_dead(first.slot, occupant).unwrap());
    }
}
