//! Opening files whose name, place or contents another process chose.
//!
//! Such a file may be anything: a FIFO that nobody writes to, a device, a link to either, a file of
//! another user, or one without end. So it is found first, which opens nothing, then looked at, and
//! only a regular file is opened. That may still take for ever, on a file system of a user's own
//! (FUSE): callers in the main loop leave it to a helper.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// The file at `path` below `root`, as a process with that root finds it, not opened. The last part
/// of the path is not followed if it is a link.
///
/// # Errors
///
/// Those of openat2().
pub fn find_below(root: impl AsFd, path: &Path) -> Result<File, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(root, path, OpenHow::new().flags(flags).resolve(resolve)).map(File::from)
}

/// The file at `path` below `folder`, with no link on the way, not opened.
///
/// # Errors
///
/// Those of openat2(): `ELOOP` at a link.
pub fn find_beneath(folder: impl AsFd, path: &Path) -> Result<File, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    openat2(folder, path, OpenHow::new().flags(flags).resolve(resolve)).map(File::from)
}

/// The file at `path`, which may be a link, not opened.
///
/// # Errors
///
/// Those of open().
pub fn find(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_PATH).open(path)
}

/// Opens a found file for reading, if it is a regular one.
///
/// # Errors
///
/// `EINVAL` for other files, or those of open().
pub fn open(found: &File) -> io::Result<(File, Metadata)> {
    if !found.metadata()?.is_file() {
        return Err(Errno::EINVAL.into());
    }
    // Without O_NONBLOCK, the owner's lease of the file would make us wait for its end.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// The contents of a regular file of at most `most` bytes.
///
/// # Errors
///
/// `EINVAL` for other files, `EFBIG` for longer ones, or those of reading.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open(&find(path)?)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(Errno::EFBIG.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = std::env::temp_dir().join(format!("snoop-chosen-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let [fifo, link, file] = ["fifo", "link", "file"].map(|name| folder.join(name));
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        symlink(&file, &link).unwrap();
        fs::write(&file, "12345").unwrap();
        let code = |result: io::Result<Vec<u8>>| result.unwrap_err().raw_os_error();
        assert_eq!(code(read(&fifo, 9)), Some(libc::EINVAL));
        assert_eq!(code(read(Path::new("/dev/zero"), 9)), Some(libc::EINVAL));
        assert_eq!(code(read(&folder, 9)), Some(libc::EINVAL));
        assert_eq!(code(read(&file, 4)), Some(libc::EFBIG));
        assert_eq!(read(&link, 5).unwrap(), b"12345");
        let root = find(&folder).unwrap();
        let below = |name: &str| open(&find_below(&root, Path::new(name)).unwrap());
        assert!(below("/file").is_ok() && below("../file").is_ok(), "nothing is above the root");
        let beneath = |name: &str| find_beneath(&root, Path::new(name)).err();
        assert_eq!([beneath("file"), beneath("link")], [None, Some(Errno::ELOOP)]);
        assert_eq!(beneath("../x"), Some(Errno::EXDEV));
        assert!(below("fifo").is_err() && below("link").is_err(), "a link is not followed");
        fs::remove_dir_all(folder).unwrap();
    }
}
