//! Getting at the bytes of a file, or of stdin.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use nix::errno::Errno;

/// Today's objects have at most a few megabytes.
pub const MAX_BYTES: u64 = 64 << 20;

/// Programs that contain objects may be larger. They are read in parts.
const MAX_CONTAINER_BYTES: u64 = 2 << 30;

/// The name that stands for stdin.
const STDIN: &str = "-";

/// The bytes of a regular file, read where they are needed, or of stdin.
#[derive(Debug)]
pub enum Content {
    /// A file, and its size when it was opened
    File(File, u64),
    /// All of stdin, or of something else in memory
    Memory(Vec<u8>),
}

impl Content {
    /// Opens a file, or reads stdin to its end if the name is `-`. The error does not name the file.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new(STDIN) {
            return stdin().map(Self::Memory);
        }
        Self::regular(path)
    }

    /// Opens a regular file. The error does not name it.
    pub fn regular(path: &Path) -> Result<Self> {
        let (file, bytes) = regular(path)?;
        if bytes > MAX_CONTAINER_BYTES {
            bail!("it has {bytes} bytes, and at most {MAX_CONTAINER_BYTES} are searched");
        }
        Ok(Self::File(file, bytes))
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::File(_, bytes) => *bytes,
            Self::Memory(data) => data.len() as u64,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `count` bytes from `offset` on: fewer where the file ends.
    pub fn at(&self, offset: u64, count: u64) -> Result<Vec<u8>> {
        let count = count.min(self.len().saturating_sub(offset));
        let (start, count) = (usize::try_from(offset)?, usize::try_from(count)?);
        match self {
            Self::Memory(data) => {
                Ok(data.get(start..).and_then(|rest| rest.get(..count)).unwrap_or_default().into())
            }
            Self::File(file, _) => {
                let mut data = vec![0; count];
                let mut filled = 0;
                while let Some(rest) = data.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                    match file.read_at(rest, offset + filled as u64).map_err(reason)? {
                        0 => break, // it has become shorter meanwhile
                        more => filled += more,
                    }
                }
                data.truncate(filled);
                Ok(data)
            }
        }
    }

    /// All bytes, as those of an object: not too many.
    pub fn all(self) -> Result<Vec<u8>> {
        let bytes = self.len();
        if bytes > MAX_BYTES {
            bail!("it has {bytes} bytes, and a BPF object has at most {MAX_BYTES}");
        }
        match self {
            Self::Memory(data) => Ok(data),
            Self::File(..) => self.at(0, MAX_BYTES),
        }
    }
}

/// The whole content of a regular file. The error does not name the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let (file, bytes) = regular(path)?;
    Content::File(file, bytes).all()
}

/// A regular file and its size.
fn regular(path: &Path) -> Result<(File, u64)> {
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
    Ok((file, metadata.len()))
}

fn stdin() -> Result<Vec<u8>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        bail!("stdin is a terminal, not a BPF object");
    }
    limited(stdin.lock())
}

/// All that can be read, unless it is more than an object may have.
fn limited(from: impl Read) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut data).map_err(reason)?;
    if data.len() as u64 > MAX_BYTES {
        bail!("it has more than {MAX_BYTES} bytes, the most that are read from stdin");
    }
    Ok(data)
}

/// The error in the system's words, without the number.
fn reason(error: std::io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(number) => anyhow!("{}", Errno::from_raw(number).desc()),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_with_the_file() {
        let own = std::env::current_exe().unwrap();
        let file = Content::open(&own).unwrap();
        let memory = Content::Memory(std::fs::read(&own).unwrap());
        let end = file.len();
        assert_eq!(end, memory.len());
        for (offset, count, expected) in
            [(0, 4, 4), (end - 3, 10, 3), (end, 1, 0), (end + 9, 9, 0), (u64::MAX, 1, 0)]
        {
            let part = file.at(offset, count).unwrap();
            assert_eq!(part.len(), expected, "{offset}");
            assert_eq!(part, memory.at(offset, count).unwrap());
        }
    }

    #[test]
    fn stdin_has_a_limit() {
        assert_eq!(limited(&b"abc"[..]).unwrap(), b"abc");
        let error = limited(std::io::repeat(0)).unwrap_err().to_string();
        assert!(error.starts_with("it has more than 67108864 bytes"), "{error}");
    }
}
