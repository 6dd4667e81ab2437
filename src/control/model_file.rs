//! Model files as they are read: untrusted, and never in the way.

use std::io::Read;
use std::path::Path;

use crate::model::FILE_BYTES_MAX;

/// The bytes of a file, at most one more than any model has. What is no file, a pipe say, which would wait for its writer,
/// is refused.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    if !std::fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("not a file".into());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
