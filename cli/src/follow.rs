//! A journal's file, read on as it grows.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tidegate::control::Decision;

use crate::failure::Failure;

/// Read at one look at most, bytes.
const LOOK_BYTES_MAX: u64 = 4 << 20;
/// A line that is longer is no decision, bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Follows one file.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    /// None while there is none.
    file: Option<File>,
    offset: u64,
    /// The beginning of a line of which the end is not written yet.
    begun: Vec<u8>,
}

impl Follower {
    /// Follows `path` from its beginning, once it is there.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.into(), file: None, offset: 0, begun: Vec::new() }
    }

    /// Hands over the decisions that came since the last look. Lines that are none are left out.
    pub(crate) fn look(&mut self, mut take: impl FnMut(Decision)) -> Result<(), Failure> {
        self.reopen_if_replaced()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let failed = |error| Failure::io("read", &self.path, &error);
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(LOOK_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        self.offset += bytes.len() as u64;
        self.begun.extend(bytes);
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else {
            if self.begun.len() > LINE_BYTES_MAX {
                self.begun.clear();
            }
            return Ok(());
        };
        let rest = self.begun.split_off(end + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        let lines = whole.split(|byte| *byte == b'\n');
        lines.filter_map(|line| serde_json::from_slice::<Decision>(line).ok()).for_each(&mut take);
        Ok(())
    }

    /// Begins anew where the file was cut, or another stands in its place.
    fn reopen_if_replaced(&mut self) -> Result<(), Failure> {
        let there = match std::fs::metadata(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Failure::io("read", &self.path, &error)),
        };
        let own = self.file.as_ref().and_then(|file| file.metadata().ok());
        let is_same = own.is_some_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()));
        if !is_same || there.len() < self.offset {
            let file = File::open(&self.path).map_err(|error| Failure::io("read", &self.path, &error))?;
            *self = Self { file: Some(file), ..Self::new(&self.path) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_read_once_and_when_they_are_whole() {
        let decision = include_str!("../tests/decision.jsonl").trim();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut follower = Follower::new(&path);
        follower.look(|_| panic!("there is no file")).unwrap();
        let mut file = File::create(&path).unwrap();
        let seen = |follower: &mut Follower| {
            let mut ids = Vec::new();
            follower.look(|decision| ids.push(decision.id)).unwrap();
            ids
        };
        assert!(seen(&mut follower).is_empty());
        let (head, tail) = decision.split_at(100);
        write!(file, "{decision}\nno decision\n{head}").unwrap();
        assert_eq!(seen(&mut follower), [1]);
        writeln!(file, "{tail}").unwrap();
        assert_eq!(seen(&mut follower), [1]);
        assert!(seen(&mut follower).is_empty());
        std::fs::write(&path, format!("{decision}\n")).unwrap();
        assert_eq!(seen(&mut follower), [1], "a file that was cut begins anew");
    }
}
