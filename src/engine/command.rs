//! `-- COMMAND [ARG...]`: a child that waits until tracing has begun.
//!
//! The child is forked first and held before its exec, so that the filters know its process id and
//! not even its own exec is missed. It stays in our process group and so keeps the terminal. While
//! it runs, Ctrl-C is for the child, as with system(3).

use std::ffi::{CString, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{ForkResult, Pid, execvp, fork, getpgrp, pipe, tcgetpgrp};

use crate::engine::file_limit;
use crate::host::descriptor::owned;
use crate::output::escape::{Quote, push_shell_word};

/// The child that waits for its release: its id, or 0. There is at most one, as there is one
/// command line.
static WAITING: AtomicU32 = AtomicU32::new(0);

/// The command that waits until tracing has begun, if there is one: its id in our own PID
/// namespace.
pub fn waiting() -> Option<u32> {
    Some(WAITING.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
}

/// A command that was started with the tool.
pub struct Command {
    pid: Pid,
    /// Readable once the child has ended.
    pidfd: OwnedFd,
    /// Closing it without a write tells the child to give up.
    go: Option<std::fs::File>,
    status: Option<u8>,
}

impl Command {
    /// Forks the child, which waits for [`Command::release`]. For use while the process
    /// has a single thread.
    pub fn spawn(tool: &str, command: &[OsString]) -> Result<Self> {
        let argv: Vec<CString> = command
            .iter()
            .map(|arg| CString::new(arg.clone().into_vec()))
            .collect::<Result<_, _>>()
            .context("an argument with a NUL byte")?;
        let program = argv.first().context("an empty command")?.clone();
        // Prepared before fork(), after which only simple things are safe.
        let mut complaint = format!("{tool}: cannot run ");
        push_shell_word(&mut complaint, program.to_bytes(), true, Quote::WhereNeeded);
        complaint.push_str(": ");
        let (wait, go) = pipe().context("pipe")?;
        // Whoever started us may have ignored SIGCHLD, which is inherited: the kernel would then
        // throw the child's status away.
        // SAFETY: the default action runs no code of ours.
        let inherited = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.context("signal")?;
        // SAFETY: there is no other thread that could hold a lock.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                drop(go);
                run_child(wait, &program, &argv, &complaint, inherited)
            }
            ForkResult::Parent { child } => {
                drop(wait);
                close_on_exec(&go);
                // SAFETY: pidfd_open() has no memory arguments.
                let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
                let pidfd = owned(fd).context("pidfd_open")?;
                let command = Self { pid: child, pidfd, go: Some(go.into()), status: None };
                WAITING.store(command.pid(), Ordering::Relaxed);
                Ok(command)
            }
        }
    }

    /// The child's process id, which its exec keeps.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Lets the child execute the command, and leaves the terminal's signals to it.
    pub fn release(&mut self) -> Result<()> {
        if in_foreground() {
            for tty_signal in [Signal::SIGINT, Signal::SIGQUIT] {
                // SAFETY: ignoring runs no code of ours.
                unsafe { signal(tty_signal, SigHandler::SigIgn) }.context("signal")?;
            }
        }
        WAITING.store(0, Ordering::Relaxed);
        if let Some(mut go) = self.go.take() {
            go.write_all(b"!").context("start the command")?;
        }
        Ok(())
    }

    /// Readable once the command has ended.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Asks the command to end.
    pub fn terminate(&self) {
        let _ = kill(self.pid, Signal::SIGTERM); // gone already: just as well
    }

    /// The exit status as a shell gives it: 128+N for signal N. `None`: still running.
    pub fn try_status(&mut self) -> Option<u8> {
        if self.status.is_none() {
            self.status = wait_status(self.pid, libc::WNOHANG);
        }
        self.status
    }
}

fn wait_status(pid: Pid, flags: i32) -> Option<u8> {
    let mut status = 0;
    // SAFETY: the status is written to our own variable.
    match unsafe { libc::waitpid(pid.as_raw(), &raw mut status, flags) } {
        0 => None,
        -1 if Errno::last() == Errno::EINTR => None,
        -1 => Some(1), // nobody else waits for it: cannot be
        _ if libc::WIFEXITED(status) => Some(libc::WEXITSTATUS(status) as u8),
        _ => Some(128 + libc::WTERMSIG(status) as u8),
    }
}

/// Whether the terminal sends signals to us (and so also to the command).
fn in_foreground() -> bool {
    std::fs::File::open("/dev/tty").is_ok_and(|tty| tcgetpgrp(&tty) == Ok(getpgrp()))
}

fn close_on_exec(fd: &OwnedFd) {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)); // a fresh descriptor: cannot fail
}

/// `on_sigchld`: the inherited action for SIGCHLD, which the command gets back.
fn run_child(
    wait: OwnedFd,
    program: &CString,
    argv: &[CString],
    complaint: &str,
    on_sigchld: SigHandler,
) -> ! {
    let mut byte = [0];
    let go = std::fs::File::from(wait).read(&mut byte).is_ok_and(|n| n == 1);
    if go {
        // Rust ignores SIGPIPE; the command starts as if from a shell.
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
        file_limit::restore();
        // SAFETY: ignoring, or the default action: an exec leaves no handlers.
        let _ = unsafe { signal(Signal::SIGCHLD, on_sigchld) };
        let Err(errno) = execvp(program, argv);
        let _ = std::io::stderr().write_all(format!("{complaint}{}\n", errno.desc()).as_bytes());
        let status = if errno == Errno::ENOENT { 127 } else { 126 };
        // SAFETY: ends the child without running the parent's cleanup.
        unsafe { libc::_exit(status) }
    }
    // SAFETY: as above; the parent could not trace.
    unsafe { libc::_exit(125) }
}
