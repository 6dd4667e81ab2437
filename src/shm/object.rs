//! A segment of its own for a small thing that processes share by name: all but its words.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::shm::directory::{HostDirectory, NameEntry, check_name};
use crate::shm::error::ShmError;
use crate::shm::header;
use crate::shm::layout::{Kind, UPPER_OFFSET};
use crate::shm::participants::{Membership, ParticipantTable, Role};
use crate::shm::segment::{Segment, reopened};
use crate::shm::window::{Shared, SharedLayout};

/// One mapping of it.
#[derive(Debug)]
pub(crate) struct Object {
    // Dropped in this order: the name first, so that nobody finds what is about to go.
    _name: Option<NameEntry>,
    membership: Membership,
    participants: ParticipantTable,
    pub(crate) segment: Arc<Segment>,
}

impl Object {
    /// Creates a segment whose words, at [`UPPER_OFFSET`], are `bytes` long, under `name` if it has one. They are 0, and
    /// `fill` changes them before anybody can find them.
    pub(crate) fn create(
        name: Option<&str>,
        (kind, size, abi_hash): (Kind, u32, u64),
        bytes: usize,
        fill: impl FnOnce(&Arc<Segment>) -> Result<(), ShmError>,
    ) -> Result<Self, ShmError> {
        name.map_or(Ok(()), check_name)?;
        let label = format!("tidegate-{}:{}", kind.name(), name.unwrap_or("anonymous"));
        let bytes = (UPPER_OFFSET + bytes).next_multiple_of(rustix::param::page_size());
        let segment = Arc::new(Segment::create(&label, bytes)?);
        segment.back(0, bytes)?;
        header::write_common(&segment, kind, size, abi_hash)?;
        fill(&segment)?;
        let entry = name.map(|name| HostDirectory::of_user()?.create(name, &segment)).transpose()?;
        Self::assemble(segment, entry)
    }

    /// Opens the segment of that kind that a living process of this user holds under `name`, and yields its size.
    pub(crate) fn open(name: &str, (kind, abi_hash): (Kind, u64)) -> Result<(Self, u32), ShmError> {
        let directory = HostDirectory::of_user()?;
        let segment = Arc::new(Segment::attach(directory.open(name)?, UPPER_OFFSET)?);
        let size = header::check_common(&segment, name, kind, abi_hash)?;
        let entry = directory.join(name, &segment)?;
        Ok((Self::assemble(segment, Some(entry))?, size))
    }

    /// Attaches to the segment of that kind in `memory`, and yields its size.
    pub(crate) fn from_fd(memory: &OwnedFd, (kind, abi_hash): (Kind, u64)) -> Result<(Self, u32), ShmError> {
        let segment = Arc::new(Segment::attach(reopened(memory)?, UPPER_OFFSET)?);
        let size = header::check_common(&segment, "", kind, abi_hash)?;
        Ok((Self::assemble(segment, None)?, size))
    }

    fn assemble(segment: Arc<Segment>, name: Option<NameEntry>) -> Result<Self, ShmError> {
        let participants = ParticipantTable::of(&segment)?;
        let membership = participants.join(Role::Handle)?;
        Ok(Self { _name: name, membership, participants, segment })
    }

    /// Its words.
    pub(crate) fn words<T: SharedLayout>(&self) -> Result<Shared<T>, ShmError> {
        let length = self.segment.len() as u64;
        Shared::at(&self.segment, UPPER_OFFSET).ok_or(ShmError::Corrupt {
            what: "segment length",
            value: length,
            limit: u64::MAX,
        })
    }

    /// The seat of this mapping among all who take part.
    pub(crate) fn seat(&self) -> u64 {
        self.membership.seat()
    }

    /// Refuses a process that has the mapping only through `fork`, and says whose it is.
    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<(), u32> {
        if self.membership.is_inherited() { Err(self.membership.pid()) } else { Ok(()) }
    }

    /// The process of the participant in that seat, or 0 if it is not known any more, if the participant is proven dead.
    pub(crate) fn sweep_seat(&self, seat: u64) -> Option<u32> {
        self.participants.sweep_seat(seat)
    }
}
