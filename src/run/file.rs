//! Reads an object's file.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

/// No BPF object is longer; what is, is not read into memory.
const ENOUGH: u64 = 256 * 1024 * 1024;

/// The whole file, if it is one and not too long.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    // Does not wait for the other end of a named pipe.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.as_mut().map_err(|error| anyhow!("{}: {error}", name()))?;
    let metadata = file.metadata().with_context(name)?;
    ensure!(metadata.is_file(), "{}: not a regular file", name());
    let mut image = Vec::new();
    file.by_ref().take(ENOUGH + 1).read_to_end(&mut image).with_context(name)?;
    ensure!(image.len() as u64 <= ENOUGH, "{}: too long for a BPF object", name());
    Ok(image)
}
