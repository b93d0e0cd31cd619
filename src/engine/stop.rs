//! How a run ends before its time: signals, and the command whose status becomes ours.
//!
//! With `--output`, a SIGHUP that somebody sends is not an end: it has the file opened again, as
//! logrotate(8) asks for. One that the kernel sends, because the terminal is gone, stays an end.
//!
//! While a command runs, Ctrl-C belongs to it, as with system(3): it may end, or go on as an editor
//! does. But a command that has left our process group does not get Ctrl-C, and then it is for us.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};

use crate::engine::command::{self, Command};
use crate::engine::session::say;
use crate::host::descriptor::is_readable;
use crate::host::disposition::was_ignored;

/// SIGINT, SIGTERM and SIGHUP: a descriptor that wakes the main loop. A SIGHUP that was ignored
/// when we were started stays so.
pub(crate) struct StopSignal {
    /// Readable after a signal, from then on
    pub(crate) eventfd: Arc<EventFd>,
    /// Readable after a SIGHUP that is no end
    reopen: Option<EventFd>,
}

/// [`StopSignal::reopen`], for the handler of SIGHUP.
static REOPEN: AtomicI32 = AtomicI32::new(-1);

/// [`StopSignal::eventfd`], for the handler of the terminal's signals.
static EVENTFD: AtomicI32 = AtomicI32::new(-1);

/// The terminal's signal that ends the run, or 0.
static FROM_TERMINAL: AtomicI32 = AtomicI32::new(0);

impl StopSignal {
    pub(crate) fn install() -> Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let eventfd = Arc::new(EventFd::from_flags(flags).context("eventfd")?);
        let handle = Arc::clone(&eventfd);
        ctrlc::set_handler(move || {
            let _ = handle.write(1); // full only after 2^64 signals
        })
        .map_err(|error| match error {
            ctrlc::Error::System(error) => anyhow::Error::from(error),
            other => other.into(),
        })
        .context("handle signals")?;
        if was_ignored(Signal::SIGHUP) {
            // SAFETY: ignoring runs no code of ours.
            unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }.context("signal")?;
        }
        Ok(Self { eventfd, reopen: None })
    }

    /// From now on, a SIGHUP that is not the terminal's has a file opened again.
    pub(crate) fn reopen_on_hangup(&mut self) -> Result<()> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let reopen = EventFd::from_flags(flags).context("eventfd")?;
        REOPEN.store(reopen.as_fd().as_raw_fd(), Ordering::Relaxed);
        EVENTFD.store(self.eventfd.as_fd().as_raw_fd(), Ordering::Relaxed);
        self.reopen = Some(reopen);
        let handler = SigHandler::SigAction(on_hangup);
        let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler does only what signal-safety(7) allows.
        unsafe { sigaction(Signal::SIGHUP, &action) }.context("signal")?;
        Ok(())
    }

    /// Readable when the file is to be opened again.
    pub(crate) fn reopen_fd(&self) -> Option<BorrowedFd<'_>> {
        self.reopen.as_ref().map(AsFd::as_fd)
    }

    /// Whether the file is to be opened again; once for each request.
    pub(crate) fn take_reopen(&self) -> bool {
        self.reopen.as_ref().is_some_and(|reopen| reopen.read().is_ok())
    }

    pub(crate) fn is_requested(&self) -> bool {
        is_readable(self.eventfd.as_fd())
    }

    /// Lets the command begin, and shares the terminal with it.
    pub(crate) fn release(&self, command: &mut Command) -> Result<()> {
        EVENTFD.store(self.eventfd.as_fd().as_raw_fd(), Ordering::Relaxed);
        let handler = SigHandler::SigAction(on_terminal_signal);
        let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
        for of_terminal in [Signal::SIGINT, Signal::SIGQUIT] {
            // SAFETY: the handler does only what signal-safety(7) allows.
            unsafe { sigaction(of_terminal, &action) }.context("signal")?;
        }
        command.release()
    }
}

extern "C" fn on_hangup(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let errno = Errno::last();
    // SAFETY: the kernel gives the handler a valid address.
    let is_from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    let fd = match (is_from_terminal, was_ignored(Signal::SIGHUP)) {
        (false, _) => REOPEN.load(Ordering::Relaxed),
        (true, false) => EVENTFD.load(Ordering::Relaxed),
        (true, true) => -1, // of nohup(1)
    };
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight bytes of our own.
    unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
    errno.set();
}

extern "C" fn on_terminal_signal(
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    _: *mut libc::c_void,
) {
    let errno = Errno::last();
    // SAFETY: the kernel gives the handler a valid address.
    let is_from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    if !(is_from_terminal && command::is_in_our_group()) {
        FROM_TERMINAL.store(number, Ordering::Relaxed);
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes of our own.
        unsafe { libc::write(EVENTFD.load(Ordering::Relaxed), one.as_ptr().cast(), one.len()) };
    }
    errno.set();
}

/// The signal that the command gets when we end before it.
fn passed_on() -> Signal {
    Signal::try_from(FROM_TERMINAL.load(Ordering::Relaxed)).unwrap_or(Signal::SIGTERM)
}

/// The command's status is ours. The command may finish untraced, but it gets the signals that we
/// get, before (`signalled`) or meanwhile.
pub(crate) fn command_status(mut command: Command, signalled: bool, stop: &StopSignal) -> u8 {
    while !signalled && !stop.is_requested() {
        if let Some(status) = command.try_status() {
            return status;
        }
        let fds = command.poll_fd().into_iter().chain([stop.eventfd.as_fd()]);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let _ = poll(&mut fds, PollTimeout::NONE); // interrupted: just as well
    }
    let signal = passed_on();
    command.send(signal);
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        if let Some(status) = command.try_status() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // Killing it might cost its data: as strace(1), we leave that to the user.
    let (tool, pid) = (command.tool(), command.pid());
    say(tool, &format!("process {pid} does not end on {signal} and goes on, untraced"));
    128 + signal as u8
}
