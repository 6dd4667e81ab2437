//! The journal as a file of JSON lines: one when a decision is entered, and the same once more when its outcome is known.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
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
        Ok(Self { file: path.map(open_whole).transpose()? })
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

/// Opens a file to append to, of which the last line may have been cut: that is ended.
fn open_whole(path: &Path) -> Result<File, io::Error> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// What stands in a journal's file.
#[derive(Debug, Default)]
pub struct JournalLines {
    /// The decisions, as they were when most was known of them, in the order they were entered.
    pub decisions: Vec<Decision>,
    /// Numbers of the lines that are no decision, from 1: cut by a death, or foreign.
    pub unreadable: Vec<u64>,
}

/// Reads a file that controllers wrote, of one run or several.
///
/// # Errors
/// The file cannot be read, or is no text.
pub fn read_journal(path: &Path) -> Result<JournalLines, io::Error> {
    let mut read = JournalLines::default();
    let mut known: HashMap<(String, u64, u64, u64), usize> = HashMap::new();
    for (line, number) in BufReader::new(File::open(path)?).lines().zip(1u64..) {
        let line = line?;
        let Ok(decision) = serde_json::from_str::<Decision>(&line) else {
            if !line.trim().is_empty() {
                read.unreadable.push(number);
            }
            continue;
        };
        // Numbers begin anew with each controller.
        let identity = (decision.channel.clone(), decision.id, decision.at_unix_ms, decision.at_ns);
        match known.entry(identity) {
            Entry::Occupied(at) => read.decisions[*at.get()] = decision,
            Entry::Vacant(new) => {
                new.insert(read.decisions.len());
                read.decisions.push(decision);
            }
        }
    }
    Ok(read)
}
