//! A queue: any process puts, any process gets.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tidegate::Channel;
use tidegate::control::{Controller, ControllerOptions, Weights};

use crate::attached::{Attached, Receiving, Sending};
use crate::codec::{Pickler, encode};
use crate::errors::Empty;
use crate::process::generation;
use crate::waiting::{Deadline, deadline};

/// Largest bound of a queue, as `SEM_VALUE_MAX` is for those of multiprocessing.
const SIZE_MAX: u64 = i32::MAX as u64;

/// A queue in shared memory.
#[pyclass(subclass, frozen, weakref, module = "tidegate._tidegate")]
pub(crate) struct Queue {
    attached: RwLock<Arc<Attached>>,
    pub(crate) pickler: Pickler,
    maxsize: u64,
    profile: Weights,
    pub(crate) raises_of_deaths: bool,
    pub(crate) deaths: AtomicU64,
    closed: AtomicBool,
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
}
