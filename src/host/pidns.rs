//! The PID namespace that we are in: process ids mean something only together with it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;

use crate::host::tracefs::mount;

/// `PROC_PID_INIT_INO`: the inode of the initial PID namespace.
const INITIAL: u64 = 0xEFFF_FFFC;

/// Its inode number; `None` for the initial one. Where /proc does not show us, a mount of our own does.
///
/// # Errors
///
/// /proc does not show us, and may not be mounted.
pub fn inode() -> Result<Option<u64>, Errno> {
    let inode = match fs::metadata("/proc/self/ns/pid") {
        Ok(namespace) => namespace.ino(),
        Err(_) => fstatat(mount(c"proc")?, "self/ns/pid", AtFlags::empty())?.st_ino,
    };
    Ok((inode != INITIAL).then_some(inode))
}

/// Whether ids in /proc are those of events.
pub fn is_initial() -> bool {
    inode() == Ok(None)
}
