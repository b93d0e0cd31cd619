//! tracefs: where it is mounted, or a mount of our own where it is not.

use std::ffi::CStr;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;

/// Where it is mounted by custom: by itself, or below debugfs.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// `FSCONFIG_CMD_CREATE` of `linux/mount.h`
const CONFIG_CREATE: u32 = 6;

/// The folder of all tracepoints, if tracefs is mounted.
pub fn events_folder() -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join("events")).find(|events| events.is_dir())
}

/// Whether tracefs, or what it is mounted in, is kept from us.
pub fn is_forbidden() -> bool {
    let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    PLACES.iter().any(|place| Path::new(place).join("events").metadata().is_err_and(denied))
}

/// tracefs, for as long as this lives.
pub struct Tracefs {
    /// Its root
    pub root: PathBuf,
    /// Where it was not mounted: a mount that nobody else sees
    _mount: Option<OwnedFd>,
}

impl Tracefs {
    /// Where it is mounted, else mounted for us alone.
    pub fn open() -> Result<Self> {
        let mounted = PLACES.iter().map(Path::new).find(|place| place.join("events").is_dir());
        if let Some(root) = mounted {
            return Ok(Self { root: root.to_owned(), _mount: None });
        }
        let lack = match is_forbidden() {
            true => "only root may read tracefs; CAP_DAC_OVERRIDE helps",
            false => "tracefs is not mounted, and cannot be",
        };
        let mount = mount(c"tracefs").context(lack)?;
        let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        Ok(Self { root, _mount: Some(mount) })
    }
}

/// A mount of a file system that is not in the tree of any process (Linux 5.2).
fn mount(kind: &CStr) -> Result<OwnedFd> {
    // SAFETY: the name ends in a NUL.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1) };
    let context = owned(context)?;
    let fd = context.as_raw_fd();
    let null = std::ptr::null::<u8>();
    // SAFETY: this command takes no strings.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, fd, CONFIG_CREATE, null, null, 0) };
    Errno::result(made)?;
    // SAFETY: no memory arguments.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fd, 1, 0) })
}

fn owned(fd: libc::c_long) -> Result<OwnedFd> {
    let fd = Errno::result(i32::try_from(fd)?)?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
