//! The fields of `process.fork`, `process.exit`, `thread.exit`, and of the rows of executions:
//! columns of the table and keys of JSON Lines.

use super::Killer;
use super::args::Args;
use super::lives::Command;
use super::row::{Row, What};
use super::status::Status;
use super::text::tail;
use crate::output::row::{Field, Slot, View};
use crate::output::time::Seconds;
use crate::skel::{exec_flag, process_exit_event, process_flag};

/// Writes a field.
pub type Put = fn(&Row<'_>, &mut Slot<'_, '_>);

/// The columns of `--usage`.
const USAGE: [&str; 8] =
    ["USER", "SYSTEM", "RSS(KiB)", "MAJFLT", "VCSW", "ICSW", "READ(KiB)", "WRITE(KiB)"];

/// All fields, in the order of the columns.
pub const FIELDS: &[Field<Put>] = &[
    Field::TIME,
    Field::SINCE,
    Field::left(
        "EVENT",
        5,
        "",
        "EXEC for an execution, EXIT for the end of a process, with --fork FORK for a birth, with \
         --threads THREAD for the end of a thread",
        |row, slot| slot.text(row.what.word()),
    ),
    Field::UID,
    Field::LOGIN,
    Field::CONTAINER,
    Field::UNIT,
    Field::COMM,
    Field::PID,
    Field::PPID,
    Field::json(
        "process.exit.code",
        "exit code of the process; absent if a signal ended it",
        |row, slot| slot.optional_number(row.status().and_then(Status::code)),
    ),
    Field::json(
        "process.exit.signal",
        "name of the signal that ended the process; absent if it exited by itself",
        |row, slot| slot.optional_text(row.status().and_then(Status::signal).as_deref()),
    ),
    Field::json(
        "process.exit.core_dumped",
        "true if the signal made the kernel dump the memory of the process; otherwise absent",
        |row, slot| slot.flag(row.status().is_some_and(Status::core_dumped)),
    ),
    Field::json(
        "process.exit.sender.type",
        "origin of the signal: process, itself, fault (an instruction of the process), oom \
         (memory ran out) or kernel (a terminal, a timer, a limit, a pipe without a reader, the \
         end of a child or of a PID namespace); absent if it is not known",
        |row, slot| slot.optional_text(row.killer().map(|killer| killer.kind())),
    ),
    Field::json(
        "process.exit.sender.pid",
        "process id of the sender; only for the type process",
        |row, slot| {
            if let Some(Killer::Process { pid, .. }) = row.killer() {
                slot.number(pid);
            }
        },
    ),
    Field::json(
        "process.exit.sender.creation.time",
        "birth of the sender; only for the type process",
        |row, slot| {
            if let Some(Killer::Process { start_ns, .. }) = row.killer() {
                slot.birth(start_ns);
            }
        },
    ),
    Field::json(
        "process.exit.sender.start_boot_ns",
        "birth of the sender on the clock CLOCK_BOOTTIME; only for the type process",
        |row, slot| {
            if let Some(Killer::Process { start_ns, .. }) = row.killer() {
                slot.birth_ns(start_ns);
            }
        },
    ),
    Field::json(
        "process.exit.sender.comm",
        "name of the sender; only for the type process",
        |row, slot| {
            if let Some(Killer::Process { comm, .. }) = row.killer() {
                slot.name(comm);
            }
        },
    ),
    Field::json(
        "process.exit.sender.real_user.id",
        "real user id of the sender; only for the type process",
        |row, slot| {
            if let Some(Killer::Process { uid, .. }) = row.killer() {
                slot.number(uid);
            }
        },
    ),
    Field::json(
        "process.exit.sender.address",
        "address of the fault, in hexadecimal; only for the type fault",
        |row, slot| {
            if let Some(Killer::Fault(address)) = row.killer() {
                slot.value(format_args!("{address:#x}"));
            }
        },
    ),
    Field::right(
        "DURATION",
        8,
        "process.duration_ns",
        "how long the process lived, since its birth, or for COMMAND since the tool let it go, in \
         seconds, in JSON nanoseconds; in a row THREAD how long the thread lived",
        |row, slot| {
            let thread = row.ended_thread().map(process_exit_event::duration_ns);
            if let Some(ns) = thread {
                slot.cell(|line| line.value(Seconds(ns)));
            }
            slot.optional_seconds(row.ended().map(|ended| ended.event.duration_ns()));
        },
    ),
    Field::right(
        "SINCE-EXEC",
        10,
        "process.duration_since_exec_ns",
        "time from the last execution of the process to its end, in seconds, in JSON nanoseconds; \
         absent if there was no execution, or it was not seen",
        |row, slot| slot.optional_seconds(row.since_exec_ns()),
    ),
    Field::left(
        "STATUS",
        7,
        "",
        "exit code, or the name of the signal, with +core if memory was dumped",
        |row, slot| match row.status().or(row.thread_status()) {
            Some(status) if status.is_failure() => slot.failure(&status.to_string()),
            Some(status) => slot.value(status),
            None => {}
        },
    ),
    Field::json(
        "process.executable.path",
        "path of the program; absent if it is not known",
        |row, slot| slot.optional_name(row.path()),
    ),
    Field::json(
        "process.executable.path_cut",
        "true if the first components of the path are missing; otherwise absent",
        |row, slot| slot.flag(row.path_is(exec_flag::EXEC_PATH_CUT)),
    ),
    Field::json(
        "process.executable.deleted",
        "true if the file was deleted before the execution; otherwise absent",
        |row, slot| slot.flag(row.path_is(exec_flag::EXEC_PATH_DELETED)),
    ),
    Field::json(
        "process.executable.no_mount",
        "true if the path is only a name: of a file in memory, or the like; otherwise absent",
        |row, slot| slot.flag(row.path_is(exec_flag::EXEC_PATH_NO_MOUNT)),
    ),
    Field::json(
        "process.executable.other_name",
        "true if the command line has another name than the program; otherwise absent; only in \
         process.exit",
        |row, slot| {
            let command = row.command().filter(|command| !command.path.is_empty());
            slot.flag(command.is_some_and(|command| command.is_disguised));
        },
    ),
    Field::json(
        "process.command_args",
        "arguments of the last execution, of the process or of the one that forked it; absent if \
         they are not known",
        |row, slot| {
            if let Some(command) = row.command() {
                slot.json_names(command.args().take(row.max_args));
            }
        },
    ),
    Field::json(
        "process.args_count",
        "number of the arguments, with those that are not in process.command_args",
        |row, slot| slot.optional_number(row.command().map(Command::count)),
    ),
    Field::json(
        "process.command_args_cut.args",
        "number of the arguments that are not complete in process.command_args; absent if all are",
        |row, slot| slot.optional_number(row.cut().map(|cut| cut.args)),
    ),
    Field::json(
        "process.command_args_cut.bytes",
        "number of bytes that process.command_args lacks, with a NUL for each argument",
        |row, slot| slot.optional_number(row.cut().and_then(|cut| cut.bytes)),
    ),
    Field::json(
        "process.redacted",
        "number of secrets that are replaced by REDACTED; absent if there were none, or without \
         --redact",
        |row, slot| {
            let secrets = row.command().map(|command| command.redacted);
            slot.optional_number(secrets.filter(|count| *count > 0));
        },
    ),
    Field::json(
        "process.without_exec",
        "true if the process executed nothing, so that its command is that of the process that \
         forked it; otherwise absent",
        |row, slot| slot.flag(row.is(process_flag::PROCESS_NO_EXEC)),
    ),
    Field::json(
        "process.kernel_thread",
        "true for a thread of the kernel; otherwise absent",
        |row, slot| {
            let process = row.process();
            slot.flag(process.is_some_and(|process| process.is(process_flag::PROCESS_KERNEL)));
        },
    ),
    Field::right(
        "USER",
        8,
        "process.cpu.user_ns",
        "CPU time of the process in user space, in seconds, in JSON nanoseconds",
        |row, slot| slot.optional_seconds(row.used(|usage| usage.user_ns)),
    ),
    Field::right(
        "SYSTEM",
        8,
        "process.cpu.system_ns",
        "CPU time of the process in the kernel, in seconds, in JSON nanoseconds",
        |row, slot| slot.optional_seconds(row.used(|usage| usage.system_ns)),
    ),
    Field::right(
        "RSS(KiB)",
        9,
        "process.memory.max_rss_bytes",
        "most memory that was resident at once, in KiB, in JSON bytes",
        |row, slot| kib(row.used(|usage| usage.max_rss_bytes), slot),
    ),
    Field::right(
        "MAJFLT",
        6,
        "process.paging.major_faults",
        "number of page faults with I/O",
        |row, slot| slot.optional_number(row.used(|usage| usage.major_faults)),
    ),
    Field::json("process.paging.minor_faults", "number of page faults without I/O", |row, slot| {
        slot.optional_number(row.used(|usage| usage.minor_faults));
    }),
    Field::right(
        "VCSW",
        6,
        "process.context_switches.voluntary",
        "how often the process gave up the CPU",
        |row, slot| slot.optional_number(row.used(|usage| usage.voluntary_switches)),
    ),
    Field::right(
        "ICSW",
        6,
        "process.context_switches.involuntary",
        "how often the kernel took the CPU away from the process",
        |row, slot| slot.optional_number(row.used(|usage| usage.involuntary_switches)),
    ),
    Field::right(
        "READ(KiB)",
        9,
        "process.disk.read_bytes",
        "read from block devices for the process, in KiB, in JSON bytes",
        |row, slot| kib(row.used(|usage| usage.read_bytes), slot),
    ),
    Field::right(
        "WRITE(KiB)",
        10,
        "process.disk.written_bytes",
        "written by the process for block devices, in KiB, in JSON bytes",
        |row, slot| kib(row.used(|usage| usage.written_bytes), slot),
    ),
    Field::json(
        "process.usage_incomplete",
        "true if the parent had not waited for the process when the line was written, so that the \
         last few milliseconds of CPU time may be missing; otherwise absent",
        |row, slot| slot.flag(matches!(row.what, What::Exit(_, false))),
    ),
    Field::left("CWD", 24, "", "working directory of an execution; with --cwd", |row, slot| {
        let cwd = row.exec().map(|exec| exec.cwd);
        slot.optional_name(cwd.filter(|cwd| !cwd.is_empty()));
    }),
    Field::left(
        "ARGS",
        0,
        "",
        "command line, which can be pasted into a shell; a name in [brackets] if the arguments are \
         not known; notes behind #",
        |row, slot| {
            slot.cell(|line| {
                let (command, notes) = tail(row);
                line.noted(&command, &notes)
            });
        },
    ),
    Field::json(
        "thread.id",
        "thread id; in process.exit of the thread that ended last",
        |row, slot| slot.number(row.id.tid),
    ),
    Field::json(
        "thread.duration_ns",
        "how long the thread lived, in nanoseconds; only in thread.exit",
        |row, slot| {
            slot.optional_number(row.ended_thread().map(process_exit_event::duration_ns));
        },
    ),
    Field::json(
        "thread.exit.code",
        "exit code of the thread; only in thread.exit, and absent if a signal ended it",
        |row, slot| slot.optional_number(row.thread_status().and_then(Status::code)),
    ),
    Field::json(
        "thread.exit.signal",
        "name of the signal that ended the thread; only in thread.exit",
        |row, slot| slot.optional_text(row.thread_status().and_then(Status::signal).as_deref()),
    ),
    Field::json(
        "thread.exit.core_dumped",
        "true if the signal made the kernel dump memory; only in thread.exit, otherwise absent",
        |row, slot| slot.flag(row.thread_status().is_some_and(Status::core_dumped)),
    ),
    Field::ANCESTORS,
];

/// The fields that `args` ask for.
///
/// # Errors
///
/// A chosen column that does not exist, in one line.
pub fn view(args: &Args) -> Result<View<Put>, String> {
    View::choose(FIELDS, &args.common.columns, |column| match column.title {
        "EVENT" => {
            column.width = if args.threads { 6 } else { 5 };
            None
        }
        "SINCE-EXEC" => Some(args.usage),
        "CWD" => Some(args.place.cwd),
        title if USAGE.contains(&title) => Some(args.usage),
        _ => args.common.by_flag(column),
    })
}

/// Whether a column needs the account of the processes.
pub fn needs_usage(view: &View<Put>) -> bool {
    let more = ["process.paging.minor_faults", "process.usage_incomplete"];
    USAGE.iter().chain(&more).any(|title| view.shows(title))
}

fn kib(bytes: Option<u64>, slot: &mut Slot<'_, '_>) {
    if let Some(bytes) = bytes {
        slot.cell(|line| line.number(bytes / 1024));
        slot.number(bytes);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::output::escape::Quote;
    use crate::output::row::Common;
    use crate::skel::{process_killer, process_usage, task_id};
    use crate::tools::execsnoop::Exec;
    use crate::tools::execsnoop::testing::{edit, record};
    use crate::tools::procsnoop::held::Ended;
    use crate::tools::procsnoop::lives::Lives;
    use crate::tools::procsnoop::usage::Usage;

    fn shown(flags: &[&str], row: &Row<'_>, cgroup: Option<&[u8]>) -> String {
        let args = Args::try_parse_from(["procsnoop"].iter().chain(flags)).unwrap();
        let event = row.what.name();
        let common = Common { event, time: "now", cgroup, ..Common::of(row.id) };
        view(&args).unwrap().line(args.common.json.is_some(), &common, row)
    }

    /// Killed by another process, two seconds after its birth.
    fn killed() -> process_exit_event {
        let mut event = process_exit_event {
            status: 9 | 0x80,
            killer: process_killer {
                pid: 8,
                uid: 5,
                comm: *b"b\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                ..Default::default()
            },
            begin_ns: 100,
            usage: process_usage {
                runtime_ns: 3_000_000,
                max_rss_kib: 4,
                minor_faults: 5,
                major_faults: 6,
                voluntary_switches: 7,
                involuntary_switches: 8,
                read_blocks: 2,
                written_blocks: 4,
                ..process_usage::default()
            },
            ..process_exit_event::default()
        };
        event.process.id.pid = 7;
        event.process.id.vpid = 7;
        event.process.id.ppid = 1;
        event.process.id.tid = 9;
        event.process.id.start_ns = 100;
        event.process.id.time_ns = 2_000_000_100;
        event.process.id.comm[0] = b'x';
        event.process.flags = process_flag::PROCESS_KILLER;
        event
    }

    /// With what is known of a process that executed `x` with `args` after half a second.
    fn ended(event: process_exit_event, args: &[&[u8]]) -> Ended {
        let mut exec = record("/bin/x", args);
        edit(&mut exec, |exec| {
            exec.id = task_id::from(event.process.id);
            exec.id.time_ns = 500_000_100;
            exec.flags = exec_flag::EXEC_PATH_DELETED;
        });
        let mut lives = Lives::default();
        lives.exec(&Exec::decode(&exec).unwrap());
        let life = lives.exit(&event.process);
        Ended { event, life, usage: Usage::new(&event.usage) }
    }

    #[test]
    fn keys_follow_the_contract() {
        let ended = ended(killed(), &[b"x", b"a b", b"\xff"]);
        let id = task_id::from(ended.event.process.id);
        let what = What::Exit(&ended, false);
        let row = Row {
            id: &id,
            what,
            max_args: 2,
            quote: Quote::WhereNeeded,
            shows_usage: false,
            variables: None,
        };
        let value: Value = serde_json::from_str(&shown(&["--json"], &row, None)).unwrap();
        let expected = json!({
            "timestamp": "now",
            "event": { "name": "process.exit" },
            "process": {
                "pid": 7, "parent_pid": 1, "comm": "x", "user": { "id": 0 },
                "real_user": { "id": 0 }, "start_boot_ns": 100,
                "creation": { "time": "1970-01-01T00:00:00.000000100Z" },
                "exit": {
                    "signal": "SIGKILL", "core_dumped": true,
                    "sender": {
                        "type": "process", "pid": 8, "comm": "b\u{fffd}", "comm_base64": "Yv8=",
                        "real_user": { "id": 5 }
                    }
                },
                "duration_ns": 2_000_000_000, "duration_since_exec_ns": 1_500_000_000,
                "executable": { "path": "/bin/x", "deleted": true },
                "command_args": ["x", "a b"], "args_count": 3,
                "command_args_cut": { "args": 1, "bytes": 2 },
                "cpu": { "user_ns": 3_000_000, "system_ns": 0 },
                "memory": { "max_rss_bytes": 4096 },
                "paging": { "major_faults": 6, "minor_faults": 5 },
                "context_switches": { "voluntary": 7, "involuntary": 8 },
                "disk": { "read_bytes": 1024, "written_bytes": 2048 },
                "usage_incomplete": true
            },
            "thread": { "id": 9 }
        });
        assert_eq!(value, expected);
        let row = Row { max_args: usize::MAX, what: What::Exit(&ended, true), ..row };
        let value: Value = serde_json::from_str(&shown(&["--json"], &row, None)).unwrap();
        let process = &value["process"];
        assert_eq!(process["command_args"], json!(["x", "a b", "\u{fffd}"]));
        assert_eq!(process["command_args_base64"], json!(["eA==", "YSBi", "/w=="]));
        assert_eq!(
            (process.get("command_args_cut"), process.get("usage_incomplete")),
            (None, None)
        );
    }

    #[test]
    fn ends_of_threads_are_not_those_of_their_process() {
        let mut event = killed();
        event.status = 3 << 8;
        let id = task_id::from(event.process.id);
        let what = What::ThreadExit(&event);
        let row = Row {
            id: &id,
            what,
            max_args: 60,
            quote: Quote::WhereNeeded,
            shows_usage: true,
            variables: None,
        };
        let value: Value = serde_json::from_str(&shown(&["--json"], &row, None)).unwrap();
        let thread = json!({ "id": 9, "duration_ns": 2_000_000_000, "exit": { "code": 3 } });
        assert_eq!(value["thread"], thread);
        let process = json!({
            "pid": 7, "parent_pid": 1, "comm": "x", "user": { "id": 0 }, "real_user": { "id": 0 },
            "start_boot_ns": 100, "creation": { "time": "1970-01-01T00:00:00.000000100Z" }
        });
        assert_eq!(value["process"], process);
        assert_eq!(
            shown(&["--threads"], &row, None),
            "THREAD x                7       1          2.000 3       # thread 9\n"
        );
    }

    #[test]
    fn where_signals_come_from() {
        let sender = |flags: &[process_flag], killer| {
            let mut event = process_exit_event { killer, ..killed() };
            event.process.flags = process_flag(flags.iter().fold(0, |all, flag| all | flag.0));
            let ended = Ended { event, life: None, usage: Usage::default() };
            let id = task_id::from(event.process.id);
            let what = What::Exit(&ended, true);
            let row = Row {
                id: &id,
                what,
                max_args: 60,
                quote: Quote::WhereNeeded,
                shows_usage: false,
                variables: None,
            };
            let value: Value = serde_json::from_str(&shown(&["--json"], &row, None)).unwrap();
            value["process"]["exit"]["sender"].clone()
        };
        let known = process_flag::PROCESS_KILLER;
        let kernel = process_flag::PROCESS_KILLER_KERNEL;
        let code = |code| process_killer { code, address: 16, signal: 11, ..Default::default() };
        let itself = process_killer { pid: 7, ..Default::default() };
        assert_eq!(sender(&[], itself), Value::Null);
        assert_eq!(sender(&[known], itself), json!({ "type": "itself" }));
        let fault = json!({ "type": "fault", "address": "0x10" });
        assert_eq!(sender(&[known, kernel], code(1)), fault);
        assert_eq!(sender(&[known, kernel], code(0x80)), json!({ "type": "kernel" }));
        let oom = [known, kernel, process_flag::PROCESS_OOM];
        assert_eq!(sender(&oom, code(0x80)), json!({ "type": "oom" }));
    }

    #[test]
    fn cells_of_the_table() {
        let ended = ended(killed(), &[b"x", b"a b"]);
        let id = task_id::from(ended.event.process.id);
        let what = What::Exit(&ended, false);
        let row = Row {
            id: &id,
            what,
            max_args: 60,
            quote: Quote::WhereNeeded,
            shows_usage: true,
            variables: None,
        };
        assert_eq!(
            shown(&["-T", "--usage", "-t", "-U"], &row, None),
            "now          0.000    EXIT  0      x                7       1          2.000      1.500 \
             SIGKILL+core    0.003    0.000         4      6      7      8         1          2 \
             x 'a b'  # deleted, SIGKILL from pid 8 (b\\377), not waited for yet\n"
        );
        let row = Row { what: What::Fork(&ended.event.process), ..row };
        assert_eq!(
            shown(&["--usage"], &row, None),
            "FORK  x                7       1              -          - -       \
             \u{20}      -        -         -      -      -      -         -          -\n"
        );
        assert_eq!(shown(&[], &row, None), "FORK  x                7       1              - -\n");
        let exec = record("/bin/y", &[b"y"]);
        let exec = Exec::decode(&exec).unwrap();
        let row = Row { what: What::Exec(&exec), ..row };
        assert_eq!(
            shown(&[], &row, None),
            "EXEC  x                7       1              - -       y\n"
        );
    }

    proptest! {
        #[test]
        fn no_record_breaks_a_json_line(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<process_exit_event>()),
            cgroup: Option<Vec<u8>>,
        ) {
            let event: process_exit_event = crate::skel::decode(&fixed).unwrap();
            let id = task_id::from(event.process.id);
            let ended = Ended { event, life: None, usage: Usage::new(&event.usage) };
            let fork = What::Fork(&event.process);
            for what in [What::Exit(&ended, false), What::ThreadExit(&event), fork] {
                let row = Row { id: &id, what, max_args: 60, quote: Quote::WhereNeeded, shows_usage: true, variables: None };
                let line = shown(&["--json"], &row, cgroup.as_deref());
                prop_assert!(!line.contains('\n'));
                let value: Value = serde_json::from_str(&line).unwrap();
                prop_assert_eq!(&value["process"]["pid"], event.process.id.pid);
                let line = shown(&["--usage"], &row, None);
                prop_assert!(line.ends_with('\n') && !line.trim_end().contains('\n'));
            }
        }
    }
}
