//! Which file may be written to, and how it begins and ends.
//!
//! The tool may be root and the folder anybody's, such as /tmp: a link is not followed, nothing but
//! a regular file is opened, and in a folder where everybody may create files it must be our own.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{
    FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use super::{Content, frames, words};
use crate::output::otlp;

/// For others than owner and group the events are no business.
const MODE: u32 = 0o640;

/// An open file.
pub(super) struct Opened {
    pub(super) file: Flock<File>,
    /// Its size
    pub(super) len: u64,
    /// What was done to its end
    pub(super) notice: Option<String>,
}

/// Opens or creates it. The error: why it cannot be it, in words.
pub(super) fn open(path: &Path, content: Content, is_compressed: bool) -> Result<Opened, String> {
    // Opening a device may do something. (In a folder of others', a link is not followed below.)
    match std::fs::symlink_metadata(path) {
        Ok(file) => check_kind(&file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(words(&error)),
    }
    let file = options().create(true).open(path).map_err(|error| words(&error))?;
    check(path, &file)?;
    let file = lock(file)?;
    let mut len = file.metadata().map_err(|error| words(&error))?.len();
    let notice = match (len, is_compressed) {
        (0, _) => None,
        (_, true) => check_frames(&file, &mut len)?,
        (_, false) => check_lines(&file, content, &mut len)?,
    };
    Ok(Opened { file, len, notice })
}

/// Creates the file that takes the place of `old`, which has another name by now. It has its owner
/// and mode.
pub(super) fn create_like(path: &Path, old: &File) -> io::Result<Opened> {
    let metadata = old.metadata()?;
    let file = options().create_new(true).open(path)?;
    let _ = fchown(&file, Some(metadata.uid()), Some(metadata.gid())); // needs a capability
    let mode = std::fs::Permissions::from_mode(metadata.mode() & 0o777);
    let _ = file.set_permissions(mode);
    let file = lock(file).map_err(io::Error::other)?;
    Ok(Opened { file, len: 0, notice: None })
}

fn options() -> OpenOptions {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(MODE).custom_flags(flags);
    options
}

fn check_kind(file: &Metadata) -> Result<(), String> {
    if file.is_symlink() {
        return Err("a symbolic link: name the file itself".to_owned());
    }
    if !file.is_file() {
        return Err("not a regular file".to_owned());
    }
    Ok(())
}

/// The opened file: see the top of this file.
fn check(path: &Path, file: &File) -> Result<(), String> {
    let metadata = file.metadata().map_err(|error| words(&error))?;
    check_kind(&metadata)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = std::fs::metadata(folder.unwrap_or(Path::new(".")));
    let is_anybodys = folder.is_ok_and(|folder| folder.mode() & 0o002 != 0);
    if is_anybodys && metadata.uid() != geteuid().as_raw() {
        return Err("another user's file, in a folder where everybody creates files".to_owned());
    }
    if is_anybodys && metadata.nlink() > 1 {
        return Err("it has a second name, in a folder where everybody creates files".to_owned());
    }
    Ok(())
}

/// Two writers would rotate, and take back, each other's lines.
fn lock(file: File) -> Result<Flock<File>, String> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(file),
        Err((_, Errno::EWOULDBLOCK)) => Err("another tool writes to it".to_owned()),
        Err((_, errno)) => Err(format!("cannot be locked: {}", words(&errno.into()))),
    }
}

/// A file of lines must have such lines already, and ends with a whole one.
fn check_lines(file: &File, content: Content, len: &mut u64) -> Result<Option<String>, String> {
    let mut head = [0; 512];
    let count = file.read_at(&mut head, 0).map_err(|error| words(&error))?;
    let head = head.get(..count).unwrap_or_default();
    let is_json = head.first() == Some(&b'{');
    let is_otlp = head.starts_with(otlp::BEGINNING);
    match content {
        Content::Json if is_otlp => {
            return Err("it exists, and has lines of --json=otlp".to_owned());
        }
        Content::Otlp if !is_otlp => {
            return Err("it exists, and has something else than lines of --json=otlp".to_owned());
        }
        Content::Json if !is_json => {
            return Err("it exists, and has something else than JSON Lines".to_owned());
        }
        Content::Text if is_json || head.contains(&0) || frames::is_frame(head) => {
            return Err("it exists, and has something else than text".to_owned());
        }
        _ => {}
    }
    let end = end_of_lines(file, *len).map_err(|error| words(&error))?;
    let half = *len - end;
    if half == 0 {
        return Ok(None);
    }
    if content == Content::Text {
        file.write_all_at(b"\n", *len).map_err(|error| words(&error))?;
        *len += 1;
        return Ok(Some("it ended within a line, which has an end now".to_owned()));
    }
    cut(file, len, end)?;
    Ok(Some(format!("it ended within a line: these {half} bytes are cut off")))
}

/// Where the last whole line ends.
fn end_of_lines(file: &File, len: u64) -> io::Result<u64> {
    const BLOCK: u64 = 1 << 16;
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(&mut block, start)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// A compressed file must have frames, and ends with a whole one.
fn check_frames(file: &File, len: &mut u64) -> Result<Option<String>, String> {
    let mut head = [0; 4];
    let count = file.read_at(&mut head, 0).map_err(|error| words(&error))?;
    if !frames::is_frame(&head) || count < head.len() {
        return Err("it exists, and is not compressed by zstd".to_owned());
    }
    let end = frames::end_of_frames(file, *len).map_err(|error| words(&error))?;
    let half = *len - end;
    if half == 0 {
        return Ok(None);
    }
    cut(file, len, end)?;
    Ok(Some(format!("it ended within a frame of zstd: these {half} bytes are cut off")))
}

fn cut(file: &File, len: &mut u64, end: u64) -> Result<(), String> {
    file.set_len(end).map_err(|error| words(&error))?;
    *len = end;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use nix::sys::stat::Mode;

    use super::super::testing::Folder;
    use super::*;

    fn refusal(path: &Path, content: Content) -> String {
        open(path, content, false).err().unwrap()
    }

    #[test]
    fn only_regular_files_and_no_links() {
        let folder = Folder::new();
        let [fifo, link, file] = ["fifo", "link", "file"].map(|name| folder.path(name));
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(refusal(&fifo, Content::Text), "not a regular file");
        assert_eq!(refusal(Path::new("/dev/null"), Content::Text), "not a regular file");
        assert_eq!(refusal(&folder.path(""), Content::Text), "not a regular file");
        assert!(refusal(&link, Content::Text).contains("symbolic link"));
        assert!(!file.exists(), "nothing is created through a link");
        assert!(refusal(&folder.path("no/such"), Content::Text).contains("No such file"));
        let opened = open(&file, Content::Text, false).unwrap();
        assert_eq!(opened.file.metadata().unwrap().mode() & 0o007, 0);
        assert!(refusal(&file, Content::Text).contains("another tool"));
        drop(opened);
        assert!(open(&file, Content::Text, false).is_ok());
    }

    #[test]
    fn where_everybody_creates_files_only_our_own_is_written() {
        let folder = Folder::new();
        fs::set_permissions(folder.path(""), fs::Permissions::from_mode(0o1777)).unwrap();
        let (file, other) = (folder.path("file"), folder.path("other"));
        fs::write(&file, "").unwrap();
        assert!(open(&file, Content::Text, false).is_ok());
        fs::hard_link(&file, &other).unwrap();
        assert!(refusal(&file, Content::Text).contains("second name"));
        fs::remove_file(&other).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
            // The kernel may refuse it first: fs.protected_regular.
            let why = refusal(&file, Content::Text);
            assert!(why.contains("another user") || why.contains("denied"), "{why}");
        }
    }

    fn with(folder: &Folder, text: &[u8]) -> PathBuf {
        let path = folder.path("lines");
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn files_of_another_kind_stay_as_they_are() {
        let folder = Folder::new();
        let frame = zstd::encode_all(&b"x"[..], 0).unwrap();
        for (text, content) in [
            (&b"a table\n"[..], Content::Json),
            (b"{\"a\":1}\n", Content::Text),
            (b"{\"a\":1}\n", Content::Otlp),
            (b"\x7fELF\0", Content::Text),
            (&frame, Content::Text),
            (&frame, Content::Json),
        ] {
            let path = with(&folder, text);
            assert!(refusal(&path, content).contains("something else"), "{text:?}");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
        let path = with(&folder, b"{\"resourceLogs\":[]}\n");
        assert!(refusal(&path, Content::Json).contains("--json=otlp"));
        assert!(open(&path, Content::Otlp, false).is_ok());
        let path = with(&folder, b"{}\n");
        assert!(open(&path, Content::Json, true).err().unwrap().contains("zstd"));
    }

    #[test]
    fn half_a_line_is_not_gone_on_with() {
        let folder = Folder::new();
        let long = "x".repeat(200_000);
        for (before, content, after) in [
            ("{}\n{\"ha".to_owned(), Content::Json, "{}\n".to_owned()),
            ("{\"ha".to_owned(), Content::Json, String::new()),
            (format!("{{}}\n{{{long}"), Content::Json, "{}\n".to_owned()),
            ("one\ntw".to_owned(), Content::Text, "one\ntw\n".to_owned()),
            ("{}\n".to_owned(), Content::Json, "{}\n".to_owned()),
        ] {
            let path = with(&folder, before.as_bytes());
            let opened = open(&path, content, false).unwrap();
            assert_eq!(opened.notice.is_some(), before != after);
            assert_eq!(opened.len, after.len() as u64);
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn a_new_file_is_like_the_old_one() {
        let folder = Folder::new();
        let old = open(&folder.path("old"), Content::Text, false).unwrap();
        fs::set_permissions(folder.path("old"), fs::Permissions::from_mode(0o604)).unwrap();
        let new = create_like(&folder.path("new"), &old.file).unwrap();
        assert_eq!(new.file.metadata().unwrap().mode() & 0o777, 0o604);
        assert!(create_like(&folder.path("new"), &old.file).is_err(), "it is there already");
    }
}
