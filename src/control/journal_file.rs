//! The journal as a file of JSON lines: one when a decision is entered, and the same once more when its outcome is known.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use crate::control::journal::Decision;

/// Writes decisions to a file; a line that cannot be written ends it.
#[derive(Debug, Default)]
pub(crate) struct JournalFile {
    file: Option<File>,
}

impl JournalFile {
    /// Appends to `path`, if there is one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, io::Error> {
        let open = |path| OpenOptions::new().append(true).create(true).open(path);
        Ok(Self { file: path.map(open).transpose()? })
    }

    /// Appends a decision. Yields why it cannot, once.
    pub(crate) fn write(&mut self, decision: &Decision) -> Result<(), io::Error> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(decision)?;
        line.push(b'\n');
        // In one call, so that the lines of several writers stay whole (`O_APPEND`, open(2)).
        let written = file.write_all(&line);
        if written.is_err() {
            self.file = None;
        }
        written
    }
}

/// The decisions in a file that a controller wrote, as they were when it knew most of them, in the order they were entered. A last
/// line that was cut is left out.
///
/// # Errors
/// The file cannot be read, or a line of it is no decision.
pub fn read_journal(path: &Path) -> Result<Vec<Decision>, io::Error> {
    let mut decisions: Vec<Decision> = Vec::new();
    let mut lines = BufReader::new(File::open(path)?).lines().zip(1u64..).peekable();
    while let Some((line, number)) = lines.next() {
        let decision: Decision = match serde_json::from_str(&line?) {
            Ok(decision) => decision,
            Err(_) if lines.peek().is_none() => break,
            Err(error) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("line {number} is no decision: {error}"),
                ));
            }
        };
        let same = |known: &&mut Decision| known.id == decision.id && known.channel == decision.channel;
        match decisions.iter_mut().rev().find(same) {
            Some(known) => *known = decision,
            None => decisions.push(decision),
        }
    }
    Ok(decisions)
}
