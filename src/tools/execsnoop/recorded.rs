//! Executions read from lines of JSON: the records that the programs would have sent.

use super::Exec;
use super::interpreter::{Fault, Interpreter};
use super::redacted;
use super::search::Searched;
use crate::engine::recorded::{Line, Reading};
use crate::engine::replay::Recorded;
use crate::host::errno;
use crate::output::redact;
use crate::skel::{exec_event, exec_flag, exec_kind};

/// An execution, and what a row shows besides its record.
#[derive(Clone, Debug)]
pub struct Told {
    /// For [`Exec::decode`]
    pub record: Vec<u8>,
    /// The interpreter that made the execution fail
    pub interpreter: Option<Interpreter>,
    /// Something was not looked at in time
    pub is_unseen: bool,
    /// Files that the caller tried before
    pub searched: Searched,
}

/// Arguments as lines have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// With their NULs, the last one possibly cut
    pub block: Vec<u8>,
    /// How many there were
    pub count: u32,
    /// Bytes of all, with their NULs, if known
    pub total: Option<u32>,
}

impl Words {
    /// Reads `process.command_args` and what belongs to it. Without that member there are none.
    pub fn read(line: &Line) -> Reading<Self> {
        let args = line.list("process.command_args")?.unwrap_or_default();
        let missing = line.number::<u32>("process.command_args_cut.args")?;
        let missing_bytes = line.number::<u64>("process.command_args_cut.bytes")?;
        let shown = u32::try_from(args.len()).map_err(|_| "too many arguments".to_owned())?;
        let count = line.number("process.args_count")?;
        let count = count.unwrap_or(shown.saturating_add(missing.unwrap_or(0)));
        // A cut argument is shown, and counts as missing.
        let whole = count.saturating_sub(missing.unwrap_or(0)).min(shown) as usize;
        let mut block = Vec::new();
        for (at, arg) in args.iter().enumerate() {
            if arg.contains(&0) {
                return Err("an argument has a NUL".to_owned());
            }
            block.extend_from_slice(arg);
            if at < whole || at + 1 < args.len() {
                block.push(0);
            }
        }
        let total = match (missing, missing_bytes) {
            (None, _) => Some(block.len() as u64),
            (Some(_), bytes) => bytes.and_then(|bytes| bytes.checked_add(block.len() as u64)),
        };
        let total = total.map(u32::try_from).transpose();
        Ok(Self { block, count, total: total.map_err(|_| "too many arguments".to_owned())? })
    }
}

/// Reads `process.exec` or `process.exec_failed`.
pub fn read(event: &Recorded<'_>) -> Reading<Told> {
    let line = event.line;
    let has_failed = event.name == "process.exec_failed";
    let words = Words::read(line)?;
    let path = line.bytes("process.executable.path")?.unwrap_or_default();
    let filename = line.bytes("exec.filename")?;
    let has_no_name = filename.is_none();
    let filename = filename.unwrap_or_default();
    let interpreter = line.bytes("exec.interpreter")?.unwrap_or_default();
    let cwd = line.bytes("process.working_directory")?.unwrap_or_default();
    let env = environment(line)?;
    let env_cut = line.number::<u32>("process.environment_cut.bytes")?.unwrap_or(0);
    let env_len = u32::try_from(env.len()).map_err(|_| "too many variables".to_owned())?;
    let caller_tid = event.id.tid;
    let mut fixed = exec_event {
        id: *event.id,
        kind: if has_failed { exec_kind::EXEC_FAILED } else { exec_kind::EXEC_DONE },
        ret: if has_failed { -error(line)? } else { 0 },
        flags: flags(line, &words, has_no_name)?,
        argc: words.count,
        args_total: words.total.unwrap_or(words.block.len() as u32),
        args_len: words.block.len() as u32,
        caller_tid,
        dirfd: libc::AT_FDCWD,
        path_len: length(&path)?,
        filename_len: length(&filename)?,
        interp_len: length(&interpreter)?,
        cwd_len: length(&cwd)?,
        redacted: line.number("process.redacted")?.unwrap_or(0),
        env_len,
        env_total: env_len.saturating_add(env_cut),
        ..exec_event::default()
    };
    // After an execution the first thread is the only one.
    fixed.id.tid = if has_failed { caller_tid } else { event.id.pid };
    // SAFETY: plain integers without padding.
    let mut record = unsafe { plain::as_bytes(&fixed) }.to_vec();
    let parts = [&path, &filename, &interpreter, &cwd, &words.block, &env];
    parts.into_iter().for_each(|part| record.extend_from_slice(part));
    let files = line.list("exec.searched")?.unwrap_or_default();
    let exec = Exec::decode(&record).ok_or("not an execution")?;
    let record = redacted::record(&exec, redact::policy()).unwrap_or(record);
    Ok(Told {
        record,
        interpreter: bad_interpreter(line)?,
        is_unseen: line.flag("exec.unseen")?,
        searched: Searched { files, along_path: line.flag("exec.searched_along_path")? },
    })
}

/// The entries of the environment, each with a NUL.
fn environment(line: &Line) -> Reading<Vec<u8>> {
    let mut block = Vec::new();
    let regular = line.strings("process.environment_variable")?.unwrap_or_default();
    let regular = regular.into_iter().map(|(name, value)| [name, "=", value].concat().into_bytes());
    let irregular = line.list("process.environment_irregular")?.unwrap_or_default();
    for entry in regular.chain(irregular) {
        if entry.contains(&0) {
            return Err("a variable has a NUL".to_owned());
        }
        block.extend_from_slice(&entry);
        block.push(0);
    }
    Ok(block)
}

fn error(line: &Line) -> Reading<i32> {
    let name = line.text("error.type")?.ok_or("no error.type")?;
    errno::number(name).ok_or_else(|| "error.type is not an error".to_owned())
}

fn length(bytes: &[u8]) -> Reading<u16> {
    u16::try_from(bytes.len()).map_err(|_| "a path is too long".to_owned())
}

fn flags(line: &Line, words: &Words, has_no_name: bool) -> Reading<exec_flag> {
    let keys = [
        ("process.executable.path_cut", exec_flag::EXEC_PATH_CUT),
        ("process.executable.deleted", exec_flag::EXEC_PATH_DELETED),
        ("process.executable.no_mount", exec_flag::EXEC_PATH_NO_MOUNT),
        ("process.command_args_cut.at_least", exec_flag::EXEC_ARGC_MORE),
        ("exec.filename_cut", exec_flag::EXEC_FILENAME_CUT),
        ("exec.secure", exec_flag::EXEC_SECURE),
        ("exec.compat", exec_flag::EXEC_COMPAT),
        ("exec.args_unreadable", exec_flag::EXEC_ARGS_FAULT),
        ("exec.args_read_late", exec_flag::EXEC_ARGS_LATE),
        ("process.working_directory_cut", exec_flag::EXEC_CWD_CUT),
        ("process.working_directory_deleted", exec_flag::EXEC_CWD_DELETED),
        ("process.environment_unreadable", exec_flag::EXEC_ENV_FAULT),
        ("process.environment_part", exec_flag::EXEC_ENV_PART),
    ];
    let mut flags = 0;
    for (key, flag) in keys {
        flags |= if line.flag(key)? { flag.0 } else { 0 };
    }
    let more = [
        (line.text("exec.origin")? == Some("kernel"), exec_flag::EXEC_KERNEL),
        (line.has("exec.fatal_signal"), exec_flag::EXEC_FATAL),
        (has_no_name, exec_flag::EXEC_FILENAME_FAULT),
        (words.total.is_none(), exec_flag::EXEC_ARGS_CUT),
        (line.has("process.environment_variable"), exec_flag::EXEC_ENV),
    ];
    Ok(exec_flag(more.iter().fold(flags, |all, (is, flag)| all | if *is { flag.0 } else { 0 })))
}

fn bad_interpreter(line: &Line) -> Reading<Option<Interpreter>> {
    if let Some(path) = line.bytes("exec.missing_interpreter")? {
        return Ok(Some(Interpreter { path, fault: Fault::Missing }));
    }
    let Some(path) = line.bytes("exec.bad_interpreter.path")? else { return Ok(None) };
    let words = line.text("exec.bad_interpreter.reason")?.unwrap_or_default();
    let fault = Fault::of_words(words).filter(|fault| *fault != Fault::Missing);
    let fault = fault.ok_or("exec.bad_interpreter.reason is unknown")?;
    Ok(Some(Interpreter { path, fault }))
}

impl Told {
    /// The execution.
    pub fn exec(&self) -> Reading<Exec<'_>> {
        Exec::decode(&self.record).ok_or_else(|| "not an execution".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::recorded::testing::line;
    use crate::output::escape::Quote;
    use crate::output::row::{Common, docs};
    use crate::skel::task_id;
    use crate::tools::execsnoop::args::Args;
    use crate::tools::execsnoop::environment::Variables;
    use crate::tools::execsnoop::fields::{FIELDS, Row, view};
    use crate::tools::execsnoop::testing::{edit, in_place, with};

    /// The row that these flags give.
    fn shown(flags: &[&str], row: &Row<'_>) -> String {
        let args = Args::try_parse_from(["execsnoop"].iter().chain(flags)).unwrap();
        let common = Common {
            event: row.event_name(),
            time: "1970-01-01T00:00:00.000000007Z",
            since_ns: 7,
            cgroup: Some(b"/a\xff"),
            ..Common::of(&row.exec.event.id)
        };
        view(&args).unwrap().line(args.common.json.is_some(), &common, row)
    }

    fn row<'a>(told: &'a Told, exec: &'a Exec<'a>, max_args: usize) -> Row<'a> {
        let Told { interpreter, is_unseen, searched, .. } = told;
        Row {
            exec,
            interpreter: interpreter.as_ref(),
            is_unseen: *is_unseen,
            searched,
            max_args,
            quote: Quote::WhereNeeded,
            has_exe_column: false,
            variables: &Variables::All,
            shows_env: true,
        }
    }

    /// From the text of a line to what it says.
    fn read_line(text: &str) -> Told {
        let line = line(text);
        let (id, cgroup) = (line.id().unwrap(), line.cgroup().unwrap());
        let name = line.event().unwrap();
        let event = Recorded { name, id: &id, cgroup: cgroup.as_deref(), line: &line };
        read(&event).unwrap()
    }

    /// Every column.
    fn columns() -> String {
        let titles = docs(FIELDS).into_iter().map(|doc| doc.title);
        titles.filter(|title| !title.is_empty()).collect::<Vec<_>>().join(",")
    }

    /// Asserts that the line of JSON has all that any row shows.
    fn assert_same(told: &Told) {
        let exec = told.exec().unwrap();
        let json = shown(&["-x", "--json"], &row(told, &exec, usize::MAX));
        let again = read_line(&json);
        let exec_again = again.exec().unwrap();
        assert_eq!(shown(&["-x", "--json"], &row(&again, &exec_again, usize::MAX)), json);
        for max_args in [0, 1, 2, 60] {
            for flags in [&["-x"][..], &["-x", "-e", "-o", &columns()]] {
                let text = shown(flags, &row(told, &exec, max_args));
                assert_eq!(shown(flags, &row(&again, &exec_again, max_args)), text, "{json}");
            }
        }
    }

    fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(1u8.., 0..most)
    }

    /// Entries of environments, some of which no shell and no object can hold.
    fn entry() -> impl Strategy<Value = Vec<u8>> {
        let regular = "[A-C]{0,1}=[a-z\"\n]{0,3}".prop_map(String::into_bytes);
        prop_oneof![4 => regular, 1 => prop::collection::vec(1u8.., 1..6)]
    }

    prop_compose! {
        fn any_id()(pid in 1u32..99, ppid: u32, uid: u32, euid: u32, vpid in 1u32..99,
            comm in bytes(15), thread in bytes(15)) -> task_id {
            let mut id = task_id { time_ns: 7, pid, ppid, uid, euid, vpid, ..task_id::default() };
            id.comm[..comm.len()].copy_from_slice(&comm);
            id.thread_comm[..thread.len()].copy_from_slice(&thread);
            id
        }
    }

    prop_compose! {
        fn any_told()(id in any_id(), failed: bool, errno in 1i32..140, bits: u32, tid in 1u32..99,
            args in prop::collection::vec(bytes(6), 0..5), missing in 0u32..4, cut: bool, bytes_missing in 0u32..99,
            path in "(/[a-z]{1,3}){0,2}", filename in bytes(6), interpreter in "(/[a-z])?",
            fault in prop::option::of((0usize..6, bytes(5))), is_unseen: bool,
            files in prop::collection::vec(bytes(5), 0..3), along_path: bool,
            place in prop::option::of((bytes(5), prop::collection::vec(entry(), 0..5), 0u32..9, 0u32..8))) -> Told {
            let mut block: Vec<u8> = args.iter().flat_map(|arg| [arg, &b"\0"[..]].concat()).collect();
            let is_cut = cut && args.last().is_some_and(|arg| !arg.is_empty());
            if is_cut {
                block.pop();
            }
            let is_fatal = failed && bits & exec_flag::EXEC_FATAL.0 != 0;
            let missing = if is_cut { missing.max(1) } else { missing };
            let mut flags = bits & 0xfff & !exec_flag::EXEC_FATAL.0;
            if is_fatal {
                flags |= exec_flag::EXEC_FATAL.0;
                flags &= !(exec_flag::EXEC_FILENAME_FAULT.0 | exec_flag::EXEC_ARGS_FAULT.0 | exec_flag::EXEC_ARGC_MORE.0);
                block.clear();
            }
            if missing == 0 {
                flags &= !exec_flag::EXEC_ARGS_CUT.0;
            }
            let filename = if flags & exec_flag::EXEC_FILENAME_FAULT.0 != 0 { Vec::new() } else { filename };
            let shown = if is_fatal { 0 } else { args.len() as u32 };
            let path = if failed && !is_fatal { String::new() } else { path };
            let event = exec_event {
                id,
                kind: if failed { exec_kind::EXEC_FAILED } else { exec_kind::EXEC_DONE },
                ret: if failed { -errno } else { 0 },
                flags: exec_flag(flags),
                argc: if is_fatal { missing } else { shown - u32::from(is_cut) + missing },
                args_total: block.len() as u32 + if missing > 0 { bytes_missing.max(1) } else { 0 },
                caller_tid: tid,
                dirfd: libc::AT_FDCWD,
                ..exec_event::default()
            };
            // A name of any bytes, and an interpreter.
            let mut record = with(event, &path, "", &[]);
            edit(&mut record, |event| {
                event.id.tid = if failed { tid } else { event.id.pid };
                event.filename_len = filename.len() as u16;
                event.interp_len = interpreter.len() as u16;
                event.args_len = block.len() as u32;
            });
            record.extend([&filename[..], interpreter.as_bytes(), &block].concat());
            let interpreter = fault.map(|(at, path)| Interpreter { path, fault: Fault::ALL[at] });
            let along_path = along_path && !files.is_empty();
            if let Some((cwd, env, missing, flags)) = place.filter(|_| !failed) {
                let block: Vec<u8> = env.iter().flat_map(|entry| [entry, &b"\0"[..]].concat()).collect();
                record = in_place(&record, &cwd, &block);
                edit(&mut record, |event| {
                    event.env_total += missing;
                    event.flags.0 |= (flags & 3) * exec_flag::EXEC_CWD_CUT.0;
                    event.flags.0 |= (flags >> 2) * exec_flag::EXEC_ENV_PART.0;
                });
            }
            Told { record, interpreter, is_unseen, searched: Searched { files, along_path } }
        }
    }

    proptest! {
        #[test]
        fn a_line_has_all_that_rows_show(told in any_told()) {
            assert_same(&told);
        }

        #[test]
        fn no_line_makes_it_panic(
            key in "process.(command_args|args_count|executable.path)|exec.(searched|filename)|error.type",
            value in r#"-?[0-9]{1,20}|"\PC{0,9}"|\["[a-z\\u0]{0,9}"\]|true|\{\}"#,
        ) {
            let base = r#""process.pid":1"#;
            let nested = key.split('.').rev().fold(value, |inner, part| format!("{{\"{part}\":{inner}}}"));
            let text = format!("{},{base}}}", nested.strip_suffix('}').unwrap());
            if let Ok(line) = Line::parse(text.as_bytes(), 0) {
                let id = task_id::default();
                for name in ["process.exec", "process.exec_failed"] {
                    let event = Recorded { name, id: &id, cgroup: None, line: &line };
                    let _ = read(&event).map(|told| told.exec().map(|exec| exec.cut(1)));
                }
            }
        }
    }
}
