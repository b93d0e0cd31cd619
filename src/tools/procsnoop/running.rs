//! `process.running`: a process that is older than the tool, as a line of JSON. Recordings have
//! them in front, so that pictures can be drawn later.

use serde::Serialize;

use super::elders::{Elder, Here};
use crate::engine::recorded::{Line, Reading};
use crate::host::proc::{first_ns, ticks};
use crate::output::json::{Bytes, BytesList, EventName};
use crate::tools::execsnoop::Args;

/// The name of the event.
pub const NAME: &str = "process.running";

/// Such a line.
#[derive(Serialize)]
pub struct Running<'a> {
    timestamp: &'a str,
    event: EventName,
    process: Process<'a>,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    parent_pid: u32,
    /// To the tick
    start_boot_ns: u64,
    #[serde(flatten)]
    comm: Bytes<'a>,
    #[serde(flatten)]
    args: BytesList<'a>,
    #[serde(skip_serializing_if = "crate::output::json::is_false")]
    kernel_thread: bool,
}

impl<'a> Running<'a> {
    /// The line of `elder`. `timestamp`: RFC 3339.
    pub fn new(elder: &'a Elder, timestamp: &'a str) -> Self {
        let args = Args::new(&elder.cmdline).collect();
        Self {
            timestamp,
            event: EventName { name: NAME },
            process: Process {
                pid: elder.pid,
                parent_pid: elder.ppid,
                start_boot_ns: first_ns(elder.born_ticks),
                comm: Bytes { keys: ("comm", "comm_base64"), value: Some(&elder.comm) },
                args: BytesList { keys: ("command_args", "command_args_base64"), values: args },
                kernel_thread: elder.is_kernel,
            },
        }
    }
}

/// Reads such a line.
pub fn read(line: &Line) -> Reading<Elder> {
    let pid = line.number("process.pid")?.ok_or("no process.pid")?;
    let ppid = line.number("process.parent_pid")?.ok_or("no process.parent_pid")?;
    let start_ns = line.number("process.start_boot_ns")?.ok_or("no process.start_boot_ns")?;
    let args = line.list("process.command_args")?.unwrap_or_default();
    let mut elder = Elder {
        pid,
        ppid,
        here: Here { pid, ppid },
        born_ticks: ticks(start_ns),
        comm: line.bytes("process.comm")?.unwrap_or_default(),
        is_kernel: line.flag("process.kernel_thread")?,
        ..Elder::default()
    };
    let cmdline: Vec<u8> = args.iter().flat_map(|arg| [arg.as_slice(), b"\0"].concat()).collect();
    elder.set_program(&cmdline, &[]);
    Ok(elder)
}

/// The most older processes: ids of the largest machines.
const MOST_ELDERS: usize = 4 << 20;

/// Processes that are older than a recording, until its first event.
#[derive(Default)]
pub(super) struct Elders {
    waiting: Vec<Elder>,
    has_begun: bool,
}

impl Elders {
    /// One more; behind the first event there is none.
    pub(super) fn add(&mut self, elder: Elder) {
        if !self.has_begun && self.waiting.len() < MOST_ELDERS {
            self.waiting.push(elder);
        }
    }

    /// All of them, at the first event; `None` at the others.
    pub(super) fn begin(&mut self) -> Option<Vec<Elder>> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        is_first.then(|| std::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::recorded::testing::line;

    #[test]
    fn a_line_has_all_that_is_drawn() {
        let elder = Elder {
            pid: 7,
            ppid: 1,
            born_ticks: 12345,
            comm: b"a\xff".to_vec(),
            cmdline: b"a\0\xff b\0\0".to_vec(),
            is_kernel: true,
            ..Elder::default()
        };
        let text = serde_json::to_string(&Running::new(&elder, "1970-01-01T00:00:00Z")).unwrap();
        let again = read(&line(&text)).unwrap();
        assert_eq!(
            (again.pid, again.ppid, again.born_ticks, again.is_kernel),
            (7, 1, 12345, true),
            "{text}"
        );
        assert_eq!((again.comm, again.cmdline), (elder.comm, elder.cmdline));
    }
}
