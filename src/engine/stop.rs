//! How a run ends before its time: signals, and the command whose status becomes ours.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::engine::command::Command;

/// SIGINT, SIGTERM and SIGHUP: a descriptor that wakes the main loop. A SIGHUP that was ignored
/// when we were started stays so.
pub(crate) struct StopSignal {
    /// Readable after a signal
    pub(crate) eventfd: Arc<EventFd>,
    requested: bool,
}

impl StopSignal {
    pub(crate) fn install() -> Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let eventfd = Arc::new(EventFd::from_flags(flags).context("eventfd")?);
        let handle = Arc::clone(&eventfd);
        let survives_hangup = is_ignored(Signal::SIGHUP)?;
        ctrlc::set_handler(move || {
            let _ = handle.write(1); // full only after 2^64 signals
        })
        .map_err(|error| match error {
            ctrlc::Error::System(error) => anyhow::Error::from(error),
            other => other.into(),
        })
        .context("handle signals")?;
        if survives_hangup {
            // SAFETY: ignoring runs no code of ours.
            unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }.context("signal")?;
        }
        Ok(Self { eventfd, requested: false })
    }

    pub(crate) fn is_requested(&mut self) -> bool {
        self.requested |= self.eventfd.read().is_ok();
        self.requested
    }
}

/// Whether this signal was ignored when we were started, as by nohup(1).
fn is_ignored(which: Signal) -> Result<bool> {
    // SAFETY: ignoring runs no code of ours,
    let before = unsafe { signal(which, SigHandler::SigIgn) }.context("signal")?;
    // SAFETY: and this is what was there before.
    unsafe { signal(which, before) }.context("signal")?;
    Ok(matches!(before, SigHandler::SigIgn))
}

/// The command's status is ours. The command may finish untraced, but it gets the signals that we
/// get, before (`signalled`) or meanwhile.
pub(crate) fn command_status(mut command: Command, signalled: bool, stop: &mut StopSignal) -> u8 {
    while !signalled && !stop.is_requested() {
        if let Some(status) = command.try_status() {
            return status;
        }
        let mut fds =
            [command.poll_fd(), stop.eventfd.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let _ = poll(&mut fds, PollTimeout::NONE); // interrupted: just as well
    }
    command.terminate();
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        if let Some(status) = command.try_status() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    128 + 15 // it does not listen to SIGTERM: left behind
}
