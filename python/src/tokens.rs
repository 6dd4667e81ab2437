//! Locks and semaphores.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use parking_lot::Mutex;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use tidegate::{GiveError, ShmTokens, TakeError};

use crate::errors::{self, PeerDied};
use crate::process::{Attach, PerProcess};
use crate::waiting::deadline;

/// What locks and semaphores have in common. It is none before it was opened.
#[pyclass(subclass, frozen, weakref, module = "tidegate._tidegate")]
pub(crate) struct Tokens {
    held: PerProcess<Held>,
    settings: OnceLock<Settings>,
    deaths: AtomicU64,
}

struct Settings {
    kind: Kind,
    raises_of_deaths: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Anybody releases it.
    Lock,
    /// The thread that has it acquires it again, and releases it as often.
    RLock,
    Semaphore,
}

struct Held {
    tokens: ShmTokens,
    /// The thread of this process that has the lock, and how often.
    holder: Mutex<Option<(ThreadId, usize)>>,
}

impl Held {
    fn of(tokens: ShmTokens) -> Self {
        Self { tokens, holder: Mutex::default() }
    }

    fn from_fd(memory: BorrowedFd<'_>) -> PyResult<Self> {
        ShmTokens::from_fd(memory.try_clone_to_owned()?).map(Self::of).map_err(errors::memory)
    }

    /// How often this thread has it.
    fn times(&self) -> usize {
        self.holder.lock().filter(|(thread, _)| *thread == thread::current().id()).map_or(0, |(_, times)| times)
    }
}

impl Attach for Held {
    fn again(&self) -> PyResult<Self> {
        Self::from_fd(self.tokens.as_fd())
    }
}

#[pymethods]
impl Tokens {
    #[new]
    #[pyo3(signature = (*_args, **_named))]
    fn new(_args: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> Self {
        Self { held: PerProcess::default(), settings: OnceLock::new(), deaths: AtomicU64::new(0) }
    }

    /// Makes it, with so many tokens of at most so many, or attaches to the memory of one, which stays the caller's.
    #[pyo3(name = "_open", signature = (kind, tokens, most, peer_death, memory))]
    fn open(&self, kind: &str, tokens: i64, most: i64, peer_death: &str, memory: Option<RawFd>) -> PyResult<()> {
        let kind = match kind {
            "lock" => Kind::Lock,
            "rlock" => Kind::RLock,
            _ => Kind::Semaphore,
        };
        let raises_of_deaths = errors::raises_of_deaths(peer_death)?;
        let held = match memory {
            Some(memory) => {
                // SAFETY: the caller, `tidegate._locks`, has it open until this returns.
                Held::from_fd(unsafe { BorrowedFd::borrow_raw(memory) })?
            }
            None => {
                let count = |value: i64| {
                    let refused = || PyValueError::new_err(format!("{value} tokens: 0 to {}", i32::MAX));
                    u32::try_from(value).ok().filter(|&value| value <= i32::MAX as u32).ok_or_else(refused)
                };
                // A bound of 0 has no place for a token, which is what one has whose only token is never there.
                Held::of(ShmTokens::create(count(tokens)?, count(most)?.max(1)).map_err(errors::memory)?)
            }
        };
        if self.settings.set(Settings { kind, raises_of_deaths }).is_err() {
            return Err(PyRuntimeError::new_err("it was opened already"));
        }
        self.held.set(held);
        Ok(())
    }

    /// Takes it, waiting as `block` and `timeout`, in seconds, say. Whether it was had.
    #[pyo3(signature = (block=true, timeout=None))]
    fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
        let held = self.held()?;
        let thread = thread::current().id();
        if self.kind() == Kind::RLock
            && let Some((_, times)) = held.holder.lock().as_mut().filter(|(holder, _)| *holder == thread)
        {
            *times += 1;
            return Ok(true);
        }
        let mut taken = held.tokens.try_take();
        let until = if taken.is_ok() { None } else { Some(deadline(block, timeout)?) };
        loop {
            match taken {
                Ok(()) => {
                    *held.holder.lock() = Some((thread, 1));
                    return Ok(true);
                }
                Err(TakeError::Stalled) => {}
                Err(TakeError::TakerDied { pid }) => {
                    self.deaths.fetch_add(1, Ordering::Relaxed);
                    if self.raises_of_deaths() {
                        return Err(PeerDied::new_err(pid));
                    }
                    // The lock is free, if nobody else has it by now.
                    taken = held.tokens.try_take();
                    continue;
                }
                Err(other) => return Err(PyRuntimeError::new_err(other.to_string())),
            }
            py.check_signals()?;
            let Some(slice) = until.and_then(|until| until.slice()) else { return Ok(false) };
            taken = py.detach(|| held.tokens.take(Some(slice)));
        }
    }

    /// Gives it back.
    fn release(&self) -> PyResult<()> {
        let held = self.held()?;
        {
            let mut holder = held.holder.lock();
            let is_mine = holder.is_some_and(|(holder, _)| holder == thread::current().id());
            if self.kind() == Kind::RLock && !is_mine {
                let error = "attempt to release recursive lock not owned by thread";
                return Err(PyAssertionError::new_err(error));
            }
            if let Some((_, times)) = holder.as_mut().filter(|(_, times)| *times > 1) {
                *times -= 1;
                return Ok(());
            }
            *holder = None;
        }
        held.tokens.give().map_err(|error| match error {
            GiveError::Full { .. } => PyValueError::new_err("semaphore or lock released too many times"),
            other => PyRuntimeError::new_err(other.to_string()),
        })
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, true, None)
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.release()
    }

    /// Processes that died with it, as far as this one was told.
    #[getter]
    fn peers_died(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Tokens that are there.
    #[pyo3(name = "_get_value")]
    fn get_value(&self) -> PyResult<u32> {
        Ok(self.held()?.tokens.tokens())
    }

    #[pyo3(name = "_is_zero")]
    fn is_zero(&self) -> PyResult<bool> {
        Ok(self.get_value()? == 0)
    }

    /// Whether this thread has the lock.
    #[pyo3(name = "_is_mine")]
    fn is_mine(&self) -> PyResult<bool> {
        Ok(self.held()?.times() > 0)
    }

    /// How often this thread has the lock.
    #[pyo3(name = "_count")]
    fn count(&self) -> PyResult<usize> {
        Ok(self.held()?.times())
    }

    /// Descriptor of the memory, for a child that is being started.
    #[pyo3(name = "_memory")]
    fn memory(&self) -> PyResult<RawFd> {
        Ok(self.held()?.tokens.as_fd().as_raw_fd())
    }
}

impl Tokens {
    fn held(&self) -> PyResult<std::sync::Arc<Held>> {
        self.held.get()?.ok_or_else(|| errors::not_opened("lock"))
    }

    fn kind(&self) -> Kind {
        self.settings.get().map_or(Kind::Lock, |settings| settings.kind)
    }

    fn raises_of_deaths(&self) -> bool {
        self.settings.get().is_none_or(|settings| settings.raises_of_deaths)
    }
}
