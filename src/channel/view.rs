//! What can be seen of a channel from outside, without disturbing it.

use crate::channel::core::Core;
use crate::channel::{Channel, Order, place};
use crate::prim::Ordering::{Acquire, Relaxed};
use crate::ring::word::Cursor;
use crate::ring::{Readers, alone, followers, lapped, resize};
use crate::shm::layout::{RECEIVER_GONE, SEATS};
use crate::sync::clock::now_ns;
use crate::sync::wait::{WAIT_BUCKETS, WaitPoint, WaitStrategy};

/// One look at a channel's positions and counters. All counters only grow, but for what was received where receivers compete:
/// what one had in hand that died is received again.
///
/// The words are read one after another while traffic flows, so the view is not one instant. Received counts are read
/// first, and a sender counts a message, or a batch, just after it is visible: at most that many messages a lane can show
/// as received and not yet as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// When it was taken, nanoseconds on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// In which order messages are received.
    pub order: Order,
    /// How endpoints wait.
    pub strategy: WaitStrategy,
    /// Processes of the attached receivers.
    pub receiver_pids: Vec<u32>,
    /// The receivers' waits for messages, summed up.
    pub receiver_waits: WaitView,
    /// One entry for each sender's lane that was ever used. Where all messages are in one order, they are in the first.
    pub lanes: Vec<LaneView>,
}

/// One sender's lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneView {
    /// Process of the sender, if one is attached.
    pub sender_pid: Option<u32>,
    /// Messages committed, late by one commit at most. What a sender committed as it was killed may be missing.
    pub sent_messages: u64,
    /// Ring bytes those took: headers, payload and padding.
    pub sent_bytes: u64,
    /// Messages released by the receiver, by the slowest of several, or taken by one of several that compete; those that were
    /// dropped are counted, too.
    pub received_messages: u64,
    /// Ring bytes released, or taken.
    pub received_bytes: u64,
    /// Bytes of the ring that the sender writes to; 0 if that is another lane's.
    pub ring_bytes: u64,
    /// Rings the sender has entered so far.
    pub epoch: u64,
    /// Calls of `try_send` and `try_claim` refused for want of room.
    pub rejected: u64,
    /// Payload bytes of these.
    pub rejected_bytes: u64,
    /// Messages that the sender has dropped to make room; where each receiver gets all, summed over the receivers.
    pub dropped: u64,
    /// The sender's waits for room.
    pub sender_waits: WaitView,
}

/// What one endpoint's waits have cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitView {
    /// Waits that outlasted a first burst of polls.
    pub waits: u64,
    /// Sleeps.
    pub parks: u64,
    /// Wakes sent to this endpoint through the kernel.
    pub wakes: u64,
    /// Nanoseconds spent waiting, the wait that goes on now included.
    pub wait_ns: u64,
    /// Nanoseconds of the wait that goes on now.
    pub ongoing_ns: u64,
    /// Endpoints that are waiting now, for longer than a first burst of polls.
    pub waiting: u32,
    /// Ended waits by duration: entry `b` counts those of less than 2^b ns, the last one all longer.
    pub histogram: [u64; WAIT_BUCKETS],
}

impl Channel {
    /// Looks at the channel's positions and counters. Costs a few loads a lane; no endpoint notices.
    pub fn view(&self) -> ChannelView {
        let core = &self.core;
        let at_ns = now_ns();
        ChannelView {
            at_ns,
            order: if core.is_in_one_order() { Order::Global } else { Order::PerSender },
            strategy: self.wait_strategy(),
            receiver_pids: receivers(core).into_iter().map(|word| word as u32).collect(),
            receiver_waits: receiver_waits(core, at_ns),
            lanes: (0..core.lanes_used()).filter_map(|lane| lane_view(core, lane, at_ns)).collect(),
        }
    }
}

impl Channel {
    /// Messages committed and not yet released. By the time it is known it may be another number. With
    /// [`Order::Global`] and receivers that each get every message, one that came while claims were open counts these, too.
    pub fn len(&self) -> u64 {
        self.view().total(LaneView::backlog_messages)
    }

    /// Bytes of the rings that attached senders write to: what can be committed and not yet released, headers and padding
    /// included. Changes with each resize.
    pub fn capacity(&self) -> u64 {
        self.view().ring_bytes()
    }

    /// Whether an endpoint of a living process is attached. A view still shows the dead until an endpoint that waits for them
    /// finds them; this asks the kernel, with a few system calls, and gives back nothing.
    pub fn is_attended(&self) -> bool {
        let core = &self.core;
        let owners =
            (0..core.lanes_used()).filter_map(|lane| core.lane(lane).ok()).map(|w| w.shape.owner.load(Relaxed));
        let senders = owners.filter(|&owner| owner != 0);
        let receivers = receivers(core).into_iter().map(place::receiver_of);
        senders.chain(receivers).any(|word| core.participants.lives(word))
    }

    /// Whether no message is committed and not yet released.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The sum of what lanes say, of which any process may have made anything.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

impl ChannelView {
    /// Bytes committed and not yet released, headers and padding included.
    pub fn backlog_bytes(&self) -> u64 {
        self.total(LaneView::backlog_bytes)
    }

    /// The sum of what all lanes have counted.
    pub fn total(&self, count: impl Fn(&LaneView) -> u64) -> u64 {
        total(self.lanes.iter().map(count))
    }

    /// The waits of all senders for room, summed up.
    pub fn sender_waits(&self) -> WaitView {
        self.lanes.iter().fold(WaitView::default(), |sum, lane| sum.with(&lane.sender_waits))
    }

    /// Bytes of the rings that attached senders write to.
    pub fn ring_bytes(&self) -> u64 {
        let is_shared = self.order == Order::Global && self.lanes.iter().any(|lane| lane.sender_pid.is_some());
        total(self.lanes.iter().filter(|lane| is_shared || lane.sender_pid.is_some()).map(|lane| lane.ring_bytes))
    }
}

impl LaneView {
    /// Messages committed and not yet released; with competing receivers, not yet taken. After a process was killed it may be
    /// off by what that process had in hand, until the lane is empty.
    pub fn backlog_messages(&self) -> u64 {
        // Positions outlive a death between two stores, counters do not.
        if self.backlog_bytes() == 0 { 0 } else { self.sent_messages.saturating_sub(self.received_messages) }
    }

    /// Bytes committed and not yet released, headers and padding included.
    pub fn backlog_bytes(&self) -> u64 {
        self.sent_bytes.saturating_sub(self.received_bytes)
    }
}

impl WaitView {
    /// The waits of two endpoints together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            waits: self.waits.wrapping_add(other.waits),
            parks: self.parks.wrapping_add(other.parks),
            wakes: self.wakes.wrapping_add(other.wakes),
            wait_ns: self.wait_ns.saturating_add(other.wait_ns),
            ongoing_ns: self.ongoing_ns.saturating_add(other.ongoing_ns),
            waiting: self.waiting.wrapping_add(other.waiting),
            histogram: std::array::from_fn(|bucket| self.histogram[bucket].wrapping_add(other.histogram[bucket])),
        }
    }
}

fn lane_view(core: &Core, lane: usize, at_ns: u64) -> Option<LaneView> {
    let words = core.lane(lane).ok()?;
    // Acquire: the sent counts, read after, are at least as new.
    let (received, received_messages) = match core.readers() {
        Readers::One => (resize::released(&words, Readers::One), words.consumer().messages.load(Acquire)),
        Readers::Competing if alone::is_alone(&words) => {
            (resize::released(&words, Readers::Competing), words.alone().messages.load(Acquire))
        }
        Readers::Competing => {
            let taken = words.taking.messages.load(Acquire);
            let received = taken.saturating_sub(words.taking.returned.load(Relaxed));
            (Cursor::from_word(words.taking.cursor.load(Acquire)), received)
        }
        Readers::Each => (resize::released(&words, Readers::Each), followers::fewest_messages(&words)),
    };
    let sent = Cursor::from_word(words.producing.cursor.load(Relaxed));
    let owner = words.shape.owner.load(Relaxed);
    Some(LaneView {
        sender_pid: (owner != 0).then_some(owner as u32),
        sent_messages: words.sent_messages(),
        sent_bytes: sent.position,
        received_messages,
        received_bytes: received.position,
        ring_bytes: if sent.class == 0 { 0 } else { 1 << sent.class.min(crate::shm::header::CLASS_CEILING as u8) },
        epoch: words.shape.epoch.load(Relaxed),
        rejected: words.shape.rejected.load(Relaxed),
        rejected_bytes: words.shape.rejected_bytes.load(Relaxed),
        dropped: words.taking.dropped.load(Relaxed).wrapping_add(lapped::missed(&words)),
        sender_waits: waits(&*core.sender_wait(lane).ok()?, at_ns, owner != 0),
    })
}

fn receivers(core: &Core) -> Vec<u64> {
    let words: Vec<u64> = match core.readers() {
        Readers::One => vec![core.control.receiver.load(Relaxed)],
        Readers::Competing | Readers::Each => core.control.seats.iter().map(|seat| seat.load(Relaxed)).collect(),
    };
    words.into_iter().filter(|&word| word != 0 && word != RECEIVER_GONE).collect()
}

fn receiver_waits(core: &Core, at_ns: u64) -> WaitView {
    let seats = if core.readers() == Readers::One { 1 } else { SEATS };
    let points = (0..seats).filter_map(|seat| Some((core.receiver_waits(seat).ok()?, is_taken(core, seat))));
    points
        .map(|(point, is_attached)| waits(&point, at_ns, is_attached))
        .fold(WaitView::default(), |sum, one| sum.with(&one))
}

/// Whether a receiver has this seat.
fn is_taken(core: &Core, seat: usize) -> bool {
    let word = match core.readers() {
        Readers::One => &core.control.receiver,
        Readers::Competing | Readers::Each => &core.control.seats[seat],
    };
    !matches!(word.load(Relaxed), 0 | RECEIVER_GONE)
}

/// Who has died waits no more, although it says so still.
fn waits(point: &WaitPoint, at_ns: u64, is_attached: bool) -> WaitView {
    let counters = &point.counters;
    let since_ns = if is_attached { counters.waiting_since_ns.load(Relaxed) } else { 0 };
    let ongoing_ns = if since_ns == 0 { 0 } else { at_ns.saturating_sub(since_ns) };
    WaitView {
        waits: counters.waits.load(Relaxed),
        parks: counters.parks.load(Relaxed),
        wakes: point.event.wakes(),
        wait_ns: counters.wait_ns.load(Relaxed).saturating_add(ongoing_ns),
        ongoing_ns,
        waiting: u32::from(since_ns != 0),
        histogram: std::array::from_fn(|bucket| counters.histogram[bucket].load(Relaxed)),
    }
}
