//! Births and ends of processes and ends of threads as JSON Lines: `process.fork`,
//! `process.exit`, `thread.exit`.

use std::borrow::Cow;

use super::Killer;
use super::lives::{Command, Life};
use super::status::Status;
use super::usage::Usage;
use crate::output::json::{Bytes, Container, EventName, Id, Process, is_false};
use crate::skel::{process_exit_event, process_flag, task_id};
use crate::tools::execsnoop::Args;
use crate::tools::execsnoop::json::{CommandArgs, Executable};

/// What a row shows besides the record itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Event time, RFC 3339
    pub timestamp: &'a str,
    /// Path of the cgroup if known
    pub cgroup: Option<&'a [u8]>,
    /// The facts about the process
    pub life: Option<&'a Life>,
    /// The usage; `None` for a thread
    pub usage: Option<Usage>,
    /// Whether `usage` is final
    pub usage_final: bool,
    /// Most arguments to show
    pub max_args: usize,
}

/// One line.
#[derive(serde::Serialize)]
pub struct ProcessJson<'a> {
    timestamp: &'a str,
    event: EventName,
    process: ProcessMembers<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    thread: Thread,
}

#[derive(serde::Serialize)]
struct Thread {
    #[serde(flatten)]
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit<'static>>,
}

#[derive(serde::Serialize)]
struct ProcessMembers<'a> {
    #[serde(flatten)]
    common: Process<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    /// Time since the last execution
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_since_exec_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Executable<'a>>,
    #[serde(flatten)]
    args: CommandArgs<'a>,
    /// The command is the parent's
    #[serde(skip_serializing_if = "is_false")]
    without_exec: bool,
    #[serde(skip_serializing_if = "is_false")]
    kernel_thread: bool,
    #[serde(flatten)]
    usage: Option<UsageMembers>,
}

#[derive(serde::Serialize)]
struct Exit<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "is_false")]
    core_dumped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Sender<'a>>,
}

/// The source of the signal.
#[derive(Default, serde::Serialize)]
struct Sender<'a> {
    /// `process`, `itself`, `fault`, `oom`, `kernel`
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(flatten)]
    comm: Option<Bytes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    real_user: Option<Id>,
    /// The address of a fault
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

#[derive(serde::Serialize)]
struct UsageMembers {
    cpu: Cpu,
    memory: Memory,
    paging: Paging,
    context_switches: Switches,
    disk: Disk,
    /// The parent had not waited yet: the last milliseconds may be missing
    #[serde(skip_serializing_if = "is_false")]
    usage_incomplete: bool,
}

#[derive(serde::Serialize)]
struct Cpu {
    user_ns: u64,
    system_ns: u64,
}

#[derive(serde::Serialize)]
struct Memory {
    max_rss_bytes: u64,
}

#[derive(serde::Serialize)]
struct Paging {
    major_faults: u64,
    minor_faults: u64,
}

#[derive(serde::Serialize)]
struct Switches {
    voluntary: u64,
    involuntary: u64,
}

#[derive(serde::Serialize)]
struct Disk {
    read_bytes: u64,
    written_bytes: u64,
}

impl UsageMembers {
    fn new(usage: &Usage, is_final: bool) -> Self {
        let &Usage { user_ns, system_ns, max_rss_bytes, .. } = usage;
        let &Usage { major_faults, minor_faults, read_bytes, written_bytes, .. } = usage;
        Self {
            cpu: Cpu { user_ns, system_ns },
            memory: Memory { max_rss_bytes },
            paging: Paging { major_faults, minor_faults },
            context_switches: Switches {
                voluntary: usage.voluntary_switches,
                involuntary: usage.involuntary_switches,
            },
            disk: Disk { read_bytes, written_bytes },
            usage_incomplete: !is_final,
        }
    }
}

impl<'a> Sender<'a> {
    fn new(killer: Killer<'a>) -> Self {
        let only = |r#type| Self { r#type, ..Self::default() };
        match killer {
            Killer::Itself => only("itself"),
            Killer::OutOfMemory => only("oom"),
            Killer::Kernel => only("kernel"),
            Killer::Fault(address) => {
                Self { address: Some(format!("{address:#x}")), ..only("fault") }
            }
            Killer::Process { pid, uid, comm } => Self {
                pid: Some(pid),
                comm: Some(Bytes { keys: ("comm", "comm_base64"), value: Some(comm) }),
                real_user: Some(Id { id: uid }),
                ..only("process")
            },
        }
    }
}

impl<'a> Exit<'a> {
    fn new(status: i32, killer: Option<Killer<'a>>) -> Self {
        let status = Status::from_wait(status);
        Self {
            code: if let Status::Code(code) = status { Some(code) } else { None },
            signal: status.signal(),
            core_dumped: status.core_dumped(),
            sender: killer.map(Sender::new),
        }
    }
}

fn members<'a>(id: &'a task_id, context: &Context<'a>) -> ProcessMembers<'a> {
    ProcessMembers {
        common: Process::new(id, context.cgroup),
        exit: None,
        duration_ns: None,
        duration_since_exec_ns: None,
        executable: None,
        args: CommandArgs::new(None, None, None),
        without_exec: false,
        kernel_thread: false,
        usage: None,
    }
}

/// A birth.
pub fn fork<'a>(id: &'a task_id, context: &Context<'a>) -> ProcessJson<'a> {
    ProcessJson {
        timestamp: context.timestamp,
        event: EventName { name: "process.fork" },
        process: members(id, context),
        container: Container::of(context.cgroup),
        thread: Thread { id: Id { id: id.tid }, duration_ns: None, exit: None },
    }
}

/// The end of a thread.
pub fn thread_exit<'a>(
    event: &process_exit_event,
    id: &'a task_id,
    context: &Context<'a>,
) -> ProcessJson<'a> {
    ProcessJson {
        timestamp: context.timestamp,
        event: EventName { name: "thread.exit" },
        process: members(id, context),
        container: Container::of(context.cgroup),
        thread: Thread {
            id: Id { id: id.tid },
            duration_ns: Some(event.duration_ns()),
            exit: Some(Exit::new(event.status, None)),
        },
    }
}

/// The end of a process. `args`: space for borrowed values.
pub fn exit<'a>(
    event: &'a process_exit_event,
    id: &'a task_id,
    context: &Context<'a>,
    args: &'a mut Option<std::iter::Take<Args<'a>>>,
) -> ProcessJson<'a> {
    let command = context.life.and_then(|life| life.command.as_deref());
    *args = command.map(|command| command.args().take(context.max_args));
    let exec_ns = context.life.and_then(|life| life.exec_ns);
    ProcessJson {
        timestamp: context.timestamp,
        event: EventName { name: "process.exit" },
        process: ProcessMembers {
            exit: Some(Exit::new(event.status, event.killer())),
            duration_ns: Some(event.duration_ns()),
            duration_since_exec_ns: exec_ns.map(|exec_ns| id.time_ns.saturating_sub(exec_ns)),
            executable: command
                .and_then(|command| Executable::new(&command.path, command.path_flags)),
            args: CommandArgs::new(
                args.as_ref(),
                command.map(Command::count),
                command.and_then(|command| command.cut(context.max_args)),
            ),
            without_exec: event.process.is(process_flag::PROCESS_NO_EXEC),
            kernel_thread: event.process.is(process_flag::PROCESS_KERNEL),
            usage: context.usage.map(|usage| UsageMembers::new(&usage, context.usage_final)),
            ..members(id, context)
        },
        container: Container::of(context.cgroup),
        thread: Thread { id: Id { id: id.tid }, duration_ns: None, exit: None },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_record_breaks_a_json_line(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<process_exit_event>()),
            cgroup: Option<Vec<u8>>,
        ) {
            let event: process_exit_event = crate::skel::decode(&fixed).unwrap();
            let id = task_id::from(event.process.id);
            let context = Context {
                timestamp: "now",
                cgroup: cgroup.as_deref(),
                usage: Some(Usage::new(&event.usage)),
                ..Context::default()
            };
            let mut args = None;
            for line in [
                serde_json::to_string(&exit(&event, &id, &context, &mut args)).unwrap(),
                serde_json::to_string(&thread_exit(&event, &id, &context)).unwrap(),
                serde_json::to_string(&fork(&id, &context)).unwrap(),
            ] {
                prop_assert!(!line.contains('\n'));
                let value: serde_json::Value = serde_json::from_str(&line).unwrap();
                prop_assert_eq!(&value["process"]["pid"], event.process.id.pid);
            }
        }
    }
}
