//! Small files read whole, such as `results.json`.

use super::file::DataFile;
use crate::{Error, Result};
use std::path::Path;

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for a folder, pipe or device; [`Error::Memory`] for a larger file.
pub fn read_whole(path: impl AsRef<Path>, most: u64) -> Result<Vec<u8>> {
    let file = DataFile::open(path.as_ref())?;
    let too_large = || Error::Memory {
        what: format!("{} of {} bytes", path.as_ref().display(), file.len()),
        needed: file.len(),
        cap: most,
    };
    if file.len() > most {
        return Err(too_large());
    }
    let size = usize::try_from(file.len()).map_err(|_| too_large())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| too_large())?;
    bytes.resize(size, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
