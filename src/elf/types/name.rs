//! Names of types, members and variables. Many can share one string of a file.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::Arc;

use super::TooMany;

/// A name, shared by all that have it from the same place of the file.
pub type Name = Arc<str>;

/// Longer names are cut. The kernel allows 512 bytes (`KSYM_NAME_LEN`).
pub const MAX_NAME: usize = 512;

/// The names of one file, each copied once.
#[derive(Debug)]
pub struct Names {
    /// By the address of the first byte, which never moves while the file is read
    known: HashMap<usize, Name>,
    /// Bytes that may still be copied. Strings can overlap, so that a small table has large contents
    left: usize,
}

impl Names {
    /// Names of a table of this many bytes. Honest compilers write each name once.
    pub fn new(table: usize) -> Self {
        Self { known: HashMap::new(), left: table.saturating_mul(2).saturating_add(64 << 10) }
    }

    /// The name at the beginning of `bytes`, up to its NUL, with invalid UTF-8 replaced. `None`: it
    /// is empty.
    pub fn get(&mut self, bytes: &[u8]) -> Result<Option<Name>, TooMany> {
        let place = bytes.as_ptr() as usize;
        if bytes.first().is_none_or(|&byte| byte == 0) {
            return Ok(None);
        }
        if let Some(known) = self.known.get(&place) {
            return Ok(Some(known.clone()));
        }
        let text = text(bytes, MAX_NAME);
        self.left = self.left.checked_sub(text.len()).ok_or(TooMany)?;
        let name: Name = text.into();
        self.known.insert(place, name.clone());
        Ok(Some(name))
    }
}

/// The beginning of `bytes` up to a NUL, as text. What is longer than this many bytes ends in `…`.
pub fn text(bytes: &[u8], most: usize) -> std::borrow::Cow<'_, str> {
    let beginning = bytes.get(..most).unwrap_or(bytes);
    // It looks for the NUL many bytes at a time.
    let until_nul = CStr::from_bytes_until_nul(beginning);
    let text = until_nul.map_or(beginning, CStr::to_bytes);
    let cut = text.len() == most && bytes.get(most).is_some_and(|&byte| byte != 0);
    let text = String::from_utf8_lossy(text);
    if cut { text + "…" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_copied_once() {
        let table = b"one\0two";
        let mut names = Names::new(table.len());
        let first = names.get(table).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &names.get(table).unwrap().unwrap()));
        assert_eq!(&*first, "one");
        assert_eq!(names.get(&table[4..]).unwrap().as_deref(), Some("two"));
        assert_eq!(names.get(&table[3..]).unwrap(), None);
        assert_eq!(names.get(&table[7..]).unwrap(), None);
    }

    #[test]
    fn names_have_a_bound() {
        let table = vec![b'x'; 1 << 20];
        let mut names = Names::new(table.len());
        let name = names.get(&table).unwrap().unwrap();
        assert_eq!(*name, *("x".repeat(MAX_NAME) + "…"));
        assert_eq!(text(b"\xff\0", 1), "\u{fffd}", "all of it");
        let overlapping = (1..table.len()).map(|at| names.get(&table[at..]));
        assert!(overlapping.take(1 << 14).any(|name| name.is_err()));
    }
}
