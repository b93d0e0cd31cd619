//! A limit on the size of files (`ulimit -f`): a write that exceeds it must fail, and not end us in
//! the middle of a line.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Whether whoever started us had ignored the signal.
static WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Ignores the signal that a write beyond the limit sends.
///
/// # Errors
///
/// That of sigaction().
pub fn ignore() -> Result<(), Errno> {
    // SAFETY: ignoring runs no code of ours.
    let before = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    WAS_IGNORED.store(matches!(before, SigHandler::SigIgn), Ordering::Relaxed);
    Ok(())
}

/// In a child of ours: as it was before, for the command that the child becomes.
pub(crate) fn restore() {
    if !WAS_IGNORED.load(Ordering::Relaxed) {
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigDfl) };
    }
}
