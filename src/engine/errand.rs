//! Work that another process can make last for ever: reading its memory (userfaultfd and FUSE need
//! never deliver a page), its files and what /proc tells of its memory.
//!
//! A helper process does it. The main loop asks, waits a bounded time, and goes on without the
//! answer: rows then say that it is missing. A thread would not do: one that waits for a FUSE
//! server cannot even be killed, and would keep the whole process from ending. A process may also
//! be ended by what it reads, as by SIGBUS when a file that it maps is cut.
//!
//! Helpers are forked by a *keeper*, itself forked while the tool has one thread. When the tool ends,
//! however that happens, the keeper reads the end of its socket, kills the helper and ends.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{ForkResult, fork};

mod keeper;
mod message;
mod patience;

use message::{Answer, Give};
use patience::Patience;

/// Answers a request. It keeps what it needs from one to the next.
pub type Serve = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

/// What a helper does: called once in each, after it was forked.
pub type Errand = fn() -> Serve;

/// The same with values of its own.
pub type MakeErrand = Box<dyn Fn() -> Serve>;

/// What helpers can do: see [`Errands::ask`] and its siblings.
#[derive(Default)]
pub struct Staff {
    /// What the tool itself needs to know
    pub of_tool: Option<Errand>,
    /// Names of users and command lines
    pub of_context: Option<Errand>,
    /// Names of containers
    pub of_containers: Option<MakeErrand>,
}

/// In the first byte of a request: whom it is for.
const OF_TOOL: u8 = 0;
const OF_CONTEXT: u8 = 1;
const OF_CONTAINERS: u8 = 2;

impl Staff {
    /// Whether there is anything to do.
    pub fn is_needed(&self) -> bool {
        self.of_tool.is_some() || self.of_context.is_some() || self.of_containers.is_some()
    }

    /// Answers all requests.
    fn serve(&self) -> Serve {
        let mut of_tool = self.of_tool.map(|errand| errand());
        let mut of_context = self.of_context.map(|errand| errand());
        let mut of_containers = self.of_containers.as_ref().map(|errand| errand());
        Box::new(move |request| {
            let Some((&whom, request)) = request.split_first() else { return Vec::new() };
            let serve = match whom {
                OF_TOOL => &mut of_tool,
                OF_CONTEXT => &mut of_context,
                _ => &mut of_containers,
            };
            serve.as_mut().map_or_else(Vec::new, |serve| serve(request))
        })
    }
}

/// The keeper's process id in our own PID namespace, or 0. Neither it nor its children are events.
static KEEPER: AtomicU32 = AtomicU32::new(0);

/// The id of the process whose children help us, if there is one.
pub fn keeper_pid() -> Option<u32> {
    Some(KEEPER.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
}

/// The asking end.
pub struct Errands {
    keeper: UnixStream,
    helper: Option<UnixStream>,
    patience: Patience,
    /// That with servers of names, which must not cost what processes need
    patience_for_context: Patience,
    stop: Option<Arc<EventFd>>,
    deadline: Option<Instant>,
    unanswered: u64,
    is_paused: bool,
}

impl Errands {
    /// Forks the keeper. For use while the process has a single thread.
    ///
    /// # Errors
    ///
    /// There is no room for another process or descriptor.
    pub fn start(errand: Errand) -> Result<Self> {
        Self::start_with(&Staff { of_tool: Some(errand), ..Staff::default() })
    }

    /// The same for all that helpers do.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn start_with(staff: &Staff) -> Result<Self> {
        let (keeper, ours) = UnixStream::pair().context("socketpair")?;
        // SAFETY: there is no other thread that could hold a lock.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                drop(ours);
                keeper::run(keeper, staff)
            }
            ForkResult::Parent { child } => {
                KEEPER.store(child.as_raw().unsigned_abs(), Ordering::Relaxed);
                Ok(Self::new(ours))
            }
        }
    }

    fn new(keeper: UnixStream) -> Self {
        Self {
            keeper,
            helper: None,
            patience: Patience::new(Instant::now()),
            patience_for_context: Patience::new(Instant::now()),
            stop: None,
            deadline: None,
            unanswered: 0,
            is_paused: false,
        }
    }

    /// From now on, or no longer, no request has an answer.
    pub fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// From now on no request waits any more once `stop` is readable or the time is over.
    pub fn end_with(&mut self, stop: Arc<EventFd>, deadline: Option<Instant>) {
        (self.stop, self.deadline) = (Some(stop), deadline);
    }

    /// The answer to `request`. `None`: there is none in time; the next request is for a new helper.
    pub fn ask(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let answer = self.ask_whom(OF_TOOL, request);
        self.unanswered += u64::from(answer.is_none() && !self.is_paused);
        answer
    }

    /// The same for names of users, and command lines. What is not answered is only absent.
    pub fn ask_context(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        self.ask_whom(OF_CONTEXT, request)
    }

    /// The same for names of containers, which are in files.
    pub fn ask_containers(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let answer = self.ask_whom(OF_CONTAINERS, request);
        self.unanswered += u64::from(answer.is_none() && !self.is_paused);
        answer
    }

    fn ask_whom(&mut self, whom: u8, request: &[u8]) -> Option<Vec<u8>> {
        if self.is_paused {
            return None;
        }
        let begin = Instant::now();
        let answer = self.try_ask(whom, request, begin);
        if answer.is_err() {
            self.helper = None;
        }
        let patience = self.patience_with(whom);
        match &answer {
            Ok(answer) => patience.answered(begin.elapsed(), answer.cpu),
            Err(_) => patience.unanswered(begin.elapsed()),
        }
        answer.ok().map(|answer| answer.bytes)
    }

    fn patience_with(&mut self, whom: u8) -> &mut Patience {
        if whom == OF_CONTEXT { &mut self.patience_for_context } else { &mut self.patience }
    }

    /// How many requests had no answer so far.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    fn try_ask(&mut self, whom: u8, request: &[u8], begin: Instant) -> io::Result<Answer> {
        let patience = self.patience_with(whom).left(begin);
        let mut until = begin + patience.ok_or(io::ErrorKind::TimedOut)?;
        // What has to end is over soon: the last requests share what is left of patience anyway.
        if let Some(deadline) = self.deadline {
            until = until.min(deadline.max(begin + message::LAST));
        }
        let give = Give { until, stop: self.stop.as_deref().map(AsFd::as_fd) };
        let helper = match &mut self.helper {
            Some(helper) => helper,
            none => none.insert(new_helper(&self.keeper)?),
        };
        message::ask(helper, whom, request, &give)
    }
}

/// Has the keeper fork a helper in the place of the one before, if there was one.
fn new_helper(keeper: &UnixStream) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let theirs = OwnedFd::from(theirs);
    let rights = [theirs.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&rights)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(keeper.as_raw_fd(), &[IoSlice::new(b"!")], &control, flags, None)?;
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A helper that echoes, waits for ever, or dies as one that reads a file that was cut.
    fn errand() -> Serve {
        let mut served = 0u8;
        Box::new(move |request| {
            served += 1;
            match request {
                b"wait" => loop {
                    std::thread::sleep(Duration::from_secs(1000));
                },
                b"die" => {
                    // SAFETY: our own signal, whose action is the default.
                    unsafe { libc::raise(libc::SIGBUS) };
                    unreachable!()
                }
                other => [other, &[served]].concat(),
            }
        })
    }

    fn start() -> Errands {
        Errands::start(errand).unwrap()
    }

    #[test]
    fn answers_come_from_one_helper() {
        let mut errands = start();
        errands.patience = Patience::long(Instant::now());
        assert_eq!(errands.ask(b"a").unwrap(), b"a\x01");
        assert_eq!(errands.ask(b"").unwrap(), b"\x02");
        let long = vec![7; 3 << 20];
        assert_eq!(errands.ask(&long).unwrap().len(), long.len() + 1);
        assert_eq!(errands.unanswered(), 0);
    }

    #[test]
    fn several_errands_are_one_helpers() {
        let reversed = || -> Serve { Box::new(|request| request.iter().rev().copied().collect()) };
        let mut errands = Errands::start_with(&Staff {
            of_tool: Some(errand),
            of_containers: Some(Box::new(reversed)),
            ..Staff::default()
        })
        .unwrap();
        errands.patience = Patience::long(Instant::now());
        assert_eq!(errands.ask(b"a").unwrap(), b"a\x01");
        assert_eq!(errands.ask_containers(b"abc").unwrap(), b"cba");
        assert_eq!(errands.ask(b"a").unwrap(), b"a\x02", "each keeps what it needs");
        assert_eq!(errands.ask_context(b"abc").unwrap(), b"", "nobody's");
    }

    #[test]
    fn one_that_waits_or_dies_is_replaced() {
        let mut errands = start();
        for hostile in [&b"die"[..], b"wait", b"die"] {
            assert_eq!(errands.ask(hostile), None);
            // A busy machine may take longer than patience lasts.
            let answer = std::iter::repeat_with(|| errands.ask(b"a")).flatten().next();
            assert_eq!(answer.unwrap(), b"a\x01", "a new one");
        }
        assert!(errands.unanswered() >= 3);
    }

    #[test]
    fn patience_ends() {
        let mut errands = start();
        let begin = Instant::now();
        for _ in 0..1000 {
            assert_eq!(errands.ask(b"wait"), None);
        }
        assert_eq!(errands.unanswered(), 1000);
        // Each waits a second if nothing bounds their sum.
        assert!(begin.elapsed() < Duration::from_secs(300));
    }

    #[test]
    fn nothing_waits_after_the_end() {
        use nix::sys::eventfd::EfdFlags;

        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap());
        let mut errands = start();
        errands.patience = Patience::long(Instant::now());
        errands.end_with(Arc::clone(&stop), None);
        assert!(errands.ask(b"a").is_some());
        stop.write(1).unwrap();
        assert_eq!(errands.ask(b"wait"), None);
        assert!(errands.patience.left(Instant::now()) > Some(Duration::from_millis(100)));
    }
}
