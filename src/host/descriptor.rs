//! Descriptors that system calls without a wrapper return.

use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::errno::Errno;

/// The new descriptor that a system call has just returned, or its errno.
pub(crate) fn owned(returned: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(Errno::result(returned)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: new, so nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
