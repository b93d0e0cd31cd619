//! Lives of processes: from a record of `bootstrap.bpf.c` to its parts.

pub mod args;
pub mod chrome;
pub mod columns;
pub mod config;
pub mod critical;
pub mod diff;
pub mod elders;
pub mod fields;
pub mod held;
pub mod history;
pub mod labels;
pub mod lanes;
pub mod live;
pub mod lives;
pub mod older;
pub mod past;
pub mod perfetto;
pub mod pictures;
pub mod plot;
pub mod recorded;
pub mod replay;
pub mod row;
pub mod running;
pub mod selection;
pub mod show;
pub mod status;
pub mod text;
pub mod tree;
pub mod usage;
pub mod words;

use anyhow::Result;

use crate::host::proc;
use crate::output::escape::until_nul;
use crate::skel::{
    decode, process_birth_event, process_event, process_exit_event, process_flag, process_killer,
    process_kind, process_reaped_event,
};

/// A process, for as long as the machine runs: ids are reused, times of birth are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its id in the initial PID namespace
    pub pid: u32,
    /// Its birth, `CLOCK_BOOTTIME` in nanoseconds
    pub start_ns: u64,
}

/// The time of birth, as exactly as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// `CLOCK_BOOTTIME` in nanoseconds
    Exact(u64),
    /// From /proc, in ticks
    Ticks(u64),
}

impl Birth {
    /// Whether this may be the birth at `start_ns`.
    pub fn is(self, start_ns: u64) -> bool {
        match self {
            Self::Exact(ns) => ns == start_ns,
            Self::Ticks(ticks) => ticks == proc::ticks(start_ns),
        }
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    /// An execution: [`crate::tools::execsnoop::Exec`] takes it apart
    Exec,
    /// A birth
    Fork(process_birth_event),
    /// An end
    Exit(process_exit_event),
    /// The end of a thread that is not the last
    ThreadExit(process_exit_event),
    /// The final account of a process
    Reaped(process_reaped_event),
}

impl Record {
    /// Takes a record apart. The error: the record is shorter than its kind requires.
    pub fn decode(record: &[u8]) -> Result<Self> {
        let event: process_event = decode(record)?;
        Ok(match event.kind {
            process_kind::PROCESS_FORK => Self::Fork(decode(record)?),
            process_kind::PROCESS_EXIT => Self::Exit(decode(record)?),
            process_kind::PROCESS_THREAD_EXIT => Self::ThreadExit(decode(record)?),
            process_kind::PROCESS_REAPED => Self::Reaped(decode(record)?),
            _ => Self::Exec,
        })
    }
}

impl process_event {
    /// Whether `flag` is set.
    pub fn is(&self, flag: process_flag) -> bool {
        self.flags.0 & flag.0 != 0
    }

    /// The process.
    pub fn identity(&self) -> Identity {
        Identity { pid: self.id.pid, start_ns: self.id.start_ns }
    }

    /// Its parent.
    pub fn parent(&self) -> Identity {
        Identity { pid: self.id.ppid, start_ns: self.id.parent_start_ns }
    }
}

/// Whether these signals are for instructions that fault; the kernel gives the address of the fault.
fn is_fault(signal: u32) -> bool {
    const FAULTS: [i32; 6] =
        [libc::SIGILL, libc::SIGTRAP, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS];
    FAULTS.iter().any(|fault| fault.unsigned_abs() == signal)
}

impl process_birth_event {
    /// The process that made it: with `CLONE_PARENT` not its parent.
    pub fn maker(&self) -> Identity {
        Identity { pid: self.maker_pid, start_ns: self.maker_start_ns }
    }
}

/// The source of a fatal signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killer<'a> {
    /// The process itself, as with abort()
    Itself,
    /// Another one
    Process {
        /// Its id in the initial PID namespace
        pid: u32,
        /// Its birth, `CLOCK_BOOTTIME` in nanoseconds; 0 if it is not known
        start_ns: u64,
        /// Its real user id
        uid: u32,
        comm: &'a [u8],
    },
    /// A fault of the process, at this address
    Fault(u64),
    /// The kernel, because memory ran out
    OutOfMemory,
    /// The kernel, for another reason: a terminal, a timer, a limit, a pipe without a reader, the
    /// end of a child or of a PID namespace
    Kernel,
}

impl Killer<'_> {
    /// `process.exit.sender.type` in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Process { .. } => "process",
            Self::Fault(_) => "fault",
            Self::OutOfMemory => "oom",
            Self::Kernel => "kernel",
        }
    }
}

impl process_exit_event {
    /// The source of the fatal signal, if a signal ended the process and the source is known.
    pub fn killer(&self) -> Option<Killer<'_>> {
        const SI_KERNEL: i32 = 0x80;
        let process_killer { pid, start_ns, uid, code, address, signal, .. } = self.killer;
        if !self.process.is(process_flag::PROCESS_KILLER) {
            return None;
        }
        Some(if !self.process.is(process_flag::PROCESS_KILLER_KERNEL) {
            if pid == self.process.id.pid {
                Killer::Itself
            } else {
                Killer::Process { pid, start_ns, uid, comm: until_nul(&self.killer.comm) }
            }
        } else if self.process.is(process_flag::PROCESS_OOM) && code == SI_KERNEL {
            Killer::OutOfMemory
        } else if code > 0 && code != SI_KERNEL && is_fault(signal) {
            Killer::Fault(address)
        } else {
            Killer::Kernel
        })
    }

    /// The lifetime of the process, or of the thread, in nanoseconds; for COMMAND since its
    /// release.
    pub fn duration_ns(&self) -> u64 {
        self.process.id.time_ns.saturating_sub(self.begin_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn killed(flags: &[process_flag], killer: process_killer) -> process_exit_event {
        let mut event = process_exit_event { killer, ..process_exit_event::default() };
        event.process.id.pid = 7;
        event.process.flags = process_flag(flags.iter().fold(0, |all, flag| all | flag.0));
        event
    }

    #[test]
    fn killers() {
        let known = process_flag::PROCESS_KILLER;
        let kernel = process_flag::PROCESS_KILLER_KERNEL;
        let oom = process_flag::PROCESS_OOM;
        let process = |pid| process_killer {
            pid,
            comm: *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0x",
            ..Default::default()
        };
        let code = |code| process_killer { code, address: 16, signal: 11, ..Default::default() };
        let of = |flags: &[process_flag], killer| format!("{:?}", killed(flags, killer).killer());
        assert_eq!(killed(&[], process(8)).killer(), None);
        assert_eq!(killed(&[known], process(7)).killer(), Some(Killer::Itself));
        let sh = Killer::Process { pid: 8, start_ns: 0, uid: 0, comm: b"sh" };
        assert_eq!(killed(&[known], process(8)).killer(), Some(sh));
        assert_eq!(of(&[known, kernel], code(1)), "Some(Fault(16))");
        assert_eq!(of(&[known, kernel], code(0x80)), "Some(Kernel)");
        assert_eq!(of(&[known, kernel, oom], code(0x80)), "Some(OutOfMemory)");
        assert_eq!(of(&[known, kernel, oom], code(2)), "Some(Fault(16))");
        assert_eq!(of(&[known, kernel], code(-2)), "Some(Kernel)");
        // The end of a child, which is to be told by this signal: CLD_EXITED.
        let by_child = process_killer { signal: 10, ..code(1) };
        assert_eq!(of(&[known, kernel], by_child), "Some(Kernel)");
    }

    #[test]
    fn births_in_two_units() {
        assert!(Birth::Exact(5).is(5) && !Birth::Exact(5).is(6));
        assert!(Birth::Ticks(5).is(59_999_999) && !Birth::Ticks(5).is(60_000_000));
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(mut record: Vec<u8>, kind in 0u8..24) {
            const KIND: usize = std::mem::offset_of!(process_event, kind);
            record.resize(record.len().max(KIND + 1), 0);
            record[KIND] = kind;
            if let Ok(Record::Exit(event) | Record::ThreadExit(event)) = Record::decode(&record) {
                let _ = (event.killer(), event.duration_ns());
            }
        }
    }
}
