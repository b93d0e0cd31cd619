//! The lines of a file: plain, or compressed by zstd.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;

/// The longest line. The kernel takes two MiB of arguments, and JSON up to six bytes for each.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// The most memory that a compressed file may ask for: 2 to this power, which zstd itself allows.
const WINDOW_LOG: u32 = 27;

/// Frames of zstd begin with this,
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// and those that are to be skipped with one of sixteen bytes and this.
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The lines.
pub struct Lines {
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
    failure: Option<io::Error>,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Without the newline; empty if it is too long
    pub bytes: &'a [u8],
    /// Counted from 1
    pub number: u64,
    /// It ends in a newline
    pub is_whole: bool,
    /// It has more than [`MOST_BYTES`]
    pub is_too_long: bool,
}

impl Lines {
    /// Opens a file, or stdin for `-`.
    pub fn open(path: &Path) -> io::Result<Self> {
        match path.as_os_str().as_encoded_bytes() {
            b"-" => Self::of(io::stdin()),
            _ => Self::of(File::open(path)?),
        }
    }

    /// Reads anything.
    pub fn of(input: impl Read + 'static) -> io::Result<Self> {
        let input = reader(input)?;
        Ok(Self { input, line: Vec::new(), number: 0, failure: None })
    }

    /// The next line; `None` at the end, or where the file cannot be read any further.
    pub fn next_line(&mut self) -> Option<Raw<'_>> {
        self.line.clear();
        let (mut is_whole, mut is_too_long) = (false, false);
        while !is_whole {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            };
            if chunk.is_empty() {
                break;
            }
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let used = part.len() + usize::from(end.is_some());
            is_too_long |= self.line.len() + part.len() > MOST_BYTES;
            if is_too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            is_whole = end.is_some();
            self.input.consume(used);
        }
        if !is_whole && self.line.is_empty() && !is_too_long {
            return None;
        }
        self.number += 1;
        Some(Raw { bytes: &self.line, number: self.number, is_whole, is_too_long })
    }

    /// The number of the last line.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Why it cannot be read any further, if it is so.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }
}

/// A file, plain or decompressed.
fn reader(mut input: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::new();
    input.by_ref().take(FRAME.len() as u64).read_to_end(&mut head)?;
    let is_skipped =
        || head.first().is_some_and(|byte| byte & 0xf0 == 0x50) && head.get(1..) == Some(&SKIPPED);
    let is_compressed = head == FRAME || is_skipped();
    let whole = Cursor::new(head).chain(input);
    Ok(if is_compressed {
        let mut decoder = zstd::Decoder::new(whole)?;
        decoder.window_log_max(WINDOW_LOG)?;
        Box::new(BufReader::with_capacity(1 << 16, decoder))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, whole))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: Vec<u8>) -> (Vec<(String, bool, bool)>, Option<String>) {
        let mut lines = Lines::of(Cursor::new(bytes)).unwrap();
        let mut all = Vec::new();
        while let Some(raw) = lines.next_line() {
            assert_eq!(raw.number, all.len() as u64 + 1);
            let text = String::from_utf8_lossy(raw.bytes).into_owned();
            all.push((text, raw.is_whole, raw.is_too_long));
        }
        (all, lines.failure().map(ToString::to_string))
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        all(bytes.to_vec()).0.into_iter().map(|(text, ..)| text).collect()
    }

    #[test]
    fn lines_with_and_without_an_end() {
        assert_eq!(texts(b""), [""; 0]);
        assert_eq!(texts(b"a\n\nb\n"), ["a", "", "b"]);
        let (lines, failure) = all(b"a\nb".to_vec());
        assert_eq!(lines[1], ("b".to_owned(), false, false));
        assert_eq!(failure, None);
    }

    #[test]
    fn a_long_line_costs_no_memory() {
        let mut bytes = vec![b'x'; MOST_BYTES];
        bytes.extend_from_slice(b"\nb\n");
        assert!(!all(bytes.clone()).0[0].2, "just as long as it may be");
        bytes.insert(0, b'x');
        let (lines, _) = all(bytes);
        assert_eq!(lines[0], (String::new(), true, true));
        assert_eq!(lines[1].0, "b", "and the next one is read");
    }

    #[test]
    fn compressed_files() {
        let mut frames = zstd::encode_all(&b"a\nb"[..], 0).unwrap();
        frames.extend(zstd::encode_all(&b"c\nd\n"[..], 0).unwrap());
        assert_eq!(texts(&frames), ["a", "bc", "d"], "of several frames");
        let mut skipped = vec![0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        skipped.extend(&frames);
        assert_eq!(texts(&skipped), ["a", "bc", "d"]);
        let cut = zstd::encode_all(&b"line\n".repeat(50_000)[..], 0).unwrap();
        let (lines, failure) = all(cut[..cut.len() - 5].to_vec());
        assert!(failure.is_some(), "{} lines", lines.len());
    }
}
