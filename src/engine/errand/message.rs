//! Requests and answers: a length in 4 bytes, native order, and so many bytes. The first byte of a
//! request says whom it is for. An answer begins with the nanoseconds for which the helper worked, in
//! 8 bytes.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The longest message. The longest record is 2 MiB.
const MOST_BYTES: usize = 8 << 20;

/// What a request gets that is made after the end.
pub(super) const LAST: Duration = Duration::from_millis(50);

/// How long to wait.
pub(super) struct Give<'a> {
    pub(super) until: Instant,
    /// Once this is readable, only [`LAST`]
    pub(super) stop: Option<BorrowedFd<'a>>,
}

/// What a helper answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) cpu: Duration,
}

/// Sends a request over a socket that does not block, and receives the answer.
pub(super) fn ask(
    helper: &mut UnixStream,
    whom: u8,
    request: &[u8],
    give: &Give<'_>,
) -> io::Result<Answer> {
    let mut waiting = Waiting { give, until: give.until, is_stopped: false };
    let [a, b, c, d] = length(request.len() + 1)?;
    waiting.all(helper, PollFlags::POLLOUT, &mut Outgoing(&[a, b, c, d, whom]))?;
    waiting.all(helper, PollFlags::POLLOUT, &mut Outgoing(request))?;
    let mut head = [0; 12];
    waiting.all(helper, PollFlags::POLLIN, &mut Incoming(&mut head))?;
    let [len @ .., _, _, _, _, _, _, _, _] = head;
    let [_, _, _, _, cpu @ ..] = head;
    let mut bytes = vec![0; checked(len)?];
    waiting.all(helper, PollFlags::POLLIN, &mut Incoming(&mut bytes))?;
    Ok(Answer { bytes, cpu: Duration::from_nanos(u64::from_ne_bytes(cpu)) })
}

/// Receives a request; `None`: nobody asks any more.
pub(super) fn receive(socket: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match socket.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut request = vec![0; checked(len)?];
    socket.read_exact(&mut request)?;
    Ok(Some(request))
}

/// Answers the request that was received last.
pub(super) fn answer(socket: &mut UnixStream, bytes: &[u8], cpu: Duration) -> io::Result<()> {
    socket.write_all(&length(bytes.len())?)?;
    socket.write_all(&(cpu.as_nanos() as u64).to_ne_bytes())?;
    socket.write_all(bytes)
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    match u32::try_from(bytes) {
        Ok(len) if bytes <= MOST_BYTES => Ok(len.to_ne_bytes()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn checked(len: [u8; 4]) -> io::Result<usize> {
    let len = u32::from_ne_bytes(len) as usize;
    if len <= MOST_BYTES { Ok(len) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// What is left of a transfer.
trait Transfer {
    fn is_done(&self) -> bool;
    /// Moves what can be moved now.
    fn go_on(&mut self, socket: &mut UnixStream) -> io::Result<usize>;
}

struct Outgoing<'a>(&'a [u8]);

impl Transfer for Outgoing<'_> {
    fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    fn go_on(&mut self, socket: &mut UnixStream) -> io::Result<usize> {
        let n = socket.write(self.0)?;
        self.0 = self.0.get(n..).unwrap_or_default();
        Ok(n)
    }
}

struct Incoming<'a>(&'a mut [u8]);

impl Transfer for Incoming<'_> {
    fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    fn go_on(&mut self, socket: &mut UnixStream) -> io::Result<usize> {
        let n = socket.read(self.0)?;
        self.0 = std::mem::take(&mut self.0).get_mut(n..).unwrap_or_default();
        Ok(n)
    }
}

struct Waiting<'a> {
    give: &'a Give<'a>,
    until: Instant,
    is_stopped: bool,
}

impl Waiting<'_> {
    fn all(
        &mut self,
        socket: &mut UnixStream,
        what: PollFlags,
        transfer: &mut impl Transfer,
    ) -> io::Result<()> {
        while !transfer.is_done() {
            match transfer.go_on(socket) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(socket, what)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Until the socket is ready, or there is no time left.
    fn wait(&mut self, socket: &UnixStream, what: PollFlags) -> io::Result<()> {
        let now = Instant::now();
        let left = self.until.checked_duration_since(now).ok_or(io::ErrorKind::TimedOut)?;
        let millis = u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX);
        let mut fds = vec![PollFd::new(socket.as_fd(), what)];
        let stop = self.give.stop.filter(|_| !self.is_stopped);
        fds.extend(stop.map(|stop| PollFd::new(stop, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds.get(1).and_then(PollFd::any) == Some(true) {
            self.is_stopped = true;
            self.until = self.until.min(now + LAST);
        }
        Ok(())
    }
}
