//! tracefs: where it is mounted, or a mount of our own where it is not. Files are opened relative
//! to its root, which need not have a path.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::host::descriptor::owned;

/// The usual mount points: its own, or below debugfs.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// `FSCONFIG_CMD_CREATE` of `linux/mount.h`
const CONFIG_CREATE: u32 = 6;

/// A folder to start from; read permission is not needed.
const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A mount that nobody else sees: made once, and gone with the process, however that ends.
static OUR_MOUNT: Mutex<Option<Arc<OwnedFd>>> = Mutex::new(None);

/// The reason for having no tracefs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracefsError {
    /// True: tracefs, or a folder above it, exists, but we may not enter it. False: it is not
    /// mounted, and mounting it failed
    pub is_mounted: bool,
    /// Of the call that failed
    pub errno: Errno,
}

impl fmt::Display for TracefsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_mounted {
            true => f.write_str("only root may read tracefs; CAP_DAC_OVERRIDE helps"),
            false => write!(f, "tracefs is not mounted, and cannot be: {}", self.errno.desc()),
        }
    }
}

impl std::error::Error for TracefsError {}

/// tracefs. Paths are relative to its root.
pub struct Tracefs {
    root: Arc<OwnedFd>,
}

impl Tracefs {
    /// Opens the mounted tracefs, or else mounts one for us alone.
    pub fn open() -> Result<Self, TracefsError> {
        let mut forbidden = None;
        for place in PLACES {
            match enter(open(place, FOLDER, Mode::empty())) {
                Ok(root) => return Ok(Self { root: Arc::new(root) }),
                Err(errno @ (Errno::EACCES | Errno::EPERM)) => forbidden = Some(errno),
                Err(_) => {}
            }
        }
        our_mount().map(|root| Self { root }).map_err(|errno| TracefsError {
            is_mounted: forbidden.is_some(),
            errno: forbidden.unwrap_or(errno),
        })
    }

    /// Opens a file, with close-on-exec.
    pub fn open_file(&self, path: &str, flags: OFlag) -> Result<File, Errno> {
        let flags = flags | OFlag::O_CLOEXEC;
        Ok(File::from(openat(self.root.as_fd(), path, flags, Mode::empty())?))
    }

    /// The contents of a file.
    pub fn read(&self, path: &str) -> Result<String, Errno> {
        let mut text = String::new();
        let mut file = self.open_file(path, OFlag::O_RDONLY)?;
        file.read_to_string(&mut text).map_err(|error| number(&error))?;
        Ok(text)
    }

    /// Writes to an existing file.
    pub fn write(&self, path: &str, text: &str) -> Result<(), Errno> {
        let mut file = self.open_file(path, OFlag::O_WRONLY | OFlag::O_TRUNC)?;
        file.write_all(text.as_bytes()).map_err(|error| number(&error))
    }

    /// Whether there is such a folder.
    pub fn has_folder(&self, path: &str) -> bool {
        openat(self.root.as_fd(), path, FOLDER, Mode::empty()).is_ok()
    }

    /// The names in a folder.
    pub fn names(&self, path: &str) -> Result<Vec<String>, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = Dir::openat(self.root.as_fd(), path, flags, Mode::empty())?;
        let names = folder.into_iter().map_while(Result::ok);
        Ok(names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    /// Makes a folder.
    pub fn make_folder(&self, path: &str) -> Result<(), Errno> {
        mkdirat(self.root.as_fd(), path, Mode::from_bits_truncate(0o777))
    }

    /// Removes a folder.
    pub fn remove_folder(&self, path: &str) -> Result<(), Errno> {
        unlinkat(self.root.as_fd(), path, UnlinkatFlags::RemoveDir)
    }
}

fn number(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EBADMSG, Errno::from_raw)
}

/// The root, if it has tracepoints: an unmounted tracefs leaves an empty folder.
fn enter(root: Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    let root = root?;
    openat(&root, "events", FOLDER, Mode::empty())?;
    Ok(root)
}

fn our_mount() -> Result<Arc<OwnedFd>, Errno> {
    let mut ours = OUR_MOUNT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(root) = &*ours {
        return Ok(Arc::clone(root));
    }
    let root = Arc::new(enter(mount(c"tracefs"))?);
    *ours = Some(Arc::clone(&root));
    Ok(root)
}

/// Mounts a file system outside of every process's tree (Linux 5.2).
pub(crate) fn mount(kind: &CStr) -> Result<OwnedFd, Errno> {
    const CLOEXEC: u32 = 1; // FSOPEN_CLOEXEC, and FSMOUNT_CLOEXEC too
    // SAFETY: the name ends in a NUL.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) };
    let context = owned(context)?;
    let fd = context.as_raw_fd();
    let null = std::ptr::null::<u8>();
    // SAFETY: this command takes no strings.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, fd, CONFIG_CREATE, null, null, 0) };
    Errno::result(made)?;
    // SAFETY: no memory arguments.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fd, CLOEXEC, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_mount_is_made_once_and_seen_by_nobody() {
        let Ok(first) = our_mount() else { return }; // not as root
        let second = our_mount().unwrap();
        assert_eq!(first.as_raw_fd(), second.as_raw_fd());
        let tracefs = Tracefs { root: first };
        assert!(tracefs.has_folder("events/sched"));
        assert!(tracefs.names("events").unwrap().iter().any(|name| name == "sched"));
        // All threads of this process share the mounts, and must see no more than before.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let places = mounts.lines().filter(|line| line.contains(" - tracefs "));
        let places: Vec<_> = places.filter_map(|line| line.split(' ').nth(4)).collect();
        assert!(places.iter().all(|place| PLACES.contains(place)), "{places:?}");
    }

    #[test]
    fn files_that_are_not_there() {
        let Ok(tracefs) = Tracefs::open() else { return }; // not as root
        assert_eq!(tracefs.read("events/no_such"), Err(Errno::ENOENT));
        assert!(!tracefs.has_folder("events/no_such"));
        assert!(tracefs.names("events/no_such").is_err());
    }
}
