//! `/tmp/perf-PID.map`: names that a process with a just-in-time compiler gives to its code. Lines of
//! `START SIZE NAME`, the numbers in hexadecimal; later ones replace earlier ones.
//!
//! Anybody may put anything in that place. Only a regular file counts that belongs to a user of the
//! process or to root, found in the process's own view of `/tmp` and under the number that the
//! process has there. Of that file only so much is read, and only so many names are kept.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use crate::host::chosen;

/// The most bytes that are read of a file, from its beginning: ten times what a large Java server
/// writes.
const MOST_BYTES: u64 = 32 << 20;

/// The most names that are kept.
const MOST_NAMES: usize = 500_000;

/// The longest name that is kept whole.
const MOST_NAME: usize = 512;

/// How much is read at once.
const BLOCK: usize = 64 << 10;

/// The names of one process.
pub(super) struct PerfMap {
    file: File,
    /// Device and inode of the file
    id: (u64, u64),
    /// Bytes read, up to the end of a line
    read: u64,
    names: Names,
}

/// By start: size and name.
#[derive(Default)]
struct Names {
    all: BTreeMap<u64, (u64, Box<str>)>,
}

impl PerfMap {
    /// The map of a process, if it has one that can be believed.
    pub(super) fn open(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let (name, users) = place(&status)?;
        let root = chosen::find(Path::new(&format!("/proc/{pid}/root"))).ok()?;
        let found = chosen::find_below(&root, Path::new(&name)).ok()?;
        Self::read(&found, &users)
    }

    fn read(found: &File, users: &[u32]) -> Option<Self> {
        let (file, metadata) = chosen::open(found).ok()?;
        let owner = metadata.uid();
        if owner != 0 && !users.contains(&owner) {
            return None;
        }
        let id = (metadata.dev(), metadata.ino());
        let mut map = Self { file, id, read: 0, names: Names::default() };
        map.read_on();
        Some(map)
    }

    /// With what the process has written since; `None` if it has another map now.
    pub(super) fn updated(mut self, pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let root = chosen::find(Path::new(&format!("/proc/{pid}/root"))).ok()?;
        let now = chosen::find_below(&root, Path::new(&place(&status)?.0)).ok()?;
        let now = now.metadata().ok()?;
        if (now.dev(), now.ino()) != self.id || now.len() < self.read {
            return None;
        }
        self.read_on();
        Some(self)
    }

    /// The name of the code at `address`.
    pub(super) fn name(&self, address: u64) -> Option<&str> {
        self.names.at(address)
    }

    /// Reads the whole lines from where it stopped.
    fn read_on(&mut self) {
        let mut block = vec![0; BLOCK];
        while self.read < MOST_BYTES && self.names.all.len() < MOST_NAMES {
            let Ok(n @ 1..) = self.file.read_at(&mut block, self.read) else { return };
            let read = block.get(..n).unwrap_or_default();
            let whole = read.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            let whole = match whole {
                0 if n == BLOCK => n, // a line of that length is not one
                whole => whole,
            };
            if whole == 0 {
                return; // the rest of the line is yet to be written
            }
            self.read += whole as u64;
            read.get(..whole).unwrap_or_default().split(|&b| b == b'\n').for_each(|line| {
                self.names.add(line);
            });
        }
    }
}

impl Names {
    fn add(&mut self, line: &[u8]) {
        let mut parts = line.splitn(3, u8::is_ascii_whitespace);
        let mut number = || {
            let digits = std::str::from_utf8(parts.next()?).ok()?;
            u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok()
        };
        let Some((start, size)) = number().zip(number()) else { return };
        let Some(name) = parts.next().map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
        else {
            return;
        };
        let name = name.get(..MOST_NAME).unwrap_or(name);
        if self.all.len() < MOST_NAMES || self.all.contains_key(&start) {
            self.all.insert(start, (size, String::from_utf8_lossy(name).into()));
        }
    }

    fn at(&self, address: u64) -> Option<&str> {
        let (start, (size, name)) = self.all.range(..=address).next_back()?;
        (address - start < (*size).max(1)).then_some(name)
    }
}

/// The path of the map below the root of the process, and the users who may write it, from
/// `/proc/PID/status`.
fn place(status: &str) -> Option<(String, Vec<u32>)> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let pid: u32 = field("NSpid:")?.split_whitespace().last()?.parse().ok()?;
    let users = field("Uid:")?.split_whitespace().filter_map(|uid| uid.parse().ok());
    Some((format!("tmp/perf-{pid}.map"), users.collect()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::chown;
    use std::path::PathBuf;

    use super::*;

    /// A file that is gone with the test.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str, contents: &[u8]) -> Self {
            let name = format!("snoop-perf-map-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, contents).unwrap();
            Self(path)
        }

        fn read(&self, users: &[u32]) -> Option<PerfMap> {
            PerfMap::read(&chosen::find(&self.0).unwrap(), users)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn lines() {
        let text = b"1000 10 one\n0x2000 20 two words\nx 1 bad\n3000 zz bad\n4000 1\n\n\
            1000 8 newer\n5000 1 \xff\n6000 0 start\n7000 1 unfinished";
        let map = Temporary::new("lines", text).read(&[nix::unistd::getuid().as_raw()]).unwrap();
        for (address, name) in [
            (0xfff, None),
            (0x1000, Some("newer")),
            (0x1007, Some("newer")),
            (0x1008, None),
            (0x201f, Some("two words")),
            (0x2020, None),
            (0x3000, None),
            (0x4000, None),
            (0x5000, Some("\u{fffd}")),
            (0x6000, Some("start")),
            (0x7000, None),
            (u64::MAX, None),
        ] {
            assert_eq!(map.name(address), name, "{address:#x}");
        }
    }

    #[test]
    fn what_is_appended_is_read() {
        let file = Temporary::new("grows", b"1000 10 one\n2000 1");
        let mut map = file.read(&[nix::unistd::getuid().as_raw()]).unwrap();
        let mut more = File::options().append(true).open(&file.0).unwrap();
        more.write_all(b"0 two\n").unwrap();
        map.read_on();
        assert_eq!((map.name(0x1000), map.name(0x200f)), (Some("one"), Some("two")));
    }

    #[test]
    fn another_users_file_is_not_believed() {
        let file = Temporary::new("owner", b"1000 10 one\n");
        if chown(&file.0, Some(12_345), None).is_err() {
            return; // not root
        }
        assert!(file.read(&[0, 1000]).is_none());
        assert!(file.read(&[0, 12_345]).is_some());
    }

    #[test]
    fn size_and_number_are_bounded() {
        let mut text = Vec::new();
        for at in 0..MOST_NAMES + 1000 {
            writeln!(text, "{:x} 1 f", at * 16).unwrap();
        }
        let me = [nix::unistd::getuid().as_raw()];
        let map = Temporary::new("many", &text).read(&me).unwrap();
        assert!(map.names.all.len() <= MOST_NAMES);
        let huge = Temporary::new("huge", b"1000 10 one\n");
        File::options().write(true).open(&huge.0).unwrap().set_len(20 << 30).unwrap();
        let map = huge.read(&me).unwrap();
        assert_eq!(map.name(0x1000), Some("one"));
        assert!(map.read <= MOST_BYTES + BLOCK as u64);
    }

    #[test]
    fn the_place_is_the_processs_own() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nNSpid:\t900\t17\n";
        assert_eq!(place(status), Some(("tmp/perf-17.map".to_owned(), vec![1, 2, 3, 4])));
        assert_eq!(place("Name:\tx\n"), None);
    }
}
