//! Our PID namespace, without which process ids mean nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;

use crate::host::tracefs::mount;

/// `PROC_PID_INIT_INO`: the inode of the initial PID namespace.
const INITIAL: u64 = 0xEFFF_FFFC;

/// The inode number of the namespace; `None` for the initial one. If /proc belongs to another
/// namespace, we mount one of our own.
///
/// # Errors
///
/// /proc belongs to another namespace, and we may not mount one.
pub fn inode() -> Result<Option<u64>, Errno> {
    let inode = match fs::metadata("/proc/self/ns/pid") {
        Ok(namespace) => namespace.ino(),
        Err(_) => fstatat(mount(c"proc")?, "self/ns/pid", AtFlags::empty())?.st_ino,
    };
    Ok((inode != INITIAL).then_some(inode))
}

/// Whether ids in /proc are those of our own namespace.
pub fn proc_is_ours() -> bool {
    let own = std::process::id().to_string();
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str())
}

/// Whether ids in /proc are those of events.
pub fn is_initial() -> bool {
    inode() == Ok(None)
}
