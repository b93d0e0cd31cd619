//! The process that forks helpers, and what a helper does.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{ForkResult, Pid, fork};

use super::{Serve, Staff, message};

/// The most killed helpers that have not ended: what they wait for lets nobody be killed. Beyond
/// that there is no other, until one ends.
const MOST_STUCK: usize = 8;

/// The most memory of a helper: files that it maps count.
const MOST_BYTES: u64 = 4 << 30;

/// The descriptor of the keeper's socket: see [`leave_everything`].
const SOCKET: RawFd = 3;

/// Serves until the tool has ended.
pub(super) fn run(socket: UnixStream, staff: &Staff) -> ! {
    let socket = leave_everything(socket);
    let mut helpers = Helpers::default();
    while let Some(end) = next(&socket) {
        helpers.kill();
        if helpers.all.len() < MOST_STUCK {
            // SAFETY: this process has one thread.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    drop(socket);
                    help(end, staff.serve())
                }
                Ok(ForkResult::Parent { child }) => helpers.all.push(child),
                Err(_) => {} // the asker sees the end of the socket
            }
        }
    }
    helpers.kill();
    end()
}

/// Helpers that have not been reaped.
#[derive(Default)]
struct Helpers {
    all: Vec<Pid>,
}

impl Helpers {
    /// Kills all, and forgets those that have ended.
    fn kill(&mut self) {
        for pid in &self.all {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        let still = |pid: &Pid| {
            matches!(waitpid(*pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
        };
        self.all.retain(still);
    }
}

/// Drops what the tool has open, so that nobody waits for a helper to close it, and ignores what
/// ends the tool, which does its work to the end.
fn leave_everything(socket: UnixStream) -> UnixStream {
    for ending in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: ignoring runs no code of ours.
        let _ = unsafe { signal(ending, SigHandler::SigIgn) };
    }
    // SAFETY: a constant path.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    for fd in 0..=2 {
        // SAFETY: closes only what is not used any more.
        unsafe { libc::dup2(null, fd) };
    }
    if socket.as_raw_fd() != SOCKET {
        // SAFETY: as above.
        unsafe { libc::dup2(socket.as_raw_fd(), SOCKET) };
        drop(socket);
    } else {
        std::mem::forget(socket);
    }
    // SAFETY: no memory arguments. (Older kernels than 5.9 do not know it: no harm.)
    unsafe { libc::syscall(libc::SYS_close_range, SOCKET + 1, u32::MAX, 0) };
    // SAFETY: ours, and nobody else has it any more.
    unsafe { UnixStream::from_raw_fd(SOCKET) }
}

/// The next helper's end of its socket. `None`: the tool has ended.
fn next(socket: &UnixStream) -> Option<UnixStream> {
    loop {
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let mut room = nix::cmsg_space!(RawFd);
        let flags = MsgFlags::empty();
        let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut room), flags);
        let message = match received {
            Ok(message) if message.bytes > 0 => message,
            Err(Errno::EINTR) => continue,
            _ => return None,
        };
        let mut fds = message.cmsgs().ok()?.filter_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        let fd = fds.next()?;
        // SAFETY: just received, so nobody else has it.
        return Some(UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    }
}

/// Answers requests until nobody asks any more.
fn help(mut socket: UnixStream, mut serve: Serve) -> ! {
    // SAFETY: no memory arguments. The keeper has one thread, so it is the process that counts.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let _ = setrlimit(Resource::RLIMIT_AS, MOST_BYTES, MOST_BYTES);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    while let Ok(Some(request)) = message::receive(&mut socket) {
        let begin = cpu();
        let bytes = serve(&request);
        if message::answer(&mut socket, &bytes, cpu().saturating_sub(begin)).is_err() {
            break;
        }
    }
    end()
}

/// The time for which this process has worked.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Ends this process without running the cleanup of the tool, of which it is a copy.
fn end() -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(0) }
}
