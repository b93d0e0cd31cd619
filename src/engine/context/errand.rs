//! What a helper looks up: names, for which it may have to ask a server, and command lines, which
//! lie in the memory of other processes.

use std::fs::File;
use std::io::Read as _;

use super::place;
use crate::engine::errand::Serve;
use crate::host::proc::is_process;
use crate::host::users::{group_name, user_name};

/// The longest command line that is read: as long as most, and not as long as any may be.
const MOST_ARGS: u64 = 4096;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question<'a> {
    User(u32),
    Group(u32),
    /// The command line of the process with this id, birth and name
    Command(u32, u64, &'a [u8]),
    /// Where the process with this id and birth runs
    Place(u32, u64),
}

impl Question<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::User(uid) => [&b"u"[..], &uid.to_ne_bytes()].concat(),
            Self::Group(gid) => [&b"g"[..], &gid.to_ne_bytes()].concat(),
            Self::Command(pid, start_ns, comm) => {
                [&b"c"[..], &pid.to_ne_bytes(), &start_ns.to_ne_bytes(), comm].concat()
            }
            Self::Place(pid, start_ns) => {
                [&b"p"[..], &pid.to_ne_bytes(), &start_ns.to_ne_bytes()].concat()
            }
        }
    }
}

fn decode(request: &[u8]) -> Option<Question<'_>> {
    let (&kind, rest) = request.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let number = u32::from_ne_bytes(*number);
    Some(match kind {
        b'u' => Question::User(number),
        b'g' => Question::Group(number),
        b'c' => {
            let (start_ns, comm) = rest.split_first_chunk()?;
            Question::Command(number, u64::from_ne_bytes(*start_ns), comm)
        }
        b'p' => Question::Place(number, u64::from_ne_bytes(*rest.first_chunk()?)),
        _ => return None,
    })
}

/// The helper's side.
pub fn errand() -> Serve {
    Box::new(serve)
}

/// An empty answer: there is none.
fn serve(request: &[u8]) -> Vec<u8> {
    let answer = match decode(request) {
        Some(Question::User(uid)) => user_name(uid),
        Some(Question::Group(gid)) => group_name(gid),
        Some(Question::Command(pid, start_ns, comm)) => command(pid, start_ns, comm),
        Some(Question::Place(pid, start_ns)) => place::look(pid, start_ns),
        None => None,
    };
    answer.unwrap_or_default()
}

/// The arguments, each with its NUL, if that is still the same process with the same program, as
/// far as one can see: the name is that of the event.
fn command(pid: u32, start_ns: u64, comm: &[u8]) -> Option<Vec<u8>> {
    let mut args = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(MOST_ARGS + 1).read_to_end(&mut args).ok()?;
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    // Checked last: the number may have belonged to another process until now.
    let is_same = name.strip_suffix(b"\n") == Some(comm) && is_process(pid, start_ns);
    let is_whole = args.ends_with(b"\0") && args.len() as u64 <= MOST_ARGS;
    (is_same && is_whole).then_some(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::proc::{Stat, first_ns};

    #[test]
    fn questions_arrive_as_they_were() {
        let place = Question::Place(1, 2);
        let all = [Question::User(7), Question::Group(0), Question::Command(1, 2, b"a\xff"), place];
        for question in all {
            assert_eq!(decode(&question.encode()), Some(question));
        }
        for garbage in [&b""[..], b"u", b"u\0\0\0", b"c\0\0\0\0\0", b"x\0\0\0\0"] {
            assert_eq!(decode(garbage), None);
        }
    }

    #[test]
    fn we_are_who_we_are() {
        let root = serve(&Question::User(0).encode());
        assert_eq!(root, b"root");
        let pid = std::process::id();
        let stat = Stat::read(pid).unwrap();
        let start_ns = first_ns(stat.start_ticks().unwrap());
        let ask = |start_ns, comm: &[u8]| serve(&Question::Command(pid, start_ns, comm).encode());
        let args = ask(start_ns, stat.name());
        assert_eq!(args, std::fs::read("/proc/self/cmdline").unwrap());
        assert!(ask(start_ns, b"other").is_empty(), "it executed something since");
        assert!(ask(start_ns + 10_000_000_000, stat.name()).is_empty(), "another one had the id");
    }
}
