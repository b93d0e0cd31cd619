//! Getting at the bytes of a file.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use nix::errno::Errno;

/// Today's objects have at most a few megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// The whole content of a regular file. The error does not name the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    // Opening a pipe would wait for the writer; opening some devices has effects.
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(reason)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        bail!("it is a directory");
    }
    if !metadata.is_file() {
        bail!("it is not a regular file");
    }
    if metadata.len() > MAX_BYTES {
        bail!("it has {} bytes, and a BPF object has at most {MAX_BYTES}", metadata.len());
    }
    let mut data = Vec::new();
    // The file may grow meanwhile.
    file.take(MAX_BYTES).read_to_end(&mut data).map_err(reason)?;
    Ok(data)
}

/// The error in the system's words, without the number.
fn reason(error: std::io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(number) => anyhow!("{}", Errno::from_raw(number).desc()),
        None => error.into(),
    }
}
