//! `-- COMMAND [ARG...]`: a child that waits until tracing has begun.
//!
//! The child is forked first and held before its exec, so that the filters know its process id and
//! not even its own exec is missed. It stays in our process group and so keeps the terminal.

use std::ffi::{CString, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{ForkResult, Gid, Pid, execvp, execvpe, fork, getpgid, getpgrp, pipe};

use crate::engine::explain::capabilities;
use crate::host::descriptor::of_process;
use crate::host::disposition;
use crate::host::user::{self, User};
use crate::output::escape::{Quote, push_shell_word};

/// The child that waits for its release: its id, or 0. There is at most one, as there is one
/// command line.
static WAITING: AtomicU32 = AtomicU32::new(0);

/// The child until it has ended and its id may be another process's: its id, or 0.
static LIVING: AtomicU32 = AtomicU32::new(0);

/// The command that waits until tracing has begun, if there is one: its id in our own PID
/// namespace.
pub fn waiting() -> Option<u32> {
    Some(WAITING.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
}

/// Whether the command gets what the terminal sends to our process group. For signal handlers too.
pub(crate) fn is_in_our_group() -> bool {
    let pid = LIVING.load(Ordering::Relaxed);
    pid != 0 && getpgid(Some(Pid::from_raw(pid as i32))) == Ok(getpgrp())
}

/// A command that was started with the tool.
pub struct Command {
    tool: String,
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
    ///
    /// `user`: whose program it becomes; without one it has all that this tool has.
    pub fn spawn(tool: &str, command: &[OsString], user: Option<&User>) -> Result<Self> {
        let argv: Vec<CString> = command
            .iter()
            .map(|arg| CString::new(arg.clone().into_vec()))
            .collect::<Result<_, _>>()
            .context("an argument with a NUL byte")?;
        let program = argv.first().context("an empty command")?.clone();
        // Prepared before fork(), after which only simple things are safe.
        let mut complaint = format!("{tool}: cannot run ");
        push_shell_word(&mut complaint, program.to_bytes(), true, Quote::WhereNeeded);
        let (identity, complaint_user) = match user {
            None => (None, String::new()),
            Some(user) => {
                if capabilities() & user::NEEDED != user::NEEDED {
                    let rights = "root (CAP_SETUID and CAP_SETGID)";
                    return Err(anyhow!(
                        "cannot run COMMAND as {}: that needs {rights}",
                        user.name
                    ));
                }
                let identity = (user, user.group_ids(), user.environment());
                (Some(identity), format!(" as {}", user.name))
            }
        };
        complaint.push_str(&complaint_user);
        complaint.push_str(": ");
        let (wait, go) = pipe().context("pipe")?;
        // Whoever started us may have ignored SIGCHLD, which is inherited: the kernel would then
        // throw the child's status away.
        // SAFETY: the default action runs no code of ours.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.context("signal")?;
        // SAFETY: there is no other thread that could hold a lock.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                drop(go);
                run_child(wait, &program, &argv, &complaint, identity.as_ref())
            }
            ForkResult::Parent { child } => {
                drop(wait);
                close_on_exec(&go);
                let pidfd = of_process(child.as_raw().unsigned_abs()).context("pidfd_open")?;
                let tool = tool.to_owned();
                let command = Self { tool, pid: child, pidfd, go: Some(go.into()), status: None };
                WAITING.store(command.pid(), Ordering::Relaxed);
                LIVING.store(command.pid(), Ordering::Relaxed);
                Ok(command)
            }
        }
    }

    /// The child's process id, which its exec keeps.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// The name of the tool that started it.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Lets the child execute the command.
    pub fn release(&mut self) -> Result<()> {
        WAITING.store(0, Ordering::Relaxed);
        if let Some(mut go) = self.go.take() {
            go.write_all(b"!").context("start the command")?;
        }
        Ok(())
    }

    /// Readable once the command has ended. `None`: it is known to have ended.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.status.is_none().then(|| self.pidfd.as_fd())
    }

    /// Asks the command to end.
    pub fn send(&self, signal: Signal) {
        let _ = kill(self.pid, signal); // gone already: just as well
    }

    /// The exit status as a shell gives it: 128+N for signal N. `None`: still running.
    pub fn try_status(&mut self) -> Option<u8> {
        if self.status.is_none() {
            self.status = wait_status(self.pid, libc::WNOHANG);
            if self.status.is_some() {
                LIVING.store(0, Ordering::Relaxed);
            }
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

fn close_on_exec(fd: &OwnedFd) {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)); // a fresh descriptor: cannot fail
}

/// A user, its groups and its environment.
type Identity<'a> = (&'a User, Vec<Gid>, Vec<CString>);

fn run_child(
    wait: OwnedFd,
    program: &CString,
    argv: &[CString],
    complaint: &str,
    identity: Option<&Identity<'_>>,
) -> ! {
    let mut byte = [0];
    let go = std::fs::File::from(wait).read(&mut byte).is_ok_and(|n| n == 1);
    if go {
        disposition::restore();
        let errno = match identity {
            None => {
                let Err(errno) = execvp(program, argv);
                errno
            }
            Some((user, groups, environment)) => match user.become_it(groups) {
                Ok(()) => {
                    let Err(errno) = execvpe(program, argv, environment);
                    errno
                }
                Err(errno) => errno,
            },
        };
        let _ = std::io::stderr().write_all(format!("{complaint}{}\n", errno.desc()).as_bytes());
        let status = if errno == Errno::ENOENT { 127 } else { 126 };
        // SAFETY: ends the child without running the parent's cleanup.
        unsafe { libc::_exit(status) }
    }
    // SAFETY: as above; the parent could not trace.
    unsafe { libc::_exit(125) }
}
