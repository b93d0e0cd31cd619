//! Executions as JSON Lines: `process.exec` and `process.exec_failed`.

use super::{Args, Cut, Exec};
use crate::output::json::{
    Bytes, BytesList, Container, ErrorType, EventName, Id, Process, is_false,
};
use crate::skel::exec_flag;

/// What a row shows besides the record itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Event time, RFC 3339
    pub timestamp: &'a str,
    /// Path of the cgroup if known
    pub cgroup: Option<&'a [u8]>,
    /// Files that a search along PATH tried in vain before this one
    pub searched: &'a [Vec<u8>],
    /// ENOENT although the file is there: what it needs and what is not there
    pub missing_interpreter: Option<&'a [u8]>,
    /// Most arguments to show
    pub max_args: usize,
}

/// `process.exec` or `process.exec_failed` of JSON Lines.
#[derive(serde::Serialize)]
pub struct ExecJson<'a> {
    timestamp: &'a str,
    event: EventName,
    process: ExecProcess<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    thread: Id,
    exec: ExecDetails<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorType>,
}

#[derive(serde::Serialize)]
struct ExecProcess<'a> {
    #[serde(flatten)]
    common: Process<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Executable<'a>>,
    #[serde(flatten)]
    args: CommandArgs<'a>,
}

/// The file that a process runs: in `process` of its execution and of its end.
#[derive(serde::Serialize)]
pub struct Executable<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    /// The leading components of the path are missing
    #[serde(skip_serializing_if = "is_false")]
    path_cut: bool,
    #[serde(skip_serializing_if = "is_false")]
    deleted: bool,
}

impl<'a> Executable<'a> {
    /// `None` if there is no path. `flags`: of the execution
    pub fn new(path: &'a [u8], flags: exec_flag) -> Option<Self> {
        (!path.is_empty()).then_some(Self {
            path: Bytes { keys: ("path", "path_base64"), value: Some(path) },
            path_cut: flags.0 & exec_flag::EXEC_PATH_CUT.0 != 0,
            deleted: flags.0 & exec_flag::EXEC_PATH_DELETED.0 != 0,
        })
    }
}

/// Members of `process` with the arguments.
#[derive(serde::Serialize)]
pub struct CommandArgs<'a> {
    #[serde(flatten)]
    values: BytesList<'a, std::iter::Take<Args<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_args_cut: Option<Cut>,
}

impl<'a> CommandArgs<'a> {
    /// The arguments to show, their number, and the missing part; each may be unknown.
    pub fn new(
        values: Option<&'a std::iter::Take<Args<'a>>>,
        count: Option<u32>,
        cut: Option<Cut>,
    ) -> Self {
        let keys = ("command_args", "command_args_base64");
        Self { values: BytesList { keys, values }, args_count: count, command_args_cut: cut }
    }
}

#[derive(serde::Serialize)]
struct ExecDetails<'a> {
    #[serde(flatten)]
    filename: Bytes<'a>,
    /// Longer than the kernel accepts: the end is missing
    #[serde(skip_serializing_if = "is_false")]
    filename_cut: bool,
    #[serde(flatten)]
    interpreter: Bytes<'a>,
    #[serde(flatten)]
    missing_interpreter: Bytes<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    searched: Vec<std::borrow::Cow<'a, str>>,
    /// `kernel` if the kernel started it
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
    /// The program gained privileges
    #[serde(skip_serializing_if = "is_false")]
    secure: bool,
    /// Called through the 32-bit interface
    #[serde(skip_serializing_if = "is_false")]
    compat: bool,
    /// Failed past the point of no return: the process dies of this signal
    #[serde(skip_serializing_if = "Option::is_none")]
    fatal_signal: Option<&'static str>,
    /// Some arguments could not be read
    #[serde(skip_serializing_if = "is_false")]
    args_unreadable: bool,
    /// The arguments were read a moment after the call: see [`super::late`]
    #[serde(skip_serializing_if = "is_false")]
    args_read_late: bool,
}

/// The JSON row of `exec` with `context`. `args` and `filename`: space for borrowed values.
pub fn row<'a>(
    exec: &'a Exec<'a>,
    context: &Context<'a>,
    args: &'a mut Option<std::iter::Take<Args<'a>>>,
    filename: &'a [u8],
) -> ExecJson<'a> {
    let failed = exec.errno().is_some();
    let some = |bytes: &'a [u8]| (!bytes.is_empty()).then_some(bytes);
    let no_filename = exec.is(exec_flag::EXEC_FILENAME_FAULT);
    // After the point of no return the arguments are unknown, not empty.
    let fatal = exec.is(exec_flag::EXEC_FATAL);
    *args = (!fatal).then(|| exec.args().take(context.max_args));
    ExecJson {
        timestamp: context.timestamp,
        event: EventName { name: if failed { "process.exec_failed" } else { "process.exec" } },
        process: ExecProcess {
            common: Process::new(&exec.event.id, context.cgroup),
            executable: Executable::new(exec.path, exec.event.flags),
            args: CommandArgs::new(
                args.as_ref(),
                (!fatal).then_some(exec.event.argc),
                exec.cut(context.max_args),
            ),
        },
        container: Container::of(context.cgroup),
        thread: Id { id: exec.event.caller_tid },
        exec: ExecDetails {
            filename: Bytes {
                keys: ("filename", "filename_base64"),
                value: (!no_filename).then_some(filename),
            },
            filename_cut: exec.is(exec_flag::EXEC_FILENAME_CUT),
            interpreter: Bytes {
                keys: ("interpreter", "interpreter_base64"),
                value: some(exec.interpreter),
            },
            missing_interpreter: Bytes {
                keys: ("missing_interpreter", "missing_interpreter_base64"),
                value: context.missing_interpreter,
            },
            searched: context.searched.iter().map(|path| String::from_utf8_lossy(path)).collect(),
            origin: exec.is(exec_flag::EXEC_KERNEL).then_some("kernel"),
            secure: exec.is(exec_flag::EXEC_SECURE),
            compat: exec.is(exec_flag::EXEC_COMPAT),
            fatal_signal: fatal.then_some("SIGSEGV"),
            args_unreadable: exec.args_unreadable() && !fatal,
            args_read_late: exec.is(exec_flag::EXEC_ARGS_LATE),
        },
        error: exec.errno_name().map(|name| ErrorType { r#type: name }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::any_record;
    use super::*;
    use crate::skel::exec_event;

    proptest! {
        #[test]
        fn no_record_breaks_a_json_line(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<exec_event>()),
            rest: Vec<u8>,
            lengths: [u8; 5],
            max_args in 0usize..5,
        ) {
            let record = any_record(&fixed, &rest, lengths.map(|n| n / 8));
            let Some(exec) = Exec::decode(&record) else { return Ok(()) };
            let filename = exec.filename();
            let searched = [filename.to_vec()];
            let context = Context {
                timestamp: "now",
                cgroup: Some(exec.path),
                searched: &searched,
                missing_interpreter: Some(exec.interpreter),
                max_args,
            };
            let mut args = None;
            let line = serde_json::to_string(&row(&exec, &context, &mut args, &filename)).unwrap();
            prop_assert!(!line.contains('\n'));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&value["process"]["pid"], exec.event.id.pid);
        }
    }
}
