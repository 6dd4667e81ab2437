//! Files that nobody finds half written, and that are tried before the work whose result they take.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::failure::Failure;

/// Files under way in this process, and the directories that were made for them.
static UNDER_WAY: Mutex<Vec<(PathBuf, Option<PathBuf>)>> = Mutex::new(Vec::new());

/// Removes what is under way, as an interrupt ends the process.
pub(crate) fn remove_all_under_way() {
    for (partial, made) in UNDER_WAY.lock().drain(..) {
        let _it_may_be_gone = std::fs::remove_file(partial);
        let _others_may_have_put_something_there = made.map(std::fs::remove_dir);
    }
}

/// A file under way beside the one it becomes; it goes if it is dropped before. What is no regular file, a device or a pipe,
/// is written to as it is.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    /// `None` of what is written to as it is.
    partial: Option<PathBuf>,
    /// The directory that was made for it.
    made: Option<PathBuf>,
    /// Where to write.
    pub(crate) file: File,
}

impl WholeFile {
    /// Begins the file that becomes `path`, or what that links to, with the directory it needs. What is there stays until
    /// [`Self::finish`].
    pub(crate) fn begin(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::io("write", path, &error);
        if path.is_dir() {
            return Err(Failure::Environment(format!("cannot write {}: it is a directory", path.display())));
        }
        if path.exists() && !path.is_file() {
            let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            return Ok(Self { path: path.into(), partial: None, made: None, file });
        }
        let path_linked = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let directory = path_linked.parent().filter(|directory| !directory.as_os_str().is_empty());
        let made = directory.filter(|directory| !directory.exists()).map(Path::to_owned);
        if let Some(directory) = &made {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let partial = path_linked.with_added_extension(format!("{}.partial", std::process::id()));
        let file = File::create(&partial).map_err(failed)?;
        UNDER_WAY.lock().push((partial.clone(), made.clone()));
        Ok(Self { path: path_linked, partial: Some(partial), made, file })
    }

    /// As [`Self::begin`], of what is made of the file at `input`, which must be another.
    pub(crate) fn begin_of(input: &Path, path: &Path) -> Result<Self, Failure> {
        let is = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        if is(path).is_some() && is(path) == is(input) {
            return Err(Failure::Usage(format!("{} is the file that is read: write another", path.display())));
        }
        Self::begin(path)
    }

    /// Writes `text` as all of it, and finishes.
    pub(crate) fn fill(mut self, text: &str) -> Result<(), Failure> {
        std::io::Write::write_all(&mut self.file, text.as_bytes()).map_err(|e| Failure::io("write", &self.path, &e))?;
        self.finish()
    }

    /// Puts it in its place.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let Some(partial) = &self.partial else { return Ok(()) };
        std::fs::rename(partial, &self.path).map_err(|error| Failure::io("write", &self.path, &error))?;
        self.made = None;
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            let _it_may_have_its_place = std::fs::remove_file(partial);
            UNDER_WAY.lock().retain(|(other, _)| other != partial);
        }
        if let Some(made) = &self.made {
            let _others_may_have_put_something_there = std::fs::remove_dir(made);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_until_the_end_and_what_was_made_goes_with_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        std::fs::write(&target, "before").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        drop(WholeFile::begin(&link).unwrap());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "before");
        WholeFile::begin(&link).unwrap().fill("after").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "after");
        assert!(WholeFile::begin_of(&target, &link).is_err(), "the same file");
        drop(WholeFile::begin(&directory.path().join("new/file")).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        WholeFile::begin("/dev/null".as_ref()).unwrap().fill("gone").unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }
}
