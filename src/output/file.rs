//! A file for runs without an end: `--output FILE`.
//!
//! Lines wait in memory until they are in the file, and go there whole: each write() is of whole
//! lines, and what a full disk cuts off is taken back. A full disk does not end the run: lines
//! wait, up to [`MOST_WAITING`], and then rows are dropped and counted. `FILE.zst` gets a whole
//! frame of zstd at a time, so that a crash costs the frame that was being collected and no other.

mod frames;
mod open;
mod rotate;
#[cfg(test)]
mod testing;

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::Flock;

use crate::host::errno::without_numbers;
use crate::output::escape::{Quote, push_shell_word};
pub use rotate::Rotate;
use rotate::{Janitor, Names};

/// The most bytes that wait for room on the disk.
const MOST_WAITING: usize = 8 << 20;

/// After a write that failed, the next one is tried so much later.
const RETRY: Duration = Duration::from_secs(1);

/// A frame is collected for at most so long,
const FRAME_AGE: Duration = Duration::from_secs(1);
/// and up to this size.
const FRAME_BYTES: usize = 1 << 20;

/// Of zstd: JSON Lines shrink to a tenth, and it costs less than making them.
const LEVEL: i32 = 1;

/// What lines a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// JSON Lines
    Json,
    /// Lines of `LogsData`
    Otlp,
    /// Text
    Text,
}

/// What a look at the file may find: see [`OutputFile::look`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// All is as it was
    Same,
    /// It has the size or the age at which it is rotated
    Full,
    /// It was emptied by somebody: it has to begin again
    Emptied,
    /// It was removed: [`OutputFile::reopen`]
    Removed,
}

/// The file, and what waits for it.
pub struct OutputFile {
    path: PathBuf,
    content: Content,
    file: Flock<File>,
    /// Bytes of it that are whole lines or frames; beyond them is what a failed write left
    len: u64,
    /// There are such bytes, which could not be taken back yet
    is_torn: bool,
    frames: Option<Frames>,
    rotate: Option<Rotate>,
    /// The size at which it is rotated
    full_at: u64,
    /// The time at which it is rotated; `None` while it has only its opening
    old_at: Option<Instant>,
    janitor: Option<Janitor>,
    /// Lines; the last one need not be whole
    waiting: Vec<u8>,
    /// Ends of rows in `waiting`
    rows: Vec<usize>,
    /// The rest of a line comes whose beginning was dropped
    is_dropping: bool,
    failing: Option<Failing>,
    /// A failed write is an error at once
    is_strict: bool,
    /// For stderr
    notices: Vec<String>,
    dropped: u64,
}

/// Writes fail.
struct Failing {
    errno: Errno,
    next: Instant,
    /// Rows that were dropped
    dropped: u64,
}

/// Collects frames.
struct Frames {
    compressor: zstd::bulk::Compressor<'static>,
    frame: Vec<u8>,
    /// When what waits began to wait
    since: Option<Instant>,
}

impl Frames {
    fn new() -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self { compressor, frame: Vec::new(), since: None })
    }

    /// Makes a frame of `bytes`.
    fn compress(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.compressor.compress_to_buffer(bytes, &mut self.frame).map(|_| ())
    }
}

impl OutputFile {
    /// Opens the file for appending, or creates it. Half a line at its end is cut off, or ended if
    /// the file is text.
    ///
    /// # Errors
    ///
    /// One line that says why this file cannot be it.
    pub fn open(path: &Path, content: Content, rotate: Option<Rotate>) -> Result<Self> {
        let name = shown(path);
        let refused = |why: String| anyhow!("--output {name}: {why}");
        let is_compressed = rotate::is_compressed(path);
        let opened = open::open(path, content, is_compressed).map_err(refused)?;
        let frames = match is_compressed {
            true => Some(Frames::new().map_err(|error| refused(words(&error)))?),
            false => None,
        };
        Ok(Self {
            path: path.to_owned(),
            content,
            file: opened.file,
            len: opened.len,
            is_torn: false,
            frames,
            full_at: full_at(rotate),
            old_at: (opened.len > 0).then(|| old_at(rotate)).flatten(),
            rotate,
            janitor: None,
            waiting: Vec::new(),
            rows: Vec::new(),
            is_dropping: false,
            failing: None,
            is_strict: false,
            notices: opened.notice.map(|words| format!("{name}: {words}")).into_iter().collect(),
            dropped: 0,
        })
    }

    /// From now on, a failed write is an error at once: for runs that can be done again.
    pub fn be_strict(&mut self) {
        self.is_strict = true;
    }

    /// Whether it is this file.
    pub fn is(&self, other: &Metadata) -> bool {
        let own = self.file.metadata();
        own.is_ok_and(|own| (own.dev(), own.ino()) == (other.dev(), other.ino()))
    }

    /// For messages.
    pub fn name(&self) -> String {
        shown(&self.path)
    }

    /// What happened, for stderr.
    pub fn take_notices(&mut self) -> Vec<String> {
        let mut notices = std::mem::take(&mut self.notices);
        notices.extend(self.janitor.as_ref().into_iter().flat_map(Janitor::notices));
        notices
    }

    /// Rows that were dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Bytes in the file, and bytes that wait.
    pub fn bytes(&self) -> (u64, usize) {
        (self.len, self.waiting.len())
    }

    /// Why nothing can be written, if so.
    pub fn failure(&self) -> Option<String> {
        self.failing.as_ref().map(|failing| words(&failing.errno.into()))
    }

    /// Takes over `bytes`, which end where they may, with ends of rows in them.
    pub fn take(&mut self, bytes: &mut Vec<u8>, rows: &[usize]) {
        if self.is_dropping {
            let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            self.is_dropping = end.is_none();
            let end = end.unwrap_or(bytes.len());
            let gone = rows.partition_point(|&row| row <= end);
            self.drop_rows(gone);
            bytes.drain(..end);
            let rest: Vec<_> = rows.iter().skip(gone).map(|row| row - end).collect();
            return self.take_lines(bytes, &rest);
        }
        self.take_lines(bytes, rows);
    }

    fn drop_rows(&mut self, rows: usize) {
        self.dropped += rows as u64;
        if let Some(failing) = &mut self.failing {
            failing.dropped += rows as u64;
        }
    }

    fn take_lines(&mut self, bytes: &mut Vec<u8>, rows: &[usize]) {
        if self.failing.is_some() && self.waiting.len() + bytes.len() > MOST_WAITING {
            self.drop_rows(rows.len());
            self.is_dropping = bytes.last().is_some_and(|&byte| byte != b'\n');
            let whole = whole_lines(&self.waiting);
            self.waiting.truncate(whole);
            bytes.clear();
            return;
        }
        let at = self.waiting.len();
        self.rows.extend(rows.iter().map(|end| at + end));
        if !bytes.is_empty() {
            self.old_at = self.old_at.or_else(|| old_at(self.rotate));
        }
        if at == 0 {
            std::mem::swap(&mut self.waiting, bytes);
        } else {
            self.waiting.append(bytes);
        }
        bytes.clear();
    }

    /// Puts these whole lines in front of all that waits.
    pub fn begin(&mut self, opening: &[u8]) {
        self.waiting.splice(0..0, opening.iter().copied());
        self.rows.iter_mut().for_each(|end| *end += opening.len());
    }

    /// The longest time until [`OutputFile::write`] or [`OutputFile::look`] has something to do.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let next_write = match (&self.failing, &self.frames) {
            _ if self.waiting.is_empty() => None,
            (Some(failing), _) => Some(failing.next),
            (None, Some(frames)) => frames.since.map(|since| since + FRAME_AGE),
            (None, None) => None,
        };
        // (While writes fail it is not rotated.)
        let old_at = self.old_at.filter(|_| self.failing.is_none());
        let next = next_write.into_iter().chain(old_at).min();
        next.map(|next| next.saturating_duration_since(now))
    }

    /// Writes the whole lines that wait, if it is time. `now` is the time, and `None` forces it.
    ///
    /// # Errors
    ///
    /// The disk is full, or another failure of write(), if this file is strict.
    pub fn write(&mut self, now: Option<Instant>) -> Result<()> {
        let whole = whole_lines(&self.waiting);
        if whole == 0 || !self.is_due(now, whole) {
            return Ok(());
        }
        let (written, errno) = match self.append(whole) {
            Ok(done) => done,
            Err(error) => return Err(anyhow!("{}: {error}", self.name())), // of zstd
        };
        self.waiting.drain(..written);
        let gone = self.rows.partition_point(|&end| end <= written);
        self.rows.drain(..gone);
        self.rows.iter_mut().for_each(|end| *end -= written);
        match errno {
            None => self.note_success(),
            Some(errno) if self.is_strict => {
                return Err(anyhow!("cannot write to {}: {}", self.name(), words(&errno.into())));
            }
            Some(errno) => self.note_failure(errno),
        }
        Ok(())
    }

    fn is_due(&mut self, now: Option<Instant>, whole: usize) -> bool {
        let Some(now) = now else { return true };
        if let Some(failing) = &self.failing {
            return now >= failing.next;
        }
        let Some(frames) = &mut self.frames else { return true };
        let since = *frames.since.get_or_insert(now);
        whole >= FRAME_BYTES || now.saturating_duration_since(since) >= FRAME_AGE
    }

    /// Appends the first `whole` bytes that wait, or as many of them as there is room for. Returns
    /// how many, and why not all.
    fn append(&mut self, whole: usize) -> io::Result<(usize, Option<Errno>)> {
        if self.is_torn {
            match nix::unistd::ftruncate(&*self.file, self.len as i64) {
                Ok(()) => self.is_torn = false,
                Err(errno) => return Ok((0, Some(errno))),
            }
        }
        let lines = self.waiting.get(..whole).unwrap_or_default();
        let (written, kept, done, failed) = match &mut self.frames {
            None => {
                let (written, failed) = write_all(&self.file, lines);
                let kept = match failed {
                    None => written,
                    Some(_) => whole_lines(lines.get(..written).unwrap_or_default()),
                };
                (written, kept, kept, failed)
            }
            Some(frames) => {
                frames.compress(lines)?;
                let (written, failed) = write_all(&self.file, &frames.frame);
                match failed {
                    None => {
                        frames.since = None;
                        (written, written, whole, failed)
                    }
                    Some(_) => (written, 0, 0, failed),
                }
            }
        };
        self.len += kept as u64;
        if kept < written {
            self.cut_off((written - kept) as u64);
        }
        Ok((done, failed))
    }

    /// Takes back what was written last, unless somebody else has written behind it.
    fn cut_off(&mut self, bytes: u64) {
        let is_last = self.file.metadata().is_ok_and(|file| file.len() == self.len + bytes);
        let cut = is_last.then(|| nix::unistd::ftruncate(&*self.file, self.len as i64));
        self.is_torn = cut.is_some_and(|cut| cut.is_err());
    }

    fn note_success(&mut self) {
        let Some(failing) = self.failing.take() else { return };
        let (name, dropped) = (self.name(), failing.dropped);
        let rows = if dropped == 1 { "event" } else { "events" };
        self.notices.push(match dropped {
            0 => format!("{name} can be written again: nothing is lost"),
            _ => format!("{name} can be written again: {dropped} {rows} lost"),
        });
    }

    fn note_failure(&mut self, errno: Errno) {
        let next = Instant::now() + RETRY;
        if let Some(failing) = &mut self.failing {
            (failing.errno, failing.next) = (errno, next);
            return;
        }
        self.failing = Some(Failing { errno, next, dropped: 0 });
        let (name, why) = (self.name(), words(&errno.into()));
        let most = MOST_WAITING >> 20;
        self.notices.push(format!(
            "cannot write to {name}: {why}: {most} MiB wait, what comes then is lost until it can"
        ));
    }

    /// Looks at what has become of the file.
    pub fn look(&mut self) -> Look {
        if self.rotate.is_some() && self.janitor.is_none() {
            self.tidy(); // what an earlier run has left
        }
        let Ok(file) = self.file.metadata() else { return Look::Same };
        if file.nlink() == 0 {
            return Look::Removed;
        }
        if file.len() < self.len {
            (self.is_torn, self.len) = (false, file.len());
            return Look::Emptied;
        }
        if !self.is_torn {
            self.len = file.len(); // somebody else may append to it, too
        }
        let is_old = self.old_at.is_some_and(|at| Instant::now() >= at);
        let is_full = is_old || self.len >= self.full_at;
        if is_full && self.failing.is_none() { Look::Full } else { Look::Same }
    }

    /// Whether the name of the file is another file's by now, or nobody's.
    pub fn is_moved(&self) -> bool {
        let own = self.file.metadata().map(|file| (file.dev(), file.ino())).ok();
        let named = std::fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino())).ok();
        own != named
    }

    /// Ends this file with `last`, whole lines, and opens the one that has its name now.
    pub fn reopen(&mut self, last: &[u8]) -> bool {
        let is_compressed = self.frames.is_some();
        let opened = match open::open(&self.path, self.content, is_compressed) {
            Ok(opened) => opened,
            Err(why) => {
                let name = self.name();
                self.notices.push(format!("{name} cannot be opened again: {why}"));
                return false;
            }
        };
        self.finish(last);
        self.go_on_in(opened);
        true
    }

    /// Ends this file with `last`, whole lines, gives it another name, and begins a new one.
    pub fn rotate(&mut self, last: &[u8]) -> bool {
        self.finish(last);
        let names = Names::new(&self.path);
        let renamed = names.next().and_then(|next| {
            rotate::rename(&self.path, &next)?;
            open::create_like(&self.path, &self.file).inspect_err(|_| {
                let _ = rotate::rename(&next, &self.path);
            })
        });
        match renamed {
            Ok(opened) => {
                self.go_on_in(opened);
                self.tidy();
                true
            }
            Err(error) => {
                let (name, why) = (self.name(), words(&error));
                self.notices.push(format!("{name} cannot be rotated: {why}: it grows on"));
                let more = self.rotate.map_or(u64::MAX, |rotate| rotate.bytes);
                self.full_at = self.len.saturating_add(more);
                self.old_at = old_at(self.rotate);
                false
            }
        }
    }

    /// Writes all that can be written, and `last` behind it.
    fn finish(&mut self, last: &[u8]) {
        let whole = whole_lines(&self.waiting);
        self.waiting.splice(whole..whole, last.iter().copied());
        let _ = self.write(None); // what is not written goes to the next file
    }

    fn go_on_in(&mut self, opened: open::Opened) {
        let name = self.name();
        self.notices.extend(opened.notice.map(|words| format!("{name}: {words}")));
        (self.file, self.len, self.is_torn) = (opened.file, opened.len, false);
        self.full_at = full_at(self.rotate);
        self.old_at = (!self.waiting.is_empty()).then(|| old_at(self.rotate)).flatten();
        if let Some(failing) = &mut self.failing {
            failing.next = Instant::now(); // it may be another disk
        }
    }

    /// Has old files compressed or removed.
    fn tidy(&mut self) {
        let Some(rotate) = self.rotate else { return };
        let janitor = self.janitor.get_or_insert_with(|| Janitor::new(&self.path, rotate));
        janitor.wake();
    }

    /// Writes everything, now. Returns how many rows could not be written.
    ///
    /// # Errors
    ///
    /// Something could not be written.
    pub fn close(&mut self) -> (u64, Result<()>) {
        if self.waiting.last().is_some_and(|&byte| byte != b'\n') {
            self.waiting.push(b'\n');
        }
        let strict = std::mem::replace(&mut self.is_strict, true);
        let written = self.write(None);
        self.is_strict = strict;
        let unwritten = self.rows.len() as u64;
        if written.is_err() {
            self.rows.clear();
            self.waiting.clear();
        }
        (unwritten, written)
    }
}

impl AsFd for OutputFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Writes all of it, or as much as there is room for: how much, and why not all.
fn write_all(file: &File, bytes: &[u8]) -> (usize, Option<Errno>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match nix::unistd::write(file, rest) {
            Ok(0) => return (written, Some(Errno::ENOSPC)),
            Ok(count) => written += count,
            Err(Errno::EINTR) => {}
            Err(errno) => return (written, Some(errno)),
        }
    }
    (written, None)
}

/// Bytes up to the end of the last whole line.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

fn full_at(rotate: Option<Rotate>) -> u64 {
    rotate.map_or(u64::MAX, |rotate| rotate.bytes)
}

fn old_at(rotate: Option<Rotate>) -> Option<Instant> {
    rotate?.age.map(|age| Instant::now() + age)
}

/// A name of a file, for messages.
fn shown(path: &Path) -> String {
    let mut text = String::new();
    push_shell_word(&mut text, path.as_os_str().as_encoded_bytes(), false, Quote::WhereNeeded);
    text
}

fn words(error: &io::Error) -> String {
    without_numbers(&error.to_string())
}

#[cfg(test)]
mod tests;
