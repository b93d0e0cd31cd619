//! A limit on the size of files (`ulimit -f`): a write that exceeds it must fail, and not end us in
//! the middle of a line.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Ignores the signal that a write beyond the limit sends.
///
/// # Errors
///
/// That of sigaction().
pub fn ignore() -> Result<(), Errno> {
    // SAFETY: ignoring runs no code of ours.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.map(|_| ())
}
