//! Descriptors: those that system calls without a wrapper return, and whether one is readable.

use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The new descriptor that a system call has just returned, or its errno.
pub(crate) fn owned(returned: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(Errno::result(returned)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: new, so nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor of a process, which is readable once the process has ended: pidfd_open(2).
pub(crate) fn of_process(pid: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open() has no memory arguments.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Whether it is readable now.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
