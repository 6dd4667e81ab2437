//! Fitting a model to recorded traffic.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tidegate_training::{Silent, TrainParams, read_directory};

/// Between two looks for signals.
const SLICE: Duration = Duration::from_millis(50);

/// Fits, judges and writes a model; yields what came of it as JSON.
#[pyfunction]
pub(crate) fn train(py: Python<'_>, traces: PathBuf, output: PathBuf, horizon: u32, tau: f64) -> PyResult<String> {
    let params = TrainParams { horizon_ticks: horizon, tau, ..TrainParams::default() };
    let params = params.check().map_err(|error| PyValueError::new_err(error.to_string()))?;
    let traces = read_directory(&traces).map_err(|error| PyOSError::new_err(error.to_string()))?;
    let (done, trained) = mpsc::channel();
    let trained = Mutex::new(trained);
    // Of its own, so that Ctrl-C ends the call at once: what the thread comes to then is for nobody.
    std::thread::Builder::new().name("tidegate-train".into()).spawn(move || {
        let _nobody_may_wait = done.send(tidegate_training::train(&traces, &params, &Silent));
    })?;
    let (file, evaluation) = loop {
        match py.detach(|| trained.lock().recv_timeout(SLICE)) {
            Ok(trained) => break trained.map_err(|error| PyValueError::new_err(error.to_string()))?,
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("training has panicked")),
        }
    };
    let text = file.to_json().map_err(|error| PyValueError::new_err(error.to_string()))?;
    let path = output.join("overflow.json");
    write_whole(&path, &text)?;
    let told = serde_json::json!({ "model": path, "standing": file.standing, "overall": evaluation.overall });
    Ok(told.to_string())
}

/// Writes a file that nobody finds half written.
fn write_whole(path: &Path, text: &str) -> PyResult<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let written = fs::File::create(&partial).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    if written.is_err() {
        let _it_may_not_be_there = fs::remove_file(&partial);
    }
    Ok(written?)
}
