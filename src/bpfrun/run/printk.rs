//! Messages of `bpf_printk()`, from a tracefs instance of our own, so that other readers of the
//! kernel's trace lose nothing and keep their settings.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use regex::bytes::Regex;

use crate::host::tracefs::Tracefs;
use crate::output::time::boot_now_ns;

/// The folder of all instances.
const INSTANCES: &str = "instances";

/// Names of our instances begin like this.
const PREFIX: &str = "bpfrun-";

/// An instance is made in some ten milliseconds; who needs longer was stopped, or is no bpfrun.
const TURN: Duration = Duration::from_secs(5);

/// Longer lines are cut: the kernel's messages have at most 1024 bytes.
const LINE: usize = 64 * 1024;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `CLOCK_BOOTTIME` in nanoseconds
    pub time_ns: u64,
    /// Name of the thread
    pub comm: Vec<u8>,
    pub tid: u32,
    /// On which CPU
    pub cpu: u32,
    /// The text, without the newline at the end
    pub text: Vec<u8>,
}

/// One entry of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A message
    Message(Message),
    /// So many messages were lost
    Lost(u64),
}

/// An instance that gets all messages, and is removed at the end.
pub struct Printk {
    tracefs: Tracefs,
    /// The instance's, in tracefs
    folder: String,
    pipe: Option<File>,
    /// The part of the last line that has been read
    rest: Vec<u8>,
}

impl Printk {
    /// Makes the instance, and removes instances of killed processes.
    pub fn open() -> Result<Self> {
        let tracefs = Tracefs::open()?;
        let has_event = tracefs.has_folder("events/bpf_trace/bpf_trace_printk");
        ensure!(has_event, "this kernel's bpf_printk() has no tracepoint (Linux 5.9)");
        // The kernel may hand the place of an instance that is removed while its file is being opened
        // to the next one, and open that one's file: nobody removes any while another is made.
        let turn = take_turn(&tracefs);
        if turn.is_some() {
            remove_left_behind(&tracefs);
        }
        let mut tries = 0;
        loop {
            let folder = format!("{INSTANCES}/{PREFIX}{}-{tries}", std::process::id());
            tries += 1;
            let made = tracefs.make_folder(&folder);
            if tries < 10 && made == Err(Errno::EEXIST) {
                continue; // of a process with our number in another container
            }
            made.context("make a tracefs instance")?;
            // From here on the instance is removed at the end, even if the setup fails.
            let mut printk = Self { tracefs, folder, pipe: None, rest: Vec::new() };
            printk.set_up()?;
            return Ok(printk);
        }
    }

    fn set_up(&mut self) -> Result<()> {
        let path = format!("{}/trace_pipe", self.folder);
        let pipe = self.tracefs.open_file(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        self.pipe = Some(pipe.with_context(|| format!("open {path} in tracefs"))?);
        let set = |file: &str, value| {
            let path = format!("{}/{file}", self.folder);
            self.tracefs.write(&path, value).with_context(|| format!("write {path} in tracefs"))
        };
        set("trace_clock", "boot")?;
        // Newer kernels wake a reader only when the buffer is half full.
        let _ = set("buffer_percent", "0");
        set("events/bpf_trace/bpf_trace_printk/enable", "1")
    }

    /// Becomes readable when there are messages.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(File::as_fd)
    }

    /// Hands over the messages.
    pub fn read(&mut self, each: &mut dyn FnMut(Said)) -> Result<bool> {
        let mut busy = false;
        let mut chunk = [0; 16 * 1024];
        // A limit, since the caller has other things to do.
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => {
                    busy = true;
                    self.rest.extend_from_slice(chunk.get(..len).unwrap_or_default());
                    take_lines(&mut self.rest, each);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read the trace"),
            }
        }
        Ok(busy)
    }
}

impl Drop for Printk {
    fn drop(&mut self) {
        self.pipe = None; // an instance that is read cannot be removed
        let _ = self.tracefs.remove_folder(&self.folder);
    }
}

/// Waits until no other bpfrun makes or removes instances; until the lock is dropped, none does.
/// `None` if somebody keeps it.
fn take_turn(tracefs: &Tracefs) -> Option<Flock<File>> {
    let mut folder = tracefs.open_file(INSTANCES, OFlag::O_RDONLY | OFlag::O_DIRECTORY).ok()?;
    let until = Instant::now() + TURN;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, Errno::EAGAIN)) if Instant::now() < until => folder = back,
            Err(_) => return None,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Removes the instances of killed processes. The kernel refuses to remove an instance that
/// somebody reads.
fn remove_left_behind(tracefs: &Tracefs) {
    for name in tracefs.names(INSTANCES).unwrap_or_default() {
        if name.starts_with(PREFIX) {
            let _ = tracefs.remove_folder(&format!("{INSTANCES}/{name}"));
        }
    }
}

/// Takes the whole lines out of `rest`.
fn take_lines(rest: &mut Vec<u8>, each: &mut dyn FnMut(Said)) {
    let end = rest.iter().rposition(|&byte| byte == b'\n').map(|end| end + 1);
    let end = end.unwrap_or(if rest.len() > LINE { rest.len() } else { 0 });
    let lines: Vec<u8> = rest.drain(..end).collect();
    let mut last: Option<Message> = None;
    for line in lines.split(|&byte| byte == b'\n') {
        match parse(line) {
            Some(said) => {
                if let Some(message) = last.take() {
                    each(Said::Message(message));
                }
                match said {
                    Said::Message(message) => last = Some(message),
                    lost @ Said::Lost(_) => each(lost),
                }
            }
            // A message of several lines.
            None => match &mut last {
                _ if line.is_empty() => {}
                Some(message) => {
                    message.text.push(b'\n');
                    message.text.extend_from_slice(line);
                }
                None => each(Said::Message(Message {
                    time_ns: boot_now_ns(),
                    comm: Vec::new(),
                    tid: 0,
                    cpu: 0,
                    text: line.to_vec(),
                })),
            },
        }
    }
    if let Some(message) = last {
        each(Said::Message(message));
    }
}

/// `            bash-123     [001] d..31  1234.567890: bpf_trace_printk: text`. The name has at
/// most 15 bytes, so it cannot imitate the whole form; `<...>` if the kernel forgot it.
static LINE_FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let form = r"(?s-u)^ *([^\n]{1,16}?)-([0-9]+) +\[([0-9]+)\] \S+ +([0-9]+)\.([0-9]{6}): bpf_trace_printk: ?(.*)$";
    Regex::new(form).ok()
});

fn parse(line: &[u8]) -> Option<Said> {
    if let Some(lost) = line.strip_prefix(b"CPU:") {
        let lost = std::str::from_utf8(lost).ok()?;
        let count = lost.split("[LOST ").nth(1)?.split(' ').next()?;
        // "[LOST EVENTS]" if the number is unknown.
        return Some(Said::Lost(count.parse().unwrap_or(1)));
    }
    let parts = LINE_FORM.as_ref()?.captures(line)?;
    let bytes = |at: usize| parts.get(at).map(|part| part.as_bytes());
    let number = |at: usize| std::str::from_utf8(bytes(at)?).ok()?.parse::<u64>().ok();
    let (seconds, micros) = (number(4)?, number(5)?);
    Some(Said::Message(Message {
        time_ns: seconds.checked_mul(1_000_000_000)?.checked_add(micros * 1000)?,
        comm: bytes(1)?.to_vec(),
        tid: u32::try_from(number(2)?).ok()?,
        cpu: u32::try_from(number(3)?).ok()?,
        text: bytes(6)?.to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &[u8]) -> Vec<Said> {
        let mut all = Vec::new();
        let mut rest = text.to_vec();
        take_lines(&mut rest, &mut |said| all.push(said));
        all
    }

    fn message(comm: &str, tid: u32, text: &str) -> Said {
        Said::Message(Message {
            time_ns: 1_234_567_890_000,
            comm: comm.into(),
            tid,
            cpu: 1,
            text: text.into(),
        })
    }

    #[test]
    fn lines_of_the_trace() {
        let line =
            b"            bash-12      [001] d..31  1234.567890: bpf_trace_printk: hi there\n";
        assert_eq!(messages(line), [message("bash", 12, "hi there")]);
        let line = b"     Web Content-7       [001] ...11  1234.567890: bpf_trace_printk: x\n\n";
        assert_eq!(messages(line), [message("Web Content", 7, "x")]);
        let line = b" a-1 [000] b-2       [001] ...11  1234.567890: bpf_trace_printk: x\n";
        assert_eq!(messages(line), [message("a-1 [000] b", 2, "x")]);
        let line = b"           <...>-99      [001] d..2.  1234.567890: bpf_trace_printk: a\nb\n";
        assert_eq!(messages(line), [message("<...>", 99, "a\nb")]);
        assert_eq!(messages(b"CPU:1 [LOST 12 EVENTS]\n"), [Said::Lost(12)]);
        assert_eq!(messages(b"CPU:1 [LOST EVENTS]\n"), [Said::Lost(1)]);
    }

    #[test]
    fn a_text_cannot_forge_another_line_before_its_own() {
        let fake = "x-1 [000] d..31 1.000000: bpf_trace_printk: fake";
        let line = format!("   real-2 [001] d..31 1234.567890: bpf_trace_printk: {fake}\n");
        assert_eq!(messages(line.as_bytes()), [message("real", 2, fake)]);
    }

    #[test]
    fn half_a_line_waits_for_the_rest() {
        let mut rest = b"   x-2 [001] d..31 1234.5678".to_vec();
        take_lines(&mut rest, &mut |said| panic!("{said:?}"));
        rest.extend(b"90: bpf_trace_printk: all\nnext");
        let mut all = Vec::new();
        take_lines(&mut rest, &mut |said| all.push(said));
        assert_eq!(all, [message("x", 2, "all")]);
        assert_eq!(rest, b"next");
    }
}
