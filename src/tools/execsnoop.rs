//! Executions: from a record of `execve.bpf.c` to its parts.

pub mod args;
pub mod compilation;
pub mod environment;
pub mod errand;
pub mod fields;
mod image;
pub mod interpreter;
mod late;
pub mod live;
pub mod recorded;
pub mod redacted;
pub mod replay;
pub mod search;
pub mod shell;
#[doc(hidden)]
pub mod testing;
pub mod text;

use std::borrow::Cow;

use nix::errno::Errno;

use crate::skel::{exec_cold, exec_event, exec_flag, exec_kind};

/// One execution, or an attempt at one. Borrows from its record.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// The fixed part
    pub event: exec_event,
    /// Resolved path of the program that runs; empty for most failures. With
    /// [`exec_flag::EXEC_PATH_CUT`], its first components are missing.
    pub path: &'a [u8],
    /// Path of the caller's program, where a call failed and strings in it could not be read
    image: &'a [u8],
    /// As the caller named it
    pub filename: &'a [u8],
    /// The interpreter of a script; empty for other programs
    pub interpreter: &'a [u8],
    /// Places of the strings of a failed call that could not be read: see [`late`]
    cold: &'a [u8],
    /// The working directory; empty if it was not asked for. With [`exec_flag::EXEC_CWD_CUT`], its
    /// first components are missing.
    pub cwd: &'a [u8],
    /// Arguments with their NULs, the last one possibly cut
    pub args: &'a [u8],
    /// Variables with their NULs, the last one possibly cut; empty if they were not asked for
    pub env: &'a [u8],
}

/// The arguments that are not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Missing arguments, including a partly shown one; a lower bound if the program could not
    /// count them all (a failed call with more than 128)
    pub args: u64,
    /// Missing bytes, with NULs, if known
    pub bytes: Option<u64>,
}

impl<'a> Exec<'a> {
    /// Takes a record apart. `None`: the record is shorter than its lengths say.
    pub fn decode(record: &'a [u8]) -> Option<Self> {
        let mut event = exec_event::default();
        plain::copy_from_bytes(&mut event, record).ok()?;
        let mut rest = record.get(size_of::<exec_event>()..)?;
        let mut take = |len: usize| -> Option<&'a [u8]> {
            let (part, behind) = rest.split_at_checked(len)?;
            rest = behind;
            Some(part)
        };
        let path = take(event.path_len.into())?;
        let is_image =
            event.kind == exec_kind::EXEC_FAILED && event.flags.0 & exec_flag::EXEC_FATAL.0 == 0;
        let (path, image) = if is_image { (&[][..], path) } else { (path, &[][..]) };
        Some(Self {
            event,
            path,
            image,
            filename: take(event.filename_len.into())?,
            interpreter: take(event.interp_len.into())?,
            cold: take(event.cold_len.into())?,
            cwd: take(event.cwd_len.into())?,
            args: take(event.args_len as usize)?,
            env: take(event.env_len as usize)?,
        })
    }

    /// Whether `flag` is set.
    pub fn is(&self, flag: exec_flag) -> bool {
        self.event.flags.0 & flag.0 != 0
    }

    /// Whether there is a path that has `flag`.
    pub fn path_is(&self, flag: exec_flag) -> bool {
        !self.path.is_empty() && self.is(flag)
    }

    /// A failure's errno; `None` for an execution.
    pub fn errno(&self) -> Option<Errno> {
        (self.event.kind == exec_kind::EXEC_FAILED).then(|| Errno::from_raw(-self.event.ret))
    }

    /// Name of a failure's errno: see [`crate::host::errno::name`].
    pub fn errno_name(&self) -> Option<Cow<'static, str>> {
        self.errno().map(|_| crate::host::errno::name(-self.event.ret))
    }

    /// The arguments: whole ones first, then the beginning of a cut one.
    pub fn args(&self) -> Args<'a> {
        Args { rest: self.args }
    }

    /// Whether some arguments could not be read.
    pub fn args_unreadable(&self) -> bool {
        let is_arg = |cold: exec_cold| cold.index != late::FILENAME;
        self.is(exec_flag::EXEC_ARGS_FAULT) || self.cold().any(is_arg)
    }

    /// Strings that were not in memory.
    fn cold(&self) -> impl Iterator<Item = exec_cold> {
        self.cold.chunks_exact(size_of::<exec_cold>()).filter_map(|bytes| {
            let mut cold = exec_cold::default();
            plain::copy_from_bytes(&mut cold, bytes).ok()?;
            Some(cold)
        })
    }

    /// The part of the arguments that is missing when the first `shown` are shown.
    pub fn cut(&self, shown: usize) -> Option<Cut> {
        let whole = memchr_count(self.args) as u64;
        let whole_shown = whole.min(shown as u64);
        let args = u64::from(self.event.argc).saturating_sub(whole_shown);
        let more = self.is(exec_flag::EXEC_ARGC_MORE);
        if args == 0 && !more {
            return None;
        }
        // Bytes shown: of the whole arguments, and of a partly shown last one.
        let shown_bytes =
            self.args().take(shown).map(|arg| arg.len() as u64).sum::<u64>() + whole_shown;
        let total = u64::from(self.event.args_total);
        let known = !self.args_unreadable() && !more && !self.is(exec_flag::EXEC_ARGS_CUT);
        Some(Cut { args, bytes: known.then(|| total.saturating_sub(shown_bytes)) })
    }

    /// The file as the call named it: as the kernel does, an execveat() relative to a
    /// descriptor becomes `/dev/fd/N/…`.
    pub fn filename(&self) -> Cow<'a, [u8]> {
        if self.event.dirfd == libc::AT_FDCWD || self.filename.starts_with(b"/") {
            return self.filename.into();
        }
        let mut name = format!("/dev/fd/{}", self.event.dirfd).into_bytes();
        if !self.filename.is_empty() {
            name.push(b'/');
            name.extend_from_slice(self.filename);
        }
        name.into()
    }

    /// Whether the first argument differs from the name of the file. A script's interpreter does
    /// not count, nor the dash of a login shell.
    pub fn is_disguised(&self) -> bool {
        let first = self.args().next().unwrap_or_default();
        let first = first.strip_prefix(b"-").unwrap_or(first);
        self.interpreter.is_empty() && basename(first) != basename(&self.filename())
    }

    /// The thread that called exec, if it was not the first thread of the process.
    pub fn foreign_thread(&self) -> Option<u32> {
        (self.event.caller_tid != self.event.id.pid).then_some(self.event.caller_tid)
    }
}

/// The part behind the last slash.
pub fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

fn memchr_count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b == 0).count()
}

/// Arguments of a block in which each ends with a NUL.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    rest: &'a [u8],
}

impl<'a> Args<'a> {
    /// Arguments of a block that is kept elsewhere.
    pub fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|&b| b == 0);
        let (arg, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.get(1..).unwrap_or_default();
        Some(arg)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{edit, record, with};
    use super::*;

    #[test]
    fn arguments_empty_and_trailing_empty() {
        let all = |args: &[&[u8]]| {
            let record = record("/bin/x", args);
            let exec = Exec::decode(&record).unwrap();
            assert_eq!(exec.cut(usize::MAX), None);
            exec.args().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        for args in [&[&b"a"[..], b"", b"b", b""][..], &[b""], &[b"", b""], &[]] {
            assert_eq!(all(args), args);
        }
    }

    #[test]
    fn a_cut_says_exactly_what_is_missing() {
        let record = record("/bin/x", &[b"one", b"two", b"three"]);
        let exec = Exec::decode(&record).unwrap();
        assert_eq!(exec.cut(3), None);
        assert_eq!(exec.cut(1), Some(Cut { args: 2, bytes: Some(10) }));
        assert_eq!(exec.cut(0), Some(Cut { args: 3, bytes: Some(14) }));
    }

    #[test]
    fn a_record_cut_in_the_middle_of_an_argument() {
        let event = exec_event {
            kind: exec_kind::EXEC_DONE,
            flags: exec_flag(0),
            argc: 3,
            args_total: 14,
            ..exec_event::default()
        };
        let record = with(event, "", "", b"one\0tw");
        let exec = Exec::decode(&record).unwrap();
        assert_eq!(exec.args().collect::<Vec<_>>(), [&b"one"[..], b"tw"]);
        assert_eq!(exec.cut(usize::MAX), Some(Cut { args: 2, bytes: Some(8) }));
    }

    #[test]
    fn a_failure_with_more_arguments_than_counted() {
        let mut record = record("/bin/x", &[b"one"]);
        edit(&mut record, |event| {
            event.argc = 256;
            event.flags = exec_flag::EXEC_ARGC_MORE;
        });
        let exec = Exec::decode(&record).unwrap();
        assert_eq!(exec.cut(usize::MAX), Some(Cut { args: 255, bytes: None }));
    }

    #[test]
    fn short_records_are_refused() {
        let record = record("/bin/x", &[b"arg"]);
        for len in 0..record.len() {
            assert!(Exec::decode(&record[..len]).is_none(), "{len}");
        }
        // Ring buffer records are longer than their used part.
        let mut long = record.clone();
        long.resize(record.len() + 300, 0xaa);
        assert_eq!(Exec::decode(&long).unwrap().args, b"arg\0");
    }

    #[test]
    fn relative_to_a_descriptor() {
        let mut record = record("sub/x", &[]);
        edit(&mut record, |event| event.dirfd = 7);
        assert_eq!(&*Exec::decode(&record).unwrap().filename(), b"/dev/fd/7/sub/x");
        edit(&mut record, |event| event.dirfd = libc::AT_FDCWD);
        assert_eq!(&*Exec::decode(&record).unwrap().filename(), b"sub/x");
    }

    #[test]
    fn disguises() {
        for (filename, arg, disguised) in [
            ("/bin/ls", &b"ls"[..], false),
            ("/bin/bash", b"-bash", false),
            ("/proc/self/exe", b"ls", true),
            ("/bin/x", b"", true),
        ] {
            let record = record(filename, &[arg]);
            assert_eq!(Exec::decode(&record).unwrap().is_disguised(), disguised, "{filename}");
        }
    }
}
