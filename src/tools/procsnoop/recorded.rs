//! Births and ends of processes, read from lines of JSON: the records that the programs would have
//! sent, and what was known besides.

use super::held::Ended;
use super::lives::{Command, Life};
use super::usage::Usage;
use crate::engine::recorded::{Line, Reading};
use crate::engine::replay::Recorded;
use crate::host::signal;
use crate::output::redact;
use crate::skel::{
    exec_flag, process_birth_event, process_event, process_exit_event, process_flag,
    process_killer, process_kind, process_usage,
};
use crate::tools::execsnoop::recorded::Words;

/// Reads `process.fork`.
pub fn birth(event: &Recorded<'_>) -> Reading<process_birth_event> {
    let process = process(event, process_kind::PROCESS_FORK)?;
    let (maker_pid, maker_start_ns) = (process.id.ppid, process.id.parent_start_ns);
    Ok(process_birth_event { process, maker_pid, maker_start_ns, pad: 0 })
}

/// Reads `thread.exit`.
pub fn thread_exit(event: &Recorded<'_>) -> Reading<process_exit_event> {
    let duration_ns = needed(event.line, "thread.duration_ns")?;
    Ok(process_exit_event {
        process: process(event, process_kind::PROCESS_THREAD_EXIT)?,
        begin_ns: event.id.time_ns.saturating_sub(duration_ns),
        status: status(event.line, "thread.exit")?,
        ..process_exit_event::default()
    })
}

/// Reads `process.exit`; also returns whether its account is final.
pub fn exit(event: &Recorded<'_>) -> Reading<(Ended, bool)> {
    let line = event.line;
    let usage = usage(line)?;
    let mut exit = process_exit_event {
        process: process(event, process_kind::PROCESS_EXIT)?,
        usage,
        begin_ns: event.id.time_ns.saturating_sub(needed(line, "process.duration_ns")?),
        status: status(line, "process.exit")?,
        ..process_exit_event::default()
    };
    add_killer(&mut exit, line)?;
    let since_exec_ns = line.number::<u64>("process.duration_since_exec_ns")?;
    let exec_ns = since_exec_ns.map(|ns| event.id.time_ns.saturating_sub(ns));
    let life = Life::recorded(command(line)?, exec_ns);
    let is_final = !line.flag("process.usage_incomplete")?;
    Ok((Ended { event: exit, life: Some(life), usage: Usage::new(&usage) }, is_final))
}

fn needed(line: &Line, key: &str) -> Reading<u64> {
    line.number(key)?.ok_or_else(|| format!("no {key}"))
}

fn process(event: &Recorded<'_>, kind: process_kind) -> Reading<process_event> {
    let flags = [
        ("process.without_exec", process_flag::PROCESS_NO_EXEC),
        ("process.kernel_thread", process_flag::PROCESS_KERNEL),
    ];
    let mut bits = process_flag::PROCESS_SHOWN.0;
    for (key, flag) in flags {
        bits |= if event.line.flag(key)? { flag.0 } else { 0 };
    }
    Ok(process_event { id: (*event.id).into(), kind, flags: process_flag(bits), exec_id: 0 })
}

/// As wait() has it. `object`: `process.exit` or `thread.exit`
fn status(line: &Line, object: &str) -> Reading<i32> {
    if let Some(code) = line.number::<u8>(&format!("{object}.code"))? {
        return Ok(i32::from(code) << 8);
    }
    let key = format!("{object}.signal");
    let name = line.text(&key)?.ok_or_else(|| format!("neither {object}.code nor {key}"))?;
    let number = signal::parse(name).map_err(|_| format!("{key} is not a signal"))?;
    let core = line.flag(&format!("{object}.core_dumped"))?;
    Ok(number as i32 | if core { 0x80 } else { 0 })
}

fn usage(line: &Line) -> Reading<process_usage> {
    let number = |key: &str| Ok::<u64, String>(line.number(key)?.unwrap_or(0));
    let (user, system) = (number("process.cpu.user_ns")?, number("process.cpu.system_ns")?);
    Ok(process_usage {
        // The parts are shown as they are.
        runtime_ns: user.saturating_add(system),
        shown_user_ns: user,
        shown_system_ns: system,
        user_ns: 0,
        system_ns: 0,
        max_rss_kib: number("process.memory.max_rss_bytes")? / 1024,
        minor_faults: number("process.paging.minor_faults")?,
        major_faults: number("process.paging.major_faults")?,
        voluntary_switches: number("process.context_switches.voluntary")?,
        involuntary_switches: number("process.context_switches.involuntary")?,
        read_blocks: number("process.disk.read_bytes")? / 512,
        written_blocks: number("process.disk.written_bytes")? / 512,
    })
}

/// The sender of the fatal signal, so that [`process_exit_event::killer`] finds it.
fn add_killer(exit: &mut process_exit_event, line: &Line) -> Reading<()> {
    const SI_KERNEL: i32 = 0x80;
    const SEGV_MAPERR: i32 = 1;
    let signal = (exit.status & 0x7f).unsigned_abs();
    let mut killer = process_killer { signal, ..process_killer::default() };
    let known = process_flag::PROCESS_KILLER.0;
    let kernel = known | process_flag::PROCESS_KILLER_KERNEL.0;
    let flags = match line.text("process.exit.sender.type")? {
        None => return Ok(()),
        Some("itself") => {
            killer.pid = exit.process.id.pid;
            known
        }
        Some("process") => {
            killer.pid = line.number("process.exit.sender.pid")?.unwrap_or(0);
            killer.start_ns = line.number("process.exit.sender.start_boot_ns")?.unwrap_or(0);
            killer.uid = line.number("process.exit.sender.real_user.id")?.unwrap_or(0);
            killer.comm = line.comm("process.exit.sender.comm")?.unwrap_or_default();
            known
        }
        Some("fault") => {
            killer.address = line.hex("process.exit.sender.address")?.unwrap_or(0);
            killer.code = SEGV_MAPERR;
            kernel
        }
        Some("oom") => {
            killer.code = SI_KERNEL;
            kernel | process_flag::PROCESS_OOM.0
        }
        Some("kernel") => {
            killer.code = SI_KERNEL;
            kernel
        }
        Some(_) => return Err("process.exit.sender.type is unknown".to_owned()),
    };
    exit.killer = killer;
    exit.process.flags.0 |= flags;
    Ok(())
}

fn command(line: &Line) -> Reading<Option<Command>> {
    let words = Words::read(line)?;
    let path = line.bytes("process.executable.path")?.unwrap_or_default();
    if !line.has("process.command_args") {
        return Ok(None);
    }
    // A cut last argument counts as one with its NUL.
    let is_cut = !words.block.is_empty() && !words.block.ends_with(b"\0");
    let total = words.total.unwrap_or(words.block.len() as u32).saturating_add(is_cut.into());
    let (args, path) = (redact::policy().args(&words.block), redact::policy().text(&path));
    let secrets = u16::try_from(args.count.saturating_add(path.count)).unwrap_or(u16::MAX);
    let missing = total.saturating_sub(words.block.len() as u32);
    let total = missing.saturating_add(args.bytes.len() as u32);
    let (args, path) = (args.bytes.into_owned(), path.bytes.into_owned());
    let mut command = Command::recorded(args, words.count, total, path);
    command.redacted = line.number("process.redacted")?.unwrap_or(0u16).saturating_add(secrets);
    let flags = [
        ("process.executable.path_cut", exec_flag::EXEC_PATH_CUT),
        ("process.executable.deleted", exec_flag::EXEC_PATH_DELETED),
        ("process.executable.no_mount", exec_flag::EXEC_PATH_NO_MOUNT),
    ];
    for (key, flag) in flags {
        command.path_flags.0 |= if line.flag(key)? { flag.0 } else { 0 };
    }
    command.is_disguised = line.flag("process.executable.other_name")?;
    Ok(Some(command))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::recorded::testing::line;
    use crate::output::escape::Quote;
    use crate::output::row::{Common, docs};
    use crate::skel::{decode, task_id};
    use crate::tools::execsnoop::Exec;
    use crate::tools::execsnoop::testing::{edit, record};
    use crate::tools::procsnoop::args::Args;
    use crate::tools::procsnoop::fields::{FIELDS, view};
    use crate::tools::procsnoop::lives::Lives;
    use crate::tools::procsnoop::row::{Row, What};

    /// The row that these flags give.
    fn shown(flags: &[&str], id: &task_id, what: What<'_>, max_args: usize) -> String {
        let args = Args::try_parse_from(["procsnoop"].iter().chain(flags)).unwrap();
        let shows_usage = args.usage;
        let row =
            Row { id, what, max_args, quote: Quote::WhereNeeded, shows_usage, variables: None };
        let common = Common {
            event: what.name(),
            time: "1970-01-01T01:00:00.000000007Z",
            since_ns: 7,
            cgroup: Some(b"/a"),
            ..Common::of(id)
        };
        view(&args).unwrap().line(args.common.json.is_some(), &common, &row)
    }

    /// Every column.
    fn columns() -> String {
        let titles = docs(FIELDS).into_iter().map(|doc| doc.title);
        titles.filter(|title| !title.is_empty()).collect::<Vec<_>>().join(",")
    }

    const TIME_NS: u64 = 3_600_000_000_007;

    /// Asserts that the line of JSON of `what` has all that any row shows; `again` reads it.
    fn assert_same(id: &task_id, what: What<'_>, again: impl Fn(&Recorded<'_>, &dyn Fn(What<'_>))) {
        let json = shown(&["--json"], id, what, usize::MAX);
        let line = line(&json);
        let (read_id, cgroup) = (line.id().unwrap(), line.cgroup().unwrap());
        let name = line.event().unwrap();
        let event = Recorded { name, id: &read_id, cgroup: cgroup.as_deref(), line: &line };
        again(&event, &|what_again| {
            assert_eq!(shown(&["--json"], &read_id, what_again, usize::MAX), json);
            for max_args in [0, 1, 60] {
                for flags in [&["--usage"][..], &["--threads"], &["-o", &columns()]] {
                    let text = shown(flags, id, what, max_args);
                    assert_eq!(shown(flags, &read_id, what_again, max_args), text, "{json}");
                }
            }
        });
    }

    prop_compose! {
        fn any_exit()(fixed in prop::collection::vec(any::<u8>(), size_of::<process_exit_event>()),
            status in prop_oneof![(0i32..256).prop_map(|code| code << 8), (1i32..65), (1i32..65).prop_map(|s| s | 0x80)],
            lived in 0u64..1 << 40, rss in 0u64..1 << 40, blocks in 0u64..1 << 40) -> process_exit_event {
            let mut event: process_exit_event = decode(&fixed).unwrap();
            event.process.id.time_ns = TIME_NS;
            event.begin_ns = TIME_NS.saturating_sub(lived);
            event.status = status;
            event.killer.signal = (status & 0x7f) as u32;
            event.usage.max_rss_kib = rss;
            (event.usage.read_blocks, event.usage.written_blocks) = (blocks, blocks / 2);
            for comm in [&mut event.process.id.comm, &mut event.process.id.thread_comm, &mut event.killer.comm] {
                comm[15] = 0;
            }
            if status & 0x7f == 0 {
                event.process.flags.0 &= !process_flag::PROCESS_KILLER.0;
            }
            event
        }
    }

    proptest! {
        #[test]
        fn a_line_of_an_end_has_all_that_rows_show(
            event in any_exit(),
            args in prop::option::of(prop::collection::vec(prop::collection::vec(1u8.., 0..5), 0..4)),
            flags: u32, missing in 0u32..3, path in "(/[a-z]{1,2}){0,2}", is_final: bool, since in prop::option::of(0u64..1 << 40),
        ) {
            let mut life = None;
            if let Some(args) = args {
                let slices: Vec<_> = args.iter().map(Vec::as_slice).collect();
                let mut exec = record("/bin/x", &slices);
                edit(&mut exec, |exec| {
                    exec.id = task_id::from(event.process.id);
                    exec.flags = exec_flag(flags & 0x7);
                    exec.argc += missing;
                    exec.args_total += missing * 9;
                });
                let mut exec = Exec::decode(&exec).unwrap();
                exec.path = path.as_bytes();
                let mut lives = Lives::default();
                lives.exec(&exec);
                let ending = process_event { exec_id: 0, flags: process_flag(0), ..event.process };
                life = lives.exit(&ending);
                if let Some(life) = &mut life {
                    life.exec_ns = since.map(|ns| TIME_NS - ns.min(TIME_NS));
                }
            }
            let ended = Ended { event, life, usage: Usage::new(&event.usage) };
            let id = task_id::from(event.process.id);
            assert_same(&id, What::Exit(&ended, is_final), |event, check| {
                let (ended, is_final) = exit(event).unwrap();
                check(What::Exit(&ended, is_final));
            });
        }

        #[test]
        fn lines_of_births_and_threads_have_all_that_rows_show(event in any_exit()) {
            let id = task_id::from(event.process.id);
            assert_same(&id, What::ThreadExit(&event), |event, check| {
                check(What::ThreadExit(&thread_exit(event).unwrap()));
            });
            // Of a birth, the thread is the process.
            let mut process = event.process;
            (process.id.tid, process.id.thread_comm) = (process.id.pid, process.id.comm);
            assert_same(&task_id::from(process.id), What::Fork(&process), |event, check| {
                check(What::Fork(&birth(event).unwrap().process));
            });
        }

        #[test]
        fn no_line_makes_it_panic(
            key in "process.(exit.(code|signal|sender.type)|duration_ns|command_args|cpu.user_ns|memory.max_rss_bytes)|thread.(duration_ns|exit.code)",
            value in r#"-?[0-9]{1,20}|"\PC{0,9}"|"(SIGKILL|fault|process)"|\["[a-z]{0,9}"\]|true|\{\}"#,
        ) {
            let nested = key.split('.').rev().fold(value, |inner, part| format!("{{\"{part}\":{inner}}}"));
            let Ok(line) = Line::parse(nested.as_bytes(), 0) else { return Ok(()) };
            let id = task_id { time_ns: 7, ..task_id::default() };
            let event = Recorded { name: "process.exit", id: &id, cgroup: None, line: &line };
            let _ = (birth(&event).is_ok(), thread_exit(&event).is_ok(), exit(&event).is_ok());
        }
    }
}
