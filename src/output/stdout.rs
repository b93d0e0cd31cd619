//! Stdout, whose reader may not read: a write waits for it, but not beyond the end of the run.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Whence, ftruncate, lseek};

use crate::host::descriptor::is_readable;

/// How long a reader may take nothing once the run is to end. A busy reader takes something every
/// few milliseconds.
const GRACE: Duration = Duration::from_millis(500);

/// `PIPE_BUF`: a pipe that can be written to has room for so much.
const PIPE_BUF: usize = 4096;

/// Where text goes, and until when to wait for its reader.
pub(super) struct Stdout {
    place: Place,
    way: Way,
    stop: Option<Arc<EventFd>>,
    deadline: Option<Instant>,
}

/// Stdout, or a descriptor in its place.
enum Place {
    Stdout(io::Stdout),
    #[cfg_attr(not(test), expect(dead_code, reason = "tests write to terminals of their own"))]
    Given(OwnedFd),
}

/// How to write without waiting. Stdout itself is shared with others, who did not ask for a
/// descriptor that does not wait.
enum Way {
    /// A pipe or a terminal, opened once more, for us alone
    Own(OwnedFd),
    /// A socket, where each call can say so
    Socket,
    /// A pipe that cannot be opened again: in small pieces, each after poll()
    Pieces,
    /// A file, which takes what it gets
    Whole,
}

/// The reader takes nothing, and the run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stuck;

impl Stdout {
    pub(super) fn new() -> Self {
        Self::of(Place::Stdout(io::stdout()))
    }

    /// Another place, for tests.
    #[cfg(test)]
    pub(super) fn given(fd: OwnedFd) -> Self {
        Self::of(Place::Given(fd))
    }

    fn of(place: Place) -> Self {
        let way = Way::of(place.fd());
        Self { place, way, stop: None, deadline: None }
    }

    /// From now on, writes end soon after `stop` is readable.
    pub(super) fn end_with(&mut self, stop: Arc<EventFd>) {
        self.stop = Some(stop);
    }

    /// From now on, writes end soon after this time.
    pub(super) fn end_at(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.place.fd()
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.fd().is_terminal()
    }

    /// Writes some of `bytes`, as write(2), once there is room for them.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<Result<usize, Stuck>, Errno> {
        let mut since_end = None;
        loop {
            match self.try_write(bytes) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if self.wait(&mut since_end) => {}
                Err(Errno::EAGAIN) => return Ok(Err(Stuck)),
                written => return written.map(Ok),
            }
        }
    }

    /// After a write that was cut short by a full disk or a limit: cuts a file back to the end of a
    /// line, as far as the end of the file is ours. `written`: what was written since.
    pub(super) fn take_back(&self, written: &[u8]) {
        let whole = written.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let part = (written.len() - whole) as i64;
        let stdout = self.fd();
        let Ok(file) = fstat(stdout) else { return };
        let is_file = SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        // Somebody else may have written behind us.
        let is_last = || lseek(stdout, 0, Whence::SeekCur) == Ok(file.st_size);
        if part > 0 && is_file && is_last() && ftruncate(stdout, file.st_size - part).is_ok() {
            let _ = lseek(stdout, -part, Whence::SeekCur); // else the next byte leaves a hole
        }
    }

    /// `EAGAIN`: no room.
    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match &self.way {
            Way::Own(own) => nix::unistd::write(own, bytes),
            Way::Socket => {
                use std::os::fd::AsRawFd;
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(self.fd().as_raw_fd(), bytes, flags)
            }
            Way::Whole => nix::unistd::write(self.fd(), bytes),
            Way::Pieces => {
                let mut fds = [PollFd::new(self.fd(), PollFlags::POLLOUT)];
                if poll(&mut fds, PollTimeout::ZERO)? == 0 {
                    return Err(Errno::EAGAIN);
                }
                nix::unistd::write(self.fd(), bytes.get(..PIPE_BUF).unwrap_or(bytes))
            }
        }
    }

    /// Waits until there may be room. False: the run is to end, and there was none for [`GRACE`].
    fn wait(&self, since_end: &mut Option<Instant>) -> bool {
        let now = Instant::now();
        if self.is_to_end(now) {
            let since = *since_end.get_or_insert(now);
            let left = GRACE.saturating_sub(now.duration_since(since));
            if left.is_zero() {
                return false;
            }
            self.poll(false, Some(left));
            return true;
        }
        self.poll(true, self.deadline.map(|deadline| deadline.duration_since(now)));
        true
    }

    fn is_to_end(&self, now: Instant) -> bool {
        let stopped = self.stop.as_ref().is_some_and(|stop| is_readable(stop.as_fd()));
        stopped || self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Sleeps until there is room, or an error, or with `stop` a signal to end.
    fn poll(&self, stop: bool, most: Option<Duration>) {
        let out = match &self.way {
            Way::Own(own) => own.as_fd(),
            Way::Socket | Way::Pieces | Way::Whole => self.fd(),
        };
        let mut fds = vec![PollFd::new(out, PollFlags::POLLOUT)];
        let stop = self.stop.as_ref().filter(|_| stop);
        fds.extend(stop.map(|stop| PollFd::new(stop.as_fd(), PollFlags::POLLIN)));
        let millis = |most: Duration| u16::try_from(most.as_millis() + 1).unwrap_or(u16::MAX);
        let timeout = most.map_or(PollTimeout::NONE, |most| PollTimeout::from(millis(most)));
        let _ = poll(&mut fds, timeout); // an error shows at the next write
    }
}

impl Place {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdout(stdout) => stdout.as_fd(),
            Self::Given(fd) => fd.as_fd(),
        }
    }
}

impl Way {
    fn of(stdout: BorrowedFd<'_>) -> Self {
        let kind = fstat(stdout)
            .map_or(SFlag::S_IFREG, |file| SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT);
        match kind {
            SFlag::S_IFSOCK => Self::Socket,
            SFlag::S_IFIFO => open_again(stdout).map_or(Self::Pieces, Self::Own),
            SFlag::S_IFCHR if stdout.is_terminal() => {
                open_again(stdout).map_or(Self::Pieces, Self::Own)
            }
            // A file that is opened again has a place of its own.
            _ => Self::Whole,
        }
    }
}

fn open_again(stdout: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd as _;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let own = File::options()
        .write(true)
        .custom_flags(flags.bits())
        .open(format!("/proc/self/fd/{}", stdout.as_raw_fd()))?;
    Ok(own.into())
}
