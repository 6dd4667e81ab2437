//! Progress bars on the terminal; a line a part where there is none.

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tidegate_training::Progress;

/// One bar for the part under way.
#[derive(Debug)]
pub(crate) struct Bars {
    bar: Mutex<ProgressBar>,
}

impl Default for Bars {
    fn default() -> Self {
        Self { bar: Mutex::new(ProgressBar::hidden()) }
    }
}

impl Progress for Bars {
    fn begin(&self, what: &str, steps: usize) {
        let next = bar(what, steps as u64);
        if next.is_hidden() {
            eprintln!("{what}: {steps}");
        }
        std::mem::replace(&mut *self.bar.lock(), next).finish();
    }

    fn step(&self) {
        self.bar.lock().inc(1);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.get_mut().finish();
    }
}

/// A bar of so many steps.
pub(crate) fn bar(what: &str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>20} [{bar:40}] {percent:>3} %");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps).with_style(style).with_message(what.to_owned())
}
