//! What becomes of a queue when its process forks: the child attaches anew.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

/// How often this process and its ancestors have forked on the way here.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// To be called in every child that `os.fork` made, before anything else of this module.
#[pyfunction]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Tells a child from its parent.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}
