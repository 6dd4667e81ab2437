//! Recording what a queue carries.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tidegate::telemetry::{RecordError, Recorded, record};

use crate::queue::Queue;

const TICK_MOST: Duration = Duration::from_secs(10);

/// A recording that goes on until it is stopped, or forgotten.
#[pyclass(frozen, module = "tidegate")]
pub(crate) struct Recording {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<Result<Recorded, RecordError>>>>,
    /// The thread is in this process, and not in a child that was forked.
    process: u32,
}

#[pymethods]
impl Recording {
    #[new]
    fn new(py: Python<'_>, queue: &Queue, path: PathBuf, tick: f64) -> PyResult<Self> {
        let tick = Duration::try_from_secs_f64(tick).ok().filter(|tick| !tick.is_zero() && *tick <= TICK_MOST);
        let tick = tick.ok_or_else(|| PyValueError::new_err("tick is to be more than 0 and at most 10 seconds"))?;
        let channel = queue.channel()?;
        let output = BufWriter::new(File::create_new(&path)?);
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let stop = Arc::<AtomicBool>::default();
        let thread = std::thread::Builder::new().name("tidegate-record".into());
        let stops = Arc::clone(&stop);
        let (begun, has_begun) = mpsc::sync_channel(1);
        let thread = thread.spawn(move || {
            record(&channel, &name, tick, output, |_| {
                let _only_the_first_is_waited_for = begun.try_send(());
                !stops.load(Ordering::Relaxed)
            })
        })?;
        // A tick: what is put from here on is in it. Where it failed, `stop` says why.
        let has_begun = Mutex::new(has_begun);
        let _or_failed = py.detach(|| has_begun.lock().recv());
        Ok(Self { stop, thread: Mutex::new(Some(thread)), process: std::process::id() })
    }

    /// Ends the recording, and says what is in it: `samples`, `ticks_missed` and `messages`.
    fn stop(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err("the recording is that of another process"));
        }
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().take();
        let thread = thread.ok_or_else(|| PyValueError::new_err("the recording has ended already"))?;
        let recorded = py.detach(|| thread.join());
        let recorded = recorded.map_err(|_| PyRuntimeError::new_err("the recording's thread has panicked"))?;
        let recorded = recorded.map_err(|error| PyOSError::new_err(error.to_string()))?;
        let told = PyDict::new(py);
        told.set_item("samples", recorded.samples)?;
        told.set_item("ticks_missed", recorded.ticks_missed)?;
        told.set_item("messages", recorded.messages)?;
        Ok(told.unbind())
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __exit__(&self, py: Python<'_>, _kind: Py<PyAny>, _error: Py<PyAny>, _trace: Py<PyAny>) -> PyResult<()> {
        if self.thread.lock().is_some() { self.stop(py).map(|_| ()) } else { Ok(()) }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
