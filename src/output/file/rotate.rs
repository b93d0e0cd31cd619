//! Old files: `FILE.000001`, `FILE.000002`, … in the order of time, which is also the order in which
//! a shell lists them. Of `FILE.zst` they are called `FILE.000001.zst`. A file has one name from its
//! rotation to its end, so that whoever reads it need not follow it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::words;

/// `--rotate`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// A file of this size is rotated
    pub bytes: u64,
    /// So is one whose first line behind the opening is so old
    pub age: Option<Duration>,
    /// Old files
    pub keep: u32,
    /// Old files are compressed
    pub is_compressed: bool,
}

const SUFFIX: &str = ".zst";

/// What is being compressed is called so.
const DRAFT: &str = ".zst.part";

/// Digits of a number, at least.
const DIGITS: usize = 6;

/// Whether a file of this name is compressed from the beginning.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(SUFFIX.as_bytes())
}

/// Gives a file a new name, which no other file has.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // A file system that does not know the flag.
        Err(Errno::EINVAL) if to.symlink_metadata().is_err() => std::fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

/// An old file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Old {
    number: u64,
    path: PathBuf,
    is_compressed: bool,
}

/// The names of a file's old files.
#[derive(Clone)]
pub(super) struct Names {
    folder: PathBuf,
    /// In front of the point and the number
    stem: OsString,
    /// The file is compressed from the beginning
    is_compressed: bool,
}

impl Names {
    pub(super) fn new(path: &Path) -> Self {
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default().as_bytes();
        let is_compressed = is_compressed(path);
        let stem = name.len() - if is_compressed { SUFFIX.len() } else { 0 };
        let stem = OsStr::from_bytes(name.get(..stem).unwrap_or_default()).to_owned();
        Self { folder: folder.to_owned(), stem, is_compressed }
    }

    /// The name for the next old file.
    pub(super) fn next(&self) -> io::Result<PathBuf> {
        let last = self.all()?.last().map_or(0, |old| old.number);
        Ok(self.numbered(last + 1, if self.is_compressed { SUFFIX } else { "" }))
    }

    fn numbered(&self, number: u64, suffix: &str) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(format!(".{number:0DIGITS$}{suffix}"));
        self.folder.join(name)
    }

    /// The old files that there are, oldest first.
    fn all(&self) -> io::Result<Vec<Old>> {
        let here = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let mut all = Vec::new();
        for entry in std::fs::read_dir(here)? {
            let name = entry?.file_name();
            if let Some((number, is_compressed)) = self.number(name.as_bytes(), SUFFIX) {
                all.push(Old { number, path: self.folder.join(name), is_compressed });
            }
        }
        all.sort();
        Ok(all)
    }

    /// The number in the name of an old file, and whether the name has the suffix.
    fn number(&self, name: &[u8], suffix: &str) -> Option<(u64, bool)> {
        let rest = name.strip_prefix(self.stem.as_bytes())?.strip_prefix(b".")?;
        let digits = rest.strip_suffix(suffix.as_bytes());
        let (digits, has_suffix) = (digits.unwrap_or(rest), digits.is_some());
        let is_number = digits.len() >= DIGITS && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
        Some((number, has_suffix))
    }

    /// Removes what a compression left behind that was ended in its middle.
    fn remove_drafts(&self) -> io::Result<()> {
        let here = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        for entry in std::fs::read_dir(here)? {
            let name = entry?.file_name();
            if matches!(self.number(name.as_bytes(), DRAFT), Some((_, true))) {
                std::fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

/// A thread that compresses and removes old files, since both may take longer than the main loop
/// can wait.
pub(super) struct Janitor {
    wake: Option<SyncSender<()>>,
    stop: Arc<AtomicBool>,
    notices: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Janitor {
    pub(super) fn new(path: &Path, rotate: Rotate) -> Self {
        let (names, stop) = (Names::new(path), Arc::new(AtomicBool::new(false)));
        let (wake, woken) = sync_channel::<()>(1);
        let (say, notices) = channel();
        let is_to_end = Arc::clone(&stop);
        let work = move || {
            while woken.recv().is_ok() {
                if let Err(error) = tidy(&names, rotate, &is_to_end) {
                    let _ = say.send(format!("old files: {}", words(&error)));
                }
            }
        };
        let thread = std::thread::Builder::new().name("old files".to_owned()).spawn(work).ok();
        Self { wake: Some(wake), stop, notices, thread }
    }

    /// There is something to do.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(()); // full: it will look anyway
        }
    }

    /// What went wrong.
    pub(super) fn notices(&self) -> impl Iterator<Item = String> + '_ {
        self.notices.try_iter()
    }
}

impl Drop for Janitor {
    /// What is not yet compressed will be at the next start.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Removes the oldest files, and compresses the others.
fn tidy(names: &Names, rotate: Rotate, stop: &AtomicBool) -> io::Result<()> {
    names.remove_drafts()?;
    let mut all = names.all()?;
    let too_many = all.len().saturating_sub(rotate.keep as usize);
    for old in all.drain(..too_many) {
        remove(&old.path)?;
    }
    if !rotate.is_compressed || names.is_compressed {
        return Ok(());
    }
    for old in all.into_iter().filter(|old| !old.is_compressed) {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let draft = names.numbered(old.number, DRAFT);
        match compress(&old.path, &draft, stop) {
            Ok(true) => {
                rename(&draft, &names.numbered(old.number, SUFFIX))?;
                remove(&old.path)?;
            }
            not => {
                remove(&draft)?;
                not?;
            }
        }
    }
    Ok(())
}

/// Somebody else may have been faster.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Compresses a file. False: `stop` came before its end.
fn compress(from: &Path, to: &Path, stop: &AtomicBool) -> io::Result<bool> {
    const PIECE: usize = 1 << 18;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut from = File::options().read(true).custom_flags(flags).open(from)?;
    let metadata = from.metadata()?;
    let mode = metadata.mode() & 0o777;
    let to = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    let _ = std::os::unix::fs::fchown(&to, Some(metadata.uid()), Some(metadata.gid()));
    let mut encoder = zstd::Encoder::new(to, super::LEVEL)?;
    encoder.include_checksum(true)?;
    let mut piece = vec![0; PIECE];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match from.read(&mut piece)? {
            0 => break,
            count => encoder.write_all(piece.get(..count).unwrap_or_default())?,
        }
    }
    // The old file is removed next: what replaces it must be on the disk.
    encoder.finish()?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::Folder;
    use super::*;

    const KEEP_TWO: Rotate = Rotate { bytes: 1, age: None, keep: 2, is_compressed: true };

    #[test]
    fn names_are_in_the_order_of_time() {
        let folder = Folder::new();
        let next = |file: &str| {
            let next = Names::new(&folder.path(file)).next().unwrap();
            next.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(next("a.jsonl"), "a.jsonl.000001");
        assert_eq!(next("a.jsonl.zst"), "a.jsonl.000001.zst");
        for other in ["a.jsonl.7", "a.jsonl.0000001x", "a.jsonl.000009.gz", "b.jsonl.000008"] {
            fs::write(folder.path(other), "").unwrap();
        }
        fs::write(folder.path("a.jsonl.000003.zst"), "").unwrap();
        assert_eq!(next("a.jsonl"), "a.jsonl.000004", "others' files do not count");
        fs::write(folder.path("a.jsonl.1000000"), "").unwrap();
        assert_eq!(next("a.jsonl"), "a.jsonl.1000001");
        fs::write(folder.path("a.jsonl.99999999999999999999"), "").unwrap();
        assert_eq!(next("a.jsonl"), "a.jsonl.1000001", "no number of ours");
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = Folder::new();
        let [one, other] = ["one", "other"].map(|name| folder.path(name));
        fs::write(&one, "1").unwrap();
        fs::write(&other, "2").unwrap();
        assert!(rename(&one, &other).is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "2");
        rename(&one, &folder.path("third")).unwrap();
    }

    #[test]
    fn the_oldest_go_and_the_others_are_compressed() {
        let folder = Folder::new();
        let path = folder.path("a.jsonl");
        for number in 1..=4 {
            fs::write(folder.path(&format!("a.jsonl.00000{number}")), format!("{number}\n"))
                .unwrap();
        }
        fs::write(folder.path("a.jsonl.000002.zst.part"), "half").unwrap();
        fs::write(folder.path("a.jsonl.other"), "").unwrap();
        fs::write(&path, "now\n").unwrap();
        let names = Names::new(&path);
        let stopped = AtomicBool::new(true);
        tidy(&names, Rotate { keep: 3, ..KEEP_TWO }, &stopped).unwrap();
        assert_eq!(
            folder.names(),
            ["a.jsonl", "a.jsonl.000002", "a.jsonl.000003", "a.jsonl.000004", "a.jsonl.other"]
        );
        tidy(&names, KEEP_TWO, &AtomicBool::new(false)).unwrap();
        assert_eq!(
            folder.names(),
            ["a.jsonl", "a.jsonl.000003.zst", "a.jsonl.000004.zst", "a.jsonl.other"]
        );
        let text = zstd::decode_all(File::open(folder.path("a.jsonl.000003.zst")).unwrap());
        assert_eq!(text.unwrap(), b"3\n");
    }

    #[test]
    fn a_link_is_not_read() {
        let folder = Folder::new();
        fs::write(folder.path("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(folder.path("secret"), folder.path("a.000001")).unwrap();
        assert!(tidy(&Names::new(&folder.path("a")), KEEP_TWO, &AtomicBool::new(false)).is_err());
        assert_eq!(folder.names(), ["a.000001", "secret"]);
    }

    #[test]
    fn a_thread_does_it() {
        let folder = Folder::new();
        let path = folder.path("a");
        fs::write(folder.path("a.000001"), "1\n").unwrap();
        let janitor = Janitor::new(&path, KEEP_TWO);
        janitor.wake();
        while folder.names() != ["a.000001.zst"] {
            std::thread::yield_now();
        }
        drop(janitor);
    }
}
