//! Files of numbers, by which the processes of a replay tell each other what is to be sent and what came of it: 64-bit words,
//! little-endian.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::workload::Due;

/// Writes `numbers` to a new file.
///
/// # Errors
/// It cannot be written.
pub fn write_numbers(path: &Path, numbers: &[u64]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    numbers.iter().try_for_each(|number| file.write_all(&number.to_le_bytes()))?;
    file.flush()
}

/// The numbers in a file.
///
/// # Errors
/// It cannot be read.
pub fn read_numbers(path: &Path) -> io::Result<Vec<u64>> {
    Ok(std::fs::read(path)?.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect())
}

/// Writes what a sender is to send.
///
/// # Errors
/// It cannot be written.
pub fn write_dues(path: &Path, dues: &[Due]) -> io::Result<()> {
    let numbers: Vec<u64> = dues.iter().flat_map(|due| [due.after_ns, due.bytes.into()]).collect();
    write_numbers(path, &numbers)
}

/// What a sender is to send.
///
/// # Errors
/// It cannot be read.
pub fn read_dues(path: &Path) -> io::Result<Vec<Due>> {
    let numbers = read_numbers(path)?;
    Ok(numbers.as_chunks().0.iter().map(|&[after_ns, bytes]| Due { after_ns, bytes: bytes as u32 }).collect())
}
