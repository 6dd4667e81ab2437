//! A queue: any process puts, any process gets.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tidegate::channel::{Held, RecvError, SendError, TryRecvError, TrySendError};
use tidegate::control::{Controller, ControllerOptions, Weights};
use tidegate::{Channel, Receiver, Receivers, Sender};

use crate::codec::{Encoded, Message, PICKLE, Pickler, decode, encode, is_worth_keeping, timeout};
use crate::errors::{self, Empty, Full, PeerDied};
use crate::process::generation;

/// Between two looks for signals while a call waits.
const SLICE: Duration = Duration::from_millis(50);
/// How long a full ring is given to those who get, before a queue without a bound grows.
const PATIENCE: Duration = Duration::from_millis(20);
/// Longest message.
const MESSAGE_BYTES_MAX: u32 = 1 << 30;
/// Largest ring of a process that puts.
const RING_BYTES_MAX: u64 = 1 << 28;
const RING_BYTES: u64 = 1 << 16;
/// Blocks for messages longer than 16 KiB.
const BLOCKS: u32 = 256;
/// Longer ones lie in blocks.
const IN_RING_MAX: usize = 16 << 10;
/// Largest bound of a queue, as `SEM_VALUE_MAX` is for those of multiprocessing.
const SIZE_MAX: u64 = i32::MAX as u64;

/// A queue in shared memory.
#[pyclass(subclass, frozen, weakref, module = "tidegate._tidegate")]
pub(crate) struct Queue {
    attached: RwLock<Arc<Attached>>,
    pickler: Pickler,
    maxsize: u64,
    profile: Weights,
    raises_of_deaths: bool,
    deaths: AtomicU64,
    closed: AtomicBool,
}

/// What this process has of it.
struct Attached {
    generation: u32,
    channel: Channel,
    /// Of a queue with a bound: a message for each that may be put yet.
    room: Option<Channel>,
    sending: Mutex<Sending>,
    receiving: Mutex<Receiving>,
    controller: Mutex<Option<Controller>>,
}

#[derive(Default)]
struct Sending {
    sender: Option<Sender>,
    room: Option<Receiver>,
    /// Attached when all who got have left: what is put waits for the next.
    _keeper: Option<Receiver>,
    room_keeper: Option<Sender>,
    /// Messages received when the ring was found full and nobody got for a while.
    stuck_at: Option<u64>,
}

#[derive(Default)]
struct Receiving {
    receiver: Option<Receiver>,
    room: Option<Sender>,
    /// Attached when all who put have left: others may come.
    _keeper: Option<Sender>,
}

/// What a call that may have to wait comes to.
enum Waited {
    Done,
    Again,
}

/// A message that was received.
enum Next<T> {
    /// What was made of it where it lay.
    Made(T),
    Held(Held),
}

/// The next message: what `at_once` makes of it, if it is there already and that makes anything of it. `None` when it is too late.
fn next<T: Send>(
    py: Python<'_>,
    receiver: &mut Receiver,
    deadline: Deadline,
    at_once: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<Next<T>>, RecvError> {
    match receiver.try_recv() {
        Ok(guard) => {
            let made = at_once(&guard);
            return Ok(Some(made.map_or_else(|| Next::Held(guard.hold()), Next::Made)));
        }
        Err(TryRecvError::Empty) => {}
        Err(TryRecvError::PeerDied { pid }) => return Err(RecvError::PeerDied { pid }),
        Err(TryRecvError::Corrupt { lane, position, word }) => return Err(RecvError::Corrupt { lane, position, word }),
        Err(_) => return Err(RecvError::Disconnected),
    }
    let Some(slice) = deadline.slice() else { return Ok(None) };
    py.detach(|| receiver.recv_timeout(slice).map(|guard| Some(Next::Held(guard.hold()))))
}

impl Attached {
    fn create(maxsize: u64) -> PyResult<Self> {
        let options = Channel::options()
            .receivers(Receivers::Competing)
            .senders_max(64)
            .ring_bytes(RING_BYTES)
            .ring_bytes_max(RING_BYTES_MAX)
            .message_bytes_max(MESSAGE_BYTES_MAX)
            .blocks(BLOCKS);
        let channel = options.create_anonymous().map_err(errors::channel)?;
        let room = (maxsize > 0).then(|| make_room(maxsize)).transpose()?;
        Ok(Self::of(channel, room))
    }

    fn of(channel: Channel, room: Option<Channel>) -> Self {
        Self {
            generation: generation(),
            channel,
            room,
            sending: Mutex::default(),
            receiving: Mutex::default(),
            controller: Mutex::default(),
        }
    }

    /// Attaches to the memory that descriptors lead to, which stay the caller's.
    fn open(channel: BorrowedFd<'_>, room: Option<BorrowedFd<'_>>) -> PyResult<Self> {
        let open = |fd: BorrowedFd<'_>| -> PyResult<Channel> {
            Channel::from_fd(fd.try_clone_to_owned()?).map_err(errors::channel)
        };
        Ok(Self::of(open(channel)?, room.map(open).transpose()?))
    }
}

/// A channel that holds a message for each that may be put.
fn make_room(maxsize: u64) -> PyResult<Channel> {
    // A frame of a message without bytes takes 8.
    let ring_bytes = (maxsize * 16).next_power_of_two().max(1 << 12);
    let options = Channel::options().receivers(Receivers::Competing).senders_max(64).message_bytes_max(8).blocks(1);
    let room = options.ring_bytes(ring_bytes).ring_bytes_max(ring_bytes.max(1 << 24)).create_anonymous();
    let room = room.map_err(errors::channel)?;
    let mut sender = room.sender().map_err(errors::channel)?;
    for _ in 0..maxsize {
        sender.try_send(&[]).map_err(|error| PyValueError::new_err(format!("maxsize {maxsize}: {error}")))?;
    }
    Ok(room)
}

impl Sending {
    fn sender(&mut self, attached: &Attached) -> PyResult<&mut Sender> {
        if self.sender.is_none() {
            self.sender = Some(attached.channel.sender().map_err(errors::channel)?);
        }
        self.sender.as_mut().ok_or_else(|| PyRuntimeError::new_err("no sender"))
    }

    /// Puts the room back that was taken for a message that was not sent.
    fn put_room_back(&mut self, room: &Channel) -> PyResult<()> {
        if self.room_keeper.is_none() {
            self.room_keeper = Some(room.sender().map_err(errors::channel)?);
        }
        if let Some(sender) = &mut self.room_keeper {
            // There is room for all there are.
            let _nobody_else_puts = sender.try_send(&[]);
        }
        Ok(())
    }

    /// Asks for a larger ring, if that helps; whether it does.
    fn grow(&mut self, attached: &Attached, encoded: &Encoded) -> PyResult<bool> {
        let ring_bytes = self.sender(attached)?.ring_bytes();
        let goes_there = encoded.is_in_head() && encoded.len() <= IN_RING_MAX;
        Ok(goes_there && ring_bytes < RING_BYTES_MAX && attached.channel.resize(ring_bytes * 2).is_ok())
    }

    fn keep_receiving(&mut self, attached: &Attached) -> PyResult<()> {
        self._keeper = Some(attached.channel.receiver().map_err(errors::channel)?);
        Ok(())
    }
}

impl Receiving {
    fn receiver(&mut self, attached: &Attached) -> PyResult<&mut Receiver> {
        if self.receiver.is_none() {
            self.receiver = Some(attached.channel.receiver().map_err(errors::channel)?);
        }
        self.receiver.as_mut().ok_or_else(|| PyRuntimeError::new_err("no receiver"))
    }

    fn keep_sending(&mut self, attached: &Attached) -> PyResult<()> {
        self._keeper = Some(attached.channel.sender().map_err(errors::channel)?);
        Ok(())
    }

    /// Gives the room of a message back to those who put.
    fn give_room(&mut self, attached: &Attached) -> PyResult<()> {
        let Some(channel) = &attached.room else { return Ok(()) };
        if self.room.is_none() {
            self.room = Some(channel.sender().map_err(errors::channel)?);
        }
        let Some(sender) = &mut self.room else { return Ok(()) };
        // It has room for all there are. Whoever puts next has a receiver of its own, if none is there now.
        match sender.try_send(&[]) {
            Err(TrySendError::PeerDied { .. }) => drop(sender.try_send(&[])),
            _sent_or_nobody_puts => {}
        }
        Ok(())
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (maxsize=0, *, dumps, loads, profile="balanced", peer_death="raise", memory=None))]
    fn new(
        maxsize: i64,
        dumps: Py<PyAny>,
        loads: Py<PyAny>,
        profile: &str,
        peer_death: &str,
        memory: Option<(RawFd, Option<RawFd>)>,
    ) -> PyResult<Self> {
        let maxsize = u64::try_from(maxsize).unwrap_or(0);
        if maxsize > SIZE_MAX {
            return Err(PyValueError::new_err(format!("maxsize is {maxsize}, it must be at most {SIZE_MAX}")));
        }
        let raises_of_deaths = match peer_death {
            "raise" => true,
            "count" => false,
            _ => return Err(PyValueError::new_err(format!("peer_death is {peer_death:?}: \"raise\" or \"count\""))),
        };
        let profile = profile.parse().map_err(PyValueError::new_err)?;
        let attached = match memory {
            None => Attached::create(maxsize)?,
            Some((channel, room)) => {
                // SAFETY: the caller, `tidegate._context`, has them open until this returns.
                let borrow = |fd| unsafe { BorrowedFd::borrow_raw(fd) };
                Attached::open(borrow(channel), room.map(borrow))?
            }
        };
        Ok(Self {
            attached: RwLock::new(Arc::new(attached)),
            pickler: Pickler { dumps, loads },
            maxsize,
            profile,
            raises_of_deaths,
            deaths: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// Puts an object; waits for room as `block` and `timeout`, in seconds, say.
    #[pyo3(signature = (obj, block=true, timeout=None))]
    fn put(&self, py: Python<'_>, obj: &Bound<'_, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<()> {
        let attached = self.attached()?;
        let encoded = encode(obj, &self.pickler)?;
        let deadline = deadline(block, timeout)?;
        self.send(py, &attached, &encoded, deadline)
    }

    /// Puts an object if there is room now.
    fn put_nowait(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put(py, obj, false, None)
    }

    /// Gets the next object; waits for one as `block` and `timeout`, in seconds, say.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let attached = self.attached()?;
        let deadline = deadline(block, timeout)?;
        self.receive(py, &attached, deadline)
    }

    /// Gets the next object if there is one now.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.get(py, false, None)
    }

    /// Puts each of several objects, in their order. Where it fails, those before were put.
    #[pyo3(signature = (objects, block=true, timeout=None))]
    fn put_many(
        &self,
        py: Python<'_>,
        objects: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let attached = self.attached()?;
        let deadline = deadline(block, timeout)?;
        let mut put = 0;
        for object in objects.try_iter()? {
            self.send(py, &attached, &encode(&object?, &self.pickler)?, deadline)?;
            put += 1;
        }
        Ok(put)
    }

    /// Gets up to `most` objects: waits for the first as `get` does, and takes what else is there.
    #[pyo3(signature = (most, block=true, timeout=None))]
    fn get_many(&self, py: Python<'_>, most: usize, block: bool, timeout: Option<f64>) -> PyResult<Py<PyList>> {
        let attached = self.attached()?;
        let objects = PyList::empty(py);
        if most > 0 {
            objects.append(self.receive(py, &attached, deadline(block, timeout)?)?)?;
        }
        while objects.len() < most {
            match self.receive(py, &attached, Deadline::Now) {
                Ok(object) => objects.append(object)?,
                Err(error) if error.is_instance_of::<Empty>(py) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(objects.unbind())
    }

    /// Objects put and not yet got.
    fn qsize(&self) -> PyResult<u64> {
        Ok(self.attached()?.channel.len())
    }

    /// Whether there is nothing to get now.
    fn empty(&self) -> PyResult<bool> {
        Ok(self.attached()?.channel.is_empty())
    }

    /// Whether as many objects are in it as it may hold.
    fn full(&self) -> PyResult<bool> {
        Ok(self.maxsize > 0 && self.qsize()? >= self.maxsize)
    }

    /// This process neither puts nor gets any more.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.detach();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[getter]
    fn maxsize(&self) -> u64 {
        self.maxsize
    }

    /// Processes at the other end that died, as far as this one was told.
    #[getter]
    fn peers_died(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Gives up this process's places in the queue, without which its end would pass for a death.
    fn detach(&self) {
        let attached = self.attached.read();
        if attached.generation == generation() {
            drop(attached.controller.lock().take());
            *attached.sending.lock() = Sending::default();
            *attached.receiving.lock() = Receiving::default();
        }
    }

    /// Descriptors of the memory, for a child that is being started.
    fn memory(&self) -> PyResult<(RawFd, Option<RawFd>)> {
        let attached = self.attached()?;
        let number = |channel: &Channel| channel.as_fd().as_raw_fd();
        Ok((number(&attached.channel), attached.room.as_ref().map(number)))
    }

    /// What the queue has carried and how it waits.
    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let view = self.attached()?.channel.view();
        let sum =
            |count: fn(&tidegate::channel::LaneView) -> u64| view.lanes.iter().map(count).fold(0, u64::saturating_add);
        let stats = PyDict::new(py);
        stats.set_item("put", sum(|lane| lane.sent_messages))?;
        stats.set_item("got", sum(|lane| lane.received_messages))?;
        stats.set_item("put_bytes", sum(|lane| lane.sent_bytes))?;
        stats.set_item("backlog_bytes", view.backlog_bytes())?;
        stats.set_item("capacity_bytes", view.ring_bytes())?;
        stats.set_item("stalls", sum(|lane| lane.sender_waits.waits))?;
        stats.set_item("put_wait_seconds", view.sender_waits().wait_ns as f64 / 1e9)?;
        stats.set_item("get_wait_seconds", view.receiver_waits.wait_ns as f64 / 1e9)?;
        stats.set_item("wait_strategy", view.strategy.to_string())?;
        stats.set_item("putters", view.lanes.iter().filter_map(|lane| lane.sender_pid).collect::<Vec<u32>>())?;
        stats.set_item("getters", view.receiver_pids)?;
        stats.set_item("peers_died", self.peers_died())?;
        Ok(stats.unbind())
    }

    /// The decisions of this process's controller as JSON, a line each.
    fn decision_lines(&self) -> PyResult<Vec<String>> {
        let attached = self.attached()?;
        let controller = attached.controller.lock();
        let Some(state) = controller.as_ref().map(Controller::state) else { return Ok(Vec::new()) };
        let journal = state.journal.lock();
        let line =
            |decision| serde_json::to_string(decision).map_err(|error| PyRuntimeError::new_err(error.to_string()));
        journal.decisions().map(line).collect()
    }

    /// Starts a controller, which resizes rings and switches how processes wait, if nobody has one.
    fn control(&self, name: &str) -> PyResult<bool> {
        let attached = self.attached()?;
        let mut controller = attached.controller.lock();
        if controller.is_some() || attached.channel.try_steer().is_err() {
            return Ok(controller.is_some());
        }
        let options = ControllerOptions { weights: self.profile, ..ControllerOptions::default() };
        *controller = Some(Controller::start(&attached.channel, name, options));
        Ok(true)
    }
}

/// Until when a call waits.
#[derive(Clone, Copy)]
enum Deadline {
    Now,
    At(Instant),
    Never,
}

fn deadline(block: bool, seconds: Option<f64>) -> PyResult<Deadline> {
    match seconds {
        _ if !block => Ok(Deadline::Now),
        None => Ok(Deadline::Never),
        Some(seconds) => {
            let at = Instant::now().checked_add(timeout(seconds)?);
            Ok(at.map_or(Deadline::Never, Deadline::At))
        }
    }
}

impl Deadline {
    /// How long to wait before signals are looked for; `None` when it is over.
    fn slice(self) -> Option<Duration> {
        match self {
            Self::Now => None,
            Self::Never => Some(SLICE),
            Self::At(at) => {
                let left = at.saturating_duration_since(Instant::now());
                (!left.is_zero()).then_some(left.min(SLICE))
            }
        }
    }
}

/// Locks without holding the interpreter up.
fn lock<'a, T: Send>(py: Python<'_>, mutex: &'a Mutex<T>, deadline: Deadline) -> PyResult<Option<MutexGuard<'a, T>>> {
    if let Some(guard) = mutex.try_lock() {
        return Ok(Some(guard));
    }
    while let Some(slice) = deadline.slice() {
        if let Some(guard) = py.detach(|| mutex.try_lock_for(slice)) {
            return Ok(Some(guard));
        }
        py.check_signals()?;
    }
    Ok(None)
}

impl Queue {
    /// What this process has of the queue; attached anew in a child that was forked.
    pub(crate) fn attached_channel(&self) -> PyResult<Channel> {
        Ok(self.attached()?.channel.clone())
    }

    /// What this process's controller sees and does.
    pub(crate) fn controller_state(&self) -> PyResult<Option<Arc<tidegate::control::ControllerState>>> {
        Ok(self.attached()?.controller.lock().as_ref().map(Controller::state))
    }

    fn attached(&self) -> PyResult<Arc<Attached>> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(PyValueError::new_err("the queue is closed"));
        }
        let attached = self.attached.read();
        if attached.generation == generation() {
            return Ok(Arc::clone(&attached));
        }
        let own = Attached::open(attached.channel.as_fd(), attached.room.as_ref().map(AsFd::as_fd))?;
        drop(attached);
        let own = Arc::new(own);
        // The parent's is forgotten: its locks may be held by threads that are not here.
        std::mem::forget(std::mem::replace(&mut *self.attached.write(), Arc::clone(&own)));
        Ok(own)
    }

    /// Tells of a death, or only counts it.
    fn died(&self, pid: u32) -> PyResult<()> {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        if self.raises_of_deaths { Err(PeerDied::new_err(pid)) } else { Ok(()) }
    }

    fn send(&self, py: Python<'_>, attached: &Attached, encoded: &Encoded, deadline: Deadline) -> PyResult<()> {
        let full = || Full::new_err(());
        let mut sending = lock(py, &attached.sending, deadline)?.ok_or_else(full)?;
        let Some(room) = &attached.room else { return self.send_now(py, attached, &mut sending, encoded, deadline) };
        if !self.take_room(py, room, &mut sending, deadline)? {
            return Err(full());
        }
        let sent = self.send_now(py, attached, &mut sending, encoded, deadline);
        if sent.is_err() {
            sending.put_room_back(room)?;
        }
        sent
    }

    fn send_now(
        &self,
        py: Python<'_>,
        attached: &Attached,
        sending: &mut Sending,
        encoded: &Encoded,
        deadline: Deadline,
    ) -> PyResult<()> {
        loop {
            if let Waited::Done = self.try_send(py, attached, sending, encoded)? {
                return Ok(());
            }
            let Some(slice) = deadline.slice() else {
                // There is room by the count of objects, or no bound: it is the ring that is too small.
                if sending.grow(attached, encoded)? {
                    continue;
                }
                return Err(Full::new_err(()));
            };
            self.wait_for_room(py, attached, sending, encoded, slice)?;
            py.check_signals()?;
        }
    }

    /// Takes a message out of the channel of those that may be put.
    fn take_room(
        &self,
        py: Python<'_>,
        channel: &Channel,
        sending: &mut Sending,
        deadline: Deadline,
    ) -> PyResult<bool> {
        loop {
            if sending.room.is_none() {
                sending.room = Some(channel.receiver().map_err(errors::channel)?);
            }
            let Some(receiver) = &mut sending.room else { return Ok(false) };
            match next(py, receiver, deadline, |_| Some(())) {
                Ok(None) => return Ok(false),
                Ok(Some(_)) => return Ok(true),
                Err(RecvError::Stalled) => py.check_signals()?,
                // Who got has left; others will.
                Err(RecvError::Disconnected) => {
                    sending.room_keeper = Some(channel.sender().map_err(errors::channel)?);
                }
                Err(RecvError::PeerDied { pid }) => self.died(pid)?,
                Err(other) => return Err(errors::TidegateError::new_err(other.to_string())),
            }
        }
    }

    fn try_send(
        &self,
        py: Python<'_>,
        attached: &Attached,
        sending: &mut Sending,
        encoded: &Encoded,
    ) -> PyResult<Waited> {
        loop {
            let sender = sending.sender(attached)?;
            let sent = if encoded.is_in_head() && encoded.len() <= IN_RING_MAX {
                sender.try_send(&encoded.head)
            } else {
                // The reference of a loan takes room in the ring, too.
                match sender.loan_timeout(encoded.len(), Duration::ZERO) {
                    Ok(mut loan) => {
                        encoded.write(py, &mut loan)?;
                        sender.try_send_loan(loan).map_err(|refused| refused.error)
                    }
                    Err(error) => Err(not_now(error)),
                }
            };
            match sent {
                Ok(()) => {
                    sending.stuck_at = None;
                    return Ok(Waited::Done);
                }
                Err(TrySendError::Full) => return Ok(Waited::Again),
                // Whoever gets may come yet.
                Err(TrySendError::Disconnected) => sending.keep_receiving(attached)?,
                Err(TrySendError::PeerDied { pid }) => self.died(pid)?,
                Err(error @ (TrySendError::TooLong { .. } | TrySendError::NoMemory { .. })) => {
                    return Err(PyValueError::new_err(error.to_string()));
                }
                Err(other) => return Err(errors::TidegateError::new_err(other.to_string())),
            }
        }
    }

    /// Waits until somebody gets, or makes larger rings where nobody does.
    fn wait_for_room(
        &self,
        py: Python<'_>,
        attached: &Attached,
        sending: &mut Sending,
        encoded: &Encoded,
        slice: Duration,
    ) -> PyResult<()> {
        let got = || attached.channel.view().lanes.iter().map(|lane| lane.received_messages).sum::<u64>();
        let before = got();
        if sending.stuck_at != Some(before) {
            sending.stuck_at = None;
            let patience = slice.min(PATIENCE);
            let waiting = Instant::now();
            py.detach(|| {
                while got() == before && waiting.elapsed() < patience {
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
            if got() != before || patience < PATIENCE {
                return Ok(());
            }
            sending.stuck_at = Some(before);
        }
        if !sending.grow(attached, encoded)? {
            py.detach(|| std::thread::sleep(slice.min(PATIENCE)));
        }
        Ok(())
    }

    fn receive(&self, py: Python<'_>, attached: &Attached, deadline: Deadline) -> PyResult<Py<PyAny>> {
        let empty = || Empty::new_err(());
        let mut receiving = lock(py, &attached.receiving, deadline)?.ok_or_else(empty)?;
        loop {
            let at_once = |message: &[u8]| {
                let is_pickle = message.first() == Some(&PICKLE);
                (!is_pickle).then(|| decode(py, Message::Lent(message), &self.pickler))
            };
            match next(py, receiving.receiver(attached)?, deadline, at_once) {
                Ok(None) => return Err(empty()),
                Ok(Some(Next::Made(object))) => {
                    receiving.give_room(attached)?;
                    return object;
                }
                Ok(Some(Next::Held(held))) => {
                    receiving.give_room(attached)?;
                    // Unpickling runs code, which may get from this queue.
                    drop(receiving);
                    return self.object(py, held);
                }
                Err(RecvError::Stalled) => py.check_signals()?,
                Err(RecvError::Disconnected) => receiving.keep_sending(attached)?,
                Err(RecvError::PeerDied { pid }) => self.died(pid)?,
                Err(other) => return Err(errors::TidegateError::new_err(other.to_string())),
            }
        }
    }

    fn object(&self, py: Python<'_>, held: Held) -> PyResult<Py<PyAny>> {
        if is_worth_keeping(&held) {
            return decode(py, Message::Kept(held), &self.pickler);
        }
        decode(py, Message::Lent(&held), &self.pickler)
    }
}

/// The same of a call that does not wait.
fn not_now(error: SendError) -> TrySendError {
    match error {
        SendError::Stalled => TrySendError::Full,
        SendError::PeerDied { pid } => TrySendError::PeerDied { pid },
        SendError::NoMemory { bytes } => TrySendError::NoMemory { bytes },
        SendError::TooLong { bytes, max } => TrySendError::TooLong { bytes, max },
        _ => TrySendError::Disconnected,
    }
}
