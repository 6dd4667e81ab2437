//! How far a long computation is, for those who show it.

/// Told how far it is.
pub trait Progress {
    /// A part of `steps` steps begins.
    fn begin(&self, what: &str, steps: usize);
    /// One of them is done.
    fn step(&self);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _steps: usize) {}
    fn step(&self) {}
}
