//! What becomes of memory that processes share when one of them forks: the child attaches to it anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;
use pyo3::prelude::*;

/// How often this process and its ancestors have forked on the way here.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// To be called in every child that `os.fork` made, before anything else of this module.
#[pyfunction]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// What a process has of shared memory.
pub(crate) trait Attach: Sized {
    /// The same for another process.
    fn again(&self) -> PyResult<Self>;
}

/// What this process has of shared memory, once it has anything.
pub(crate) struct PerProcess<T> {
    attached: RwLock<Option<Attached<T>>>,
}

struct Attached<T> {
    generation: u32,
    own: Arc<T>,
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self { attached: RwLock::new(None) }
    }
}

impl<T: Attach> PerProcess<T> {
    pub(crate) fn set(&self, own: T) {
        *self.attached.write() = Some(Attached { generation: GENERATION.load(Ordering::Relaxed), own: Arc::new(own) });
    }

    /// What this process has, without attaching.
    pub(crate) fn own(&self) -> Option<Arc<T>> {
        let attached = self.attached.read();
        let is_own = |attached: &&Attached<T>| attached.generation == GENERATION.load(Ordering::Relaxed);
        attached.as_ref().filter(is_own).map(|attached| Arc::clone(&attached.own))
    }

    /// What this process has; in a child that was forked, attached anew. `None` before [`PerProcess::set`].
    pub(crate) fn get(&self) -> PyResult<Option<Arc<T>>> {
        if let Some(own) = self.own() {
            return Ok(Some(own));
        }
        let mut attached = self.attached.write();
        let generation = GENERATION.load(Ordering::Relaxed);
        match attached.take() {
            None => Ok(None),
            Some(by_another_thread) if by_another_thread.generation == generation => {
                let own = Arc::clone(&by_another_thread.own);
                *attached = Some(by_another_thread);
                Ok(Some(own))
            }
            Some(parents) => {
                let own = parents.own.again().map(Arc::new);
                let next = own.as_ref().ok().map(|own| Attached { generation, own: Arc::clone(own) });
                match next {
                    // The parent's is forgotten: its locks may be held by threads that are not here.
                    Some(next) => std::mem::forget((attached.replace(next), parents)),
                    None => *attached = Some(parents),
                }
                own.map(Some)
            }
        }
    }
}
