//! Model files as text: one way to write each, so that whatever changes one shows.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::ModelError;

/// Longest model file that is read.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// The file's text.
pub(super) fn text_of(file: &impl Serialize) -> Result<String, ModelError> {
    Ok(serde_json::to_string_pretty(file)? + "\n")
}

/// CRC-32 of a file's content.
pub(super) fn checksum_of(content: &impl Serialize) -> u32 {
    // Numbers are written so that they read back bit by bit; one that is not finite fails the checks by its range.
    crc32fast::hash(serde_json::to_string(content).unwrap_or_default().as_bytes())
}

/// Whether a field is what this build needs.
pub(super) fn same(field: &'static str, found: &dyn ToString, expected: &dyn ToString) -> Result<(), ModelError> {
    let (found, expected) = (found.to_string(), expected.to_string());
    if found == expected { Ok(()) } else { Err(ModelError::Mismatch { field, found, expected }) }
}

/// Makes a model of a file's text by `check`, which says what is wrong before it is said that it was not written like this:
/// what reads the same but is not the same, `1E3` for `1e3` say, was still changed by something.
pub(super) fn read<F: Serialize + DeserializeOwned, M>(
    bytes: &[u8],
    check: impl FnOnce(F) -> Result<M, ModelError>,
) -> Result<M, ModelError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ModelError::TooLong { bytes: bytes.len() });
    }
    let file: F = serde_json::from_slice(bytes)?;
    let is_as_written = text_of(&file)?.as_bytes() == bytes;
    let model = check(file)?;
    if is_as_written { Ok(model) } else { Err(ModelError::Rewritten) }
}
