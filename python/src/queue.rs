//! A queue: any process puts, any process gets.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use tidegate::Channel;
use tidegate::control::{Controller, ControllerOptions, ControllerState, ForecastModel, Weights};

use crate::array::NumPy;
use crate::attached::Attached;
use crate::codec::{Pickler, encode};
use crate::errors::{self, Empty};
use crate::memory::{HEAD_BYTES, Lent, Memory};
use crate::process::PerProcess;
use crate::waiting::{Deadline, deadline};

/// Largest bound of a queue, as `SEM_VALUE_MAX` is for those of multiprocessing.
const SIZE_MAX: u64 = i32::MAX as u64;

/// A queue in shared memory. It is none before it was opened.
#[pyclass(subclass, frozen, weakref, module = "tidegate._tidegate")]
pub(crate) struct Queue {
    attached: PerProcess<Attached>,
    settings: OnceLock<Settings>,
    pub(crate) pickler: Pickler,
    pub(crate) deaths: AtomicU64,
    closed: AtomicBool,
    /// An error that a call met that had objects to hand over: the next call tells it.
    untold: Mutex<Option<PyErr>>,
}

struct Settings {
    maxsize: u64,
    profile: Weights,
    raises_of_deaths: bool,
    model: ForecastModel,
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_args, **_named))]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let pickle = py.import("tidegate._pickle")?;
        let pickler = Pickler {
            dumps: pickle.getattr("dumps")?.unbind(),
            loads: pickle.getattr("loads")?.unbind(),
            numpy: NumPy::default(),
        };
        Ok(Self {
            attached: PerProcess::default(),
            settings: OnceLock::new(),
            pickler,
            deaths: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            untold: Mutex::default(),
        })
    }

    /// Makes the queue, or attaches to the memory of one, which stays the caller's.
    #[pyo3(name = "_open", signature = (maxsize, profile, peer_death, model, memory))]
    fn open(
        &self,
        maxsize: i64,
        profile: &str,
        peer_death: &str,
        model: Option<PathBuf>,
        memory: Option<(RawFd, Option<RawFd>)>,
    ) -> PyResult<()> {
        let maxsize = u64::try_from(maxsize).unwrap_or(0);
        if maxsize > SIZE_MAX {
            return Err(PyValueError::new_err(format!("maxsize is {maxsize}, it must be at most {SIZE_MAX}")));
        }
        let raises_of_deaths = errors::raises_of_deaths(peer_death)?;
        let profile = profile.parse().map_err(PyValueError::new_err)?;
        let attached = match memory {
            None => Attached::create(maxsize > 0)?,
            Some((channel, turn)) => {
                // SAFETY: the caller, `tidegate._queues`, has them open until this returns.
                let borrow = |fd| unsafe { BorrowedFd::borrow_raw(fd) };
                Attached::open(borrow(channel), turn.map(borrow))?
            }
        };
        let model = model.map_or(ForecastModel::Packaged, ForecastModel::File);
        if self.settings.set(Settings { maxsize, profile, raises_of_deaths, model }).is_err() {
            return Err(PyRuntimeError::new_err("the queue was opened already"));
        }
        self.attached.set(attached);
        Ok(())
    }

    /// Puts an object; waits for room as `block` and `timeout`, in seconds, say.
    #[pyo3(signature = (obj, block=true, timeout=None))]
    fn put(&self, py: Python<'_>, obj: &Bound<'_, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<()> {
        self.open_here()?;
        let until = deadline(block, timeout)?;
        let encoded = encode(obj, &self.pickler)?;
        // Only now: pickling runs code, which may close the queue, or fork.
        self.send(py, &*self.attached()?, &encoded, until)?;
        if encoded.lent.is_some_and(|lent| lent.is_put()) {
            // It is another's now.
            obj.getattr("flags")?.setattr("writeable", false)?;
        }
        Ok(())
    }

    /// Memory of the queue for an array of so many bytes, to fill and put.
    #[pyo3(name = "_loan")]
    fn loan(&self, py: Python<'_>, bytes: usize, block: bool, timeout: Option<f64>) -> PyResult<Memory> {
        let attached = self.attached()?;
        let loan = self.take_loan(py, &attached, HEAD_BYTES + bytes, deadline(block, timeout)?)?;
        Ok(Memory::new(Lent::shared(loan, HEAD_BYTES, attached.channel.clone(), attached.id)))
    }

    /// Puts an object if there is room now.
    fn put_nowait(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put(py, obj, false, None)
    }

    /// Gets the next object; waits for one as `block` and `timeout`, in seconds, say.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.receive(py, &*self.attached()?, deadline(block, timeout)?)
    }

    /// Gets the next object if there is one now.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.get(py, false, None)
    }

    /// Puts each of several objects, in their order. Where it fails, the error's `put` is how many were put before.
    #[pyo3(signature = (objects, block=true, timeout=None))]
    fn put_many(
        &self,
        py: Python<'_>,
        objects: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let until = deadline(block, timeout)?;
        let mut count = 0;
        for object in objects.try_iter()? {
            let put = object
                .and_then(|object| encode(&object, &self.pickler))
                .and_then(|encoded| self.send(py, &*self.attached()?, &encoded, until));
            if let Err(error) = put {
                error.value(py).setattr("put", count)?;
                return Err(error);
            }
            count += 1;
        }
        Ok(count)
    }

    /// Gets up to `most` objects: waits for the first as `get` does, and takes what else is there. An error after the first is
    /// raised by the next call.
    #[pyo3(signature = (most, block=true, timeout=None))]
    fn get_many(&self, py: Python<'_>, most: usize, block: bool, timeout: Option<f64>) -> PyResult<Py<PyList>> {
        let mut until = deadline(block, timeout)?;
        let objects = PyList::empty(py);
        while objects.len() < most {
            match self.receive(py, &*self.attached()?, until) {
                Ok(object) => objects.append(object)?,
                Err(error) if objects.is_empty() => return Err(error),
                Err(error) if error.is_instance_of::<Empty>(py) => break,
                Err(error) => {
                    *self.untold.lock() = Some(error);
                    break;
                }
            }
            until = Deadline::Now;
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
        let size = self.qsize()?;
        Ok(self.maxsize() > 0 && size >= self.maxsize())
    }

    /// This process neither puts nor gets any more.
    fn close(&self, py: Python<'_>) {
        self.closed.store(true, Ordering::Relaxed);
        self.detach(py);
    }

    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[getter]
    fn maxsize(&self) -> u64 {
        self.settings.get().map_or(0, |settings| settings.maxsize)
    }

    /// Processes at the other end that died, as far as this one was told.
    #[getter]
    fn peers_died(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Gives up this process's places in the queue, without which its end would pass for a death. Calls that wait end.
    fn detach(&self, py: Python<'_>) {
        if let Some(attached) = self.attached.own() {
            py.detach(|| attached.leave());
        }
    }

    /// Descriptors of the memory, for a child that is being started.
    #[pyo3(name = "_memory")]
    fn memory(&self) -> PyResult<(RawFd, Option<RawFd>)> {
        let attached = self.attached()?;
        Ok((attached.channel.as_fd().as_raw_fd(), attached.turn.as_ref().map(|turn| turn.as_fd().as_raw_fd())))
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
    #[pyo3(name = "_decision_lines")]
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
    #[pyo3(name = "_control")]
    fn control(&self, name: &str) -> PyResult<bool> {
        let attached = self.attached()?;
        let mut controller = attached.controller.lock();
        if controller.is_some() || attached.channel.try_steer().is_err() {
            return Ok(controller.is_some());
        }
        let settings = self.settings.get().ok_or_else(|| errors::not_opened("queue"))?;
        let options = ControllerOptions {
            weights: settings.profile,
            model: settings.model.clone(),
            ..ControllerOptions::default()
        };
        *controller = Some(Controller::start(&attached.channel, name, options));
        Ok(true)
    }
}

impl Queue {
    /// The channel.
    pub(crate) fn channel(&self) -> PyResult<Channel> {
        Ok(self.attached()?.channel.clone())
    }

    /// What this process's controller sees and does.
    pub(crate) fn controller_state(&self) -> PyResult<Option<Arc<ControllerState>>> {
        Ok(self.attached()?.controller.lock().as_ref().map(Controller::state))
    }

    pub(crate) fn raises_of_deaths(&self) -> bool {
        self.settings.get().is_none_or(|settings| settings.raises_of_deaths)
    }

    /// Objects that may be in it.
    pub(crate) fn bound(&self) -> u64 {
        self.maxsize()
    }

    pub(crate) fn take_untold(&self) -> Option<PyErr> {
        self.untold.lock().take()
    }

    fn open_here(&self) -> PyResult<()> {
        if self.closed.load(Ordering::Relaxed) { Err(PyValueError::new_err("the queue is closed")) } else { Ok(()) }
    }

    /// What this process has of the queue; attached anew in a child that was forked.
    pub(crate) fn attached(&self) -> PyResult<Arc<Attached>> {
        self.open_here()?;
        let attached = self.attached.get()?.ok_or_else(|| errors::not_opened("queue"))?;
        attached.check()?;
        Ok(attached)
    }
}
