//! Files that nobody finds half written, and that are tried before the work whose result they take.

use std::fs::File;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::failure::Failure;

/// Files under way in this process.
static UNDER_WAY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes what is under way, as an interrupt ends the process.
pub(crate) fn remove_all_under_way() {
    for partial in UNDER_WAY.lock().drain(..) {
        let _it_may_be_gone = std::fs::remove_file(partial);
    }
}

/// A file under way beside the one it becomes; it goes if it is dropped before.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    partial: PathBuf,
    /// Where to write.
    pub(crate) file: File,
}

impl WholeFile {
    /// Begins the file that becomes `path`, with the directories it needs. What is there stays until [`Self::finish`].
    pub(crate) fn begin(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::io("write", path, &error);
        if path.is_dir() {
            return Err(Failure::Environment(format!("cannot write {}: it is a directory", path.display())));
        }
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let partial = path.with_added_extension(format!("{}.partial", std::process::id()));
        let file = File::create(&partial).map_err(failed)?;
        UNDER_WAY.lock().push(partial.clone());
        Ok(Self { path: path.into(), partial, file })
    }

    /// Writes `text` as all of it, and finishes.
    pub(crate) fn fill(mut self, text: &str) -> Result<(), Failure> {
        std::io::Write::write_all(&mut self.file, text.as_bytes()).map_err(|e| Failure::io("write", &self.path, &e))?;
        self.finish()
    }

    /// Puts it in its place.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        std::fs::rename(&self.partial, &self.path).map_err(|error| Failure::io("write", &self.path, &error))
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        let _it_may_have_its_place = std::fs::remove_file(&self.partial);
        UNDER_WAY.lock().retain(|partial| *partial != self.partial);
    }
}
