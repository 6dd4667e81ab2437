//! The handle on a channel, and what its endpoints share.

use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::channel::error::{ChannelError, TryRecvError};
use crate::channel::layout::{self, ABI_HASH};
use crate::channel::options::{ChannelOptions, CheckedOptions};
use crate::channel::slab::Slab;
use crate::channel::{Receiver, Sender};
use crate::prim::Ordering::{Acquire, Relaxed};
use crate::ring::layout::Lane;
use crate::ring::{Readers, RingCorrupt, WhenFull};
use crate::shm::ShmError;
use crate::shm::directory::{HostDirectory, NameEntry, check_name};
use crate::shm::header::{self, Geometry};
use crate::shm::layout::{ControlWords, SEATS};
use crate::shm::locks;
use crate::shm::participants::{Membership, ParticipantTable, Role};
use crate::shm::segment::{Segment, reopened};
use crate::shm::window::{Shared, SharedLayout, Window};
use crate::sync::wait::{self, WaitPoint, WaitStrategy};

/// A handle on a channel: many senders, one receiver or many, in any processes of one user on one host.
///
/// The channel lives as long as a handle or an endpoint of it does, in whichever process; messages that nobody has
/// received go with the last. Clones are cheap and share the mapping.
///
/// ```
/// use tidegate::ChannelOptions;
///
/// let channel = ChannelOptions::default().create_anonymous()?;
/// let mut sender = channel.sender()?;
/// let mut receiver = channel.receiver()?;
/// sender.send(b"hello")?;
/// assert_eq!(&*receiver.recv()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Channel {
    pub(crate) core: Arc<Core>,
}

/// One mapping of a channel, shared by the handles and endpoints made from it.
pub(crate) struct Core {
    // Dropped in this order: the name first, so that nobody finds a channel that is about to go.
    _name: Option<NameEntry>,
    pub(crate) membership: Membership,
    pub(crate) participants: ParticipantTable,
    pub(crate) segment: Arc<Segment>,
    pub(crate) control: Shared<ControlWords>,
    /// Where receivers wait.
    pub(crate) receiver_wait: Shared<WaitPoint>,
    pub(crate) geometry: Geometry,
    pub(crate) slab: Arc<Slab>,
    /// What senders write is mapped to be read only: see [`Channel::open_to_receive`].
    pub(crate) is_guarded: bool,
    /// Threads share the descriptor that holds the structure lock, so they take turns here first.
    turn: Mutex<()>,
}

/// The right to change the channel's structure; given back on drop, or by the kernel on death.
#[derive(Debug)]
pub(crate) struct StructureLock<'a> {
    core: &'a Core,
    _turn: MutexGuard<'a, ()>,
}

impl Channel {
    /// Options to create a channel with.
    pub fn options() -> ChannelOptions {
        ChannelOptions::default()
    }

    /// Opens the channel that a living process of this user holds under `name`.
    ///
    /// # Errors
    /// [`ShmError::NotFound`], or an error that says why what was found is not trusted.
    pub fn open(name: &str) -> Result<Self, ChannelError> {
        let (segment, geometry, entry) = Self::find(name)?;
        Self::assemble(segment, geometry, Some(entry), false)
    }

    /// Opens the channel of that name to receive only, with what its senders write mapped read-only: rings, blocks, and the
    /// words that say how far each sender is. So nothing in this process can change a message that others receive, or set a
    /// sender back, by mistake: the CPU refuses the write, and the kernel ends the process (SIGSEGV). What receivers write
    /// lies on other pages. `SECURITY.md` says what that does not promise.
    ///
    /// ```
    /// use tidegate::{Channel, Receivers};
    ///
    /// # let name = format!("prices-{}", std::process::id());
    /// let channel = Channel::options().receivers(Receivers::Each).create(&name)?;
    /// let mut sender = channel.sender()?;
    /// let display = Channel::open_to_receive(&name)?; // in another process, as a rule
    /// let mut receiver = display.receiver()?;
    /// sender.send(b"17.25")?;
    /// assert_eq!(*receiver.recv()?, *b"17.25");
    /// assert!(display.sender().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Channel::open`]; [`ChannelError::ReceiveOnly`] where receivers must write what senders do: where they
    /// compete, where messages are in one order, and where senders drop the oldest.
    pub fn open_to_receive(name: &str) -> Result<Self, ChannelError> {
        let (segment, geometry, entry) = Self::find(name)?;
        let why = match geometry {
            Geometry { when_full: 1.., .. } => Some("its receivers take turns with senders that drop messages"),
            Geometry { receivers: 1, .. } => Some("its receivers compete, and mark what they have taken"),
            Geometry { order: 1.., .. } => Some("its receivers give up what dead senders have claimed"),
            _ => None,
        };
        if let Some(why) = why {
            return Err(ChannelError::ReceiveOnly { why });
        }
        if segment.len() == layout::segment_bytes(geometry) {
            for range in layout::written_by_senders(geometry) {
                segment.protect(range)?;
            }
        }
        Self::assemble(segment, geometry, Some(entry), true)
    }

    fn find(name: &str) -> Result<(Arc<Segment>, Geometry, NameEntry), ChannelError> {
        let directory = HostDirectory::of_user()?;
        let segment = Arc::new(Segment::attach(directory.open(name)?, layout::CONTROL_OFFSET)?);
        let (geometry, _id) = header::check(&segment, name, ABI_HASH)?;
        let entry = directory.join(name, &segment)?;
        Ok((segment, geometry, entry))
    }

    /// Opens the channel in `memory`: a descriptor that a handle lent (`AsFd`), which came to this process by inheritance or over a
    /// Unix socket (`SCM_RIGHTS`, unix(7)). So a channel without a name reaches other processes.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use tidegate::Channel;
    ///
    /// let channel = Channel::options().create_anonymous()?;
    /// let descriptor = channel.as_fd().try_clone_to_owned()?; // in another process, as a rule
    /// let same = Channel::from_fd(descriptor)?;
    /// let (mut sender, mut receiver) = (same.sender()?, channel.receiver()?);
    /// sender.send(b"over there")?;
    /// assert_eq!(&*receiver.recv()?, b"over there");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What is in it is no channel, of another version, or not trusted.
    pub fn from_fd(memory: OwnedFd) -> Result<Self, ChannelError> {
        let segment = Arc::new(Segment::attach(reopened(&memory)?, layout::CONTROL_OFFSET)?);
        let (geometry, _id) = header::check(&segment, "", ABI_HASH)?;
        Self::assemble(segment, geometry, None, false)
    }

    /// Names of the channels of this user that living processes hold, sorted.
    ///
    /// # Errors
    /// The host directory cannot be read or trusted.
    pub fn names() -> Result<Vec<String>, ChannelError> {
        Ok(HostDirectory::of_user()?.names()?)
    }

    pub(crate) fn create_checked(name: Option<&str>, options: CheckedOptions) -> Result<Self, ChannelError> {
        name.map_or(Ok(()), check_name)?;
        let bytes = layout::segment_bytes(options.geometry);
        let segment = Arc::new(Segment::create(&format!("tidegate:{}", name.unwrap_or("anonymous")), bytes)?);
        segment.back(0, layout::area_offset(options.geometry, 0))?;
        header::write(&segment, options.geometry, ABI_HASH)?;
        let control: Shared<ControlWords> = words_at(&segment, layout::CONTROL_OFFSET)?;
        control.ring_class.store(u64::from(options.ring_class), Relaxed);
        let entry = name.map(|name| HostDirectory::of_user()?.create(name, &segment)).transpose()?;
        Self::assemble(segment, options.geometry, entry, false)
    }

    fn assemble(
        segment: Arc<Segment>,
        geometry: Geometry,
        name: Option<NameEntry>,
        is_guarded: bool,
    ) -> Result<Self, ChannelError> {
        if segment.len() != layout::segment_bytes(geometry) {
            let limit = layout::segment_bytes(geometry) as u64;
            return Err(ShmError::Corrupt { what: "segment length", value: segment.len() as u64, limit }.into());
        }
        wait::know_this_machine();
        let participants = ParticipantTable::of(&segment)?;
        let slab =
            Slab::of(&segment, geometry, words_at(&segment, layout::SLAB_OFFSET)?, layout::blocks_offset(geometry));
        let core = Core {
            _name: name,
            membership: participants.join(Role::Handle)?,
            slab: Arc::new(slab.ok_or_else(|| too_short(&segment))?),
            control: words_at(&segment, layout::CONTROL_OFFSET)?,
            receiver_wait: words_at(&segment, layout::receiver_wait_offset(0))?,
            participants,
            segment,
            geometry,
            is_guarded,
            turn: Mutex::new(()),
        };
        Ok(Self { core: Arc::new(core) })
    }

    /// Attaches a sender. Its messages arrive in the order it sent them; those of different senders interleave, unless the
    /// channel was created for one order ([`crate::channel::Order::Global`]).
    ///
    /// # Errors
    /// [`ChannelError::TooManySenders`], or memory for its ring cannot be had; [`ChannelError::ReceiveOnly`] of a handle that
    /// was opened so.
    pub fn sender(&self) -> Result<Sender, ChannelError> {
        if self.core.is_guarded {
            return Err(ChannelError::ReceiveOnly { why: "a sender writes" });
        }
        Sender::attach(&self.core)
    }

    /// Attaches a receiver. An only one goes on after the last message that an earlier one released; of those that compete it
    /// takes what is next; where each gets every message, it gets those that are sent from now on.
    ///
    /// # Errors
    /// [`ChannelError::ReceiverTaken`] while an only one lives, [`ChannelError::TooManyReceivers`] while 16 do.
    pub fn receiver(&self) -> Result<Receiver, ChannelError> {
        Receiver::attach(&self.core)
    }

    /// How endpoints of this channel wait now.
    pub fn wait_strategy(&self) -> WaitStrategy {
        WaitStrategy::from_word(self.core.control.strategy.load(Relaxed))
    }

    /// Changes how endpoints wait, in every process, also for those that wait right now.
    pub fn set_wait_strategy(&self, strategy: WaitStrategy) {
        self.core.control.strategy.store(strategy.to_word(), Relaxed);
        self.core.receiver_wait.event.wake_all();
        self.core.wake_senders();
    }

    /// Bytes of memory behind the channel now: its control words and every ring in use.
    ///
    /// # Errors
    /// The kernel does not tell (`fstat(2)`).
    pub fn resident_bytes(&self) -> Result<u64, ChannelError> {
        Ok(self.core.segment.resident_bytes()?)
    }
}

/// The memory, to be lent to other processes: see [`Channel::from_fd`]. It is closed on `execve(2)`.
impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.segment.as_fd()
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

impl Core {
    /// Lanes that have a ring.
    pub(crate) fn lanes_used(&self) -> usize {
        // Edge `lane-founded`, reading end: the lanes counted have their rings. Untrusted: clamped.
        let used = self.control.lanes_used.load(Acquire);
        used.min(u64::from(self.geometry.lanes_max)) as usize
    }

    pub(crate) fn lane(&self, lane: usize) -> Result<Lane, ShmError> {
        let sides = words_at(&self.segment, layout::sides_offset(self.geometry, lane))?;
        Ok(Lane::new(words_at(&self.segment, layout::lane_offset(lane))?, sides))
    }

    /// Where the waits of the receiver in `seat` are booked.
    pub(crate) fn receiver_waits(&self, seat: usize) -> Result<Shared<WaitPoint>, ShmError> {
        words_at(&self.segment, layout::receiver_wait_offset(seat))
    }

    /// How receivers share the messages.
    pub(crate) fn readers(&self) -> Readers {
        match self.geometry.receivers {
            // A sender that drops messages takes turns with the receiver, which thus has a seat, the only one.
            0 if self.when_full() == WhenFull::Wait => Readers::One,
            0 | 1 => Readers::Competing,
            _ => Readers::Each,
        }
    }

    /// Seats there are for receivers.
    pub(crate) fn seats(&self) -> usize {
        if self.geometry.receivers == 0 { 1 } else { SEATS }
    }

    /// What a sender does that finds no room.
    pub(crate) fn when_full(&self) -> WhenFull {
        if self.geometry.when_full == 0 { WhenFull::Wait } else { WhenFull::DropOldest }
    }

    /// Where the sender of `lane` waits.
    pub(crate) fn sender_wait(&self, lane: usize) -> Result<Shared<WaitPoint>, ShmError> {
        words_at(&self.segment, layout::sender_wait_offset(self.geometry, lane))
    }

    /// Wakes the senders that wait, for a block perhaps.
    pub(crate) fn notify_senders(&self) {
        for lane in 0..self.lanes_used() {
            if let Ok(point) = self.sender_wait(lane) {
                point.event.notify();
            }
        }
    }

    /// Wakes every sender, also those that attached since the receiver last looked.
    pub(crate) fn wake_senders(&self) {
        for lane in 0..self.lanes_used() {
            if let Ok(point) = self.sender_wait(lane) {
                point.event.wake_all();
            }
        }
    }

    pub(crate) fn area(&self, lane: usize) -> Result<Window, ShmError> {
        let offset = layout::area_offset(self.geometry, lane);
        Window::at(&self.segment, offset, layout::area_bytes(self.geometry)).ok_or_else(|| too_short(&self.segment))
    }

    pub(crate) fn classes(&self) -> RangeInclusive<u8> {
        self.geometry.class_min as u8..=self.geometry.class_max as u8
    }

    /// Class of the rings that the plan asks for.
    pub(crate) fn ring_class(&self) -> u8 {
        let classes = self.classes();
        (self.control.ring_class.load(Relaxed) as u8).clamp(*classes.start(), *classes.end())
    }

    /// Gives memory to the ring of `class`.
    pub(crate) fn back_ring(&self, lane: usize, class: u8) -> Result<(), ShmError> {
        self.segment.back(layout::area_offset(self.geometry, lane) + (1 << class), 1 << class)
    }

    /// Takes it back.
    pub(crate) fn release_ring(&self, lane: usize, class: u8) -> Result<(), ShmError> {
        self.segment.release(layout::area_offset(self.geometry, lane) + (1 << class), 1 << class)
    }

    pub(crate) fn lock_structure(&self) -> Result<StructureLock<'_>, ShmError> {
        self.participants.check_not_forked()?;
        let turn = self.turn.lock();
        locks::lock(&*self.segment, locks::STRUCTURE)?;
        Ok(StructureLock { core: self, _turn: turn })
    }

    /// The structure lock, if nobody has it.
    pub(crate) fn try_lock_structure(&self) -> Result<Option<StructureLock<'_>>, ShmError> {
        self.participants.check_not_forked()?;
        let Some(turn) = self.turn.try_lock() else { return Ok(None) };
        let locked = locks::try_lock(&*self.segment, locks::STRUCTURE)?;
        Ok(locked.then(|| StructureLock { core: self, _turn: turn }))
    }
}

impl Drop for StructureLock<'_> {
    fn drop(&mut self) {
        let _unlock_fails_only_if_the_descriptor_is_gone = locks::unlock(&*self.core.segment, locks::STRUCTURE);
    }
}

impl ChannelError {
    pub(crate) fn corrupt(lane: usize, found: RingCorrupt) -> Self {
        Self::Corrupt { lane, position: found.position, word: found.word }
    }
}

impl TryRecvError {
    pub(crate) fn corrupt(lane: usize, found: RingCorrupt) -> Self {
        Self::Corrupt { lane, position: found.position, word: found.word }
    }
}

fn words_at<T: SharedLayout>(segment: &Arc<Segment>, offset: usize) -> Result<Shared<T>, ShmError> {
    Shared::at(segment, offset).ok_or_else(|| too_short(segment))
}

fn too_short(segment: &Segment) -> ShmError {
    ShmError::Corrupt { what: "segment length", value: segment.len() as u64, limit: u64::MAX }
}
