//! The fields of `process.exec` and `process.exec_failed`: columns of the table and keys of JSON
//! Lines.

use super::args::Args;
use super::environment::{Asked, Variables};
use super::interpreter::{Fault, Interpreter};
use super::search::Searched;
use super::text::{Beside, notes};
use super::{Cut, Exec};
use crate::output::escape::{Quote, command_line};
use crate::output::row::{Field, Slot, View};
use crate::output::table::Column;
use crate::skel::exec_flag;

/// One execution, or an attempt at one, and how much of it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The execution
    pub exec: &'a Exec<'a>,
    /// The interpreter that made the execution fail, if the file itself is in order
    pub interpreter: Option<&'a Interpreter>,
    /// What there may be to find about the files or the arguments was not found in time
    pub is_unseen: bool,
    /// Files that the caller tried before
    pub searched: &'a Searched,
    /// Most arguments to show
    pub max_args: usize,
    /// When to quote arguments
    pub quote: Quote,
    /// Whether the path of the program has a column
    pub has_exe_column: bool,
    /// Which variables to show
    pub variables: &'a Variables,
    /// In text, they stand in front of the command line
    pub shows_env: bool,
}

/// Writes a field.
pub type Put = fn(&Row<'_>, &mut Slot<'_, '_>);

/// All fields, in the order of the columns.
pub const FIELDS: &[Field<Put>] = &[
    Field::TIME,
    Field::SINCE,
    Field::UID,
    Field::LOGIN,
    Field::CONTAINER,
    Field::UNIT,
    Field::COMM.in_column(Column::left("PCOMM", 16)),
    Field::PID,
    Field::PPID,
    Field::left(
        "RET",
        3,
        "error.type",
        "0, or the name of the error with which the call failed, such as ENOENT; in JSON absent \
         after a success",
        |row, slot| slot.error(row.exec.errno_name().as_deref()),
    ),
    Field::left(
        "EXE",
        32,
        "process.executable.path",
        "resolved path of the program that runs; absent if the call failed",
        |row, slot| {
            slot.cell(|line| line.name(row.exec.path));
            slot.optional_name(some(row.exec.path));
        },
    ),
    Field::json(
        "process.executable.path_cut",
        "true if the first components of the path are missing; otherwise absent",
        |row, slot| slot.flag(row.exec.path_is(exec_flag::EXEC_PATH_CUT)),
    ),
    Field::json(
        "process.executable.deleted",
        "true if the file is deleted; otherwise absent",
        |row, slot| slot.flag(row.exec.path_is(exec_flag::EXEC_PATH_DELETED)),
    ),
    Field::json(
        "process.executable.no_mount",
        "true if the path is only a name: of a file in memory, or the like; otherwise absent",
        |row, slot| slot.flag(row.exec.path_is(exec_flag::EXEC_PATH_NO_MOUNT)),
    ),
    Field::left(
        "CWD",
        24,
        "process.working_directory",
        "working directory of the program that runs, or of the process whose call failed; with --cwd",
        |row, slot| slot.optional_name(some(row.exec.cwd)),
    ),
    Field::json(
        "process.working_directory_cut",
        "true if the first components of the directory are missing; otherwise absent",
        |row, slot| slot.flag(row.exec.is(exec_flag::EXEC_CWD_CUT)),
    ),
    Field::json(
        "process.working_directory_deleted",
        "true if the directory is deleted; otherwise absent",
        |row, slot| slot.flag(row.exec.is(exec_flag::EXEC_CWD_DELETED)),
    ),
    Field::left(
        "ENV",
        40,
        "",
        "variables of the program that runs, quoted for a shell; with --env",
        |row, slot| {
            if row.exec.has_env() {
                let parts = row.variables.parts(row.exec.env);
                slot.cell(|line| line.text(parts.before_command(row.quote).trim_end()));
            }
        },
    ),
    Field::json(
        "process.environment_variable",
        "variables of the program that runs: an object of names and values, in their order; with \
         --env, and absent if the call failed",
        |row, slot| {
            if row.exec.has_env() {
                slot.json_strings(row.variables.parts(row.exec.env).regular.into_iter());
            }
        },
    ),
    Field::json(
        "process.environment_irregular",
        "entries of the environment that are not in process.environment_variable: without =, not \
         UTF-8, or with a name that came before; absent if there are none",
        |row, slot| {
            let parts = row.variables.parts(row.exec.env);
            if !parts.irregular.is_empty() {
                slot.json_names(parts.irregular.iter().copied());
            }
        },
    ),
    Field::json(
        "process.environment_part",
        "true if some variables were not asked for and are left out; otherwise absent",
        |row, slot| slot.flag(row.exec.has_env() && row.variables.leaves_out(row.exec)),
    ),
    Field::json(
        "process.environment_cut.bytes",
        "number of bytes of the environment that are missing, with a NUL for each variable; absent \
         if none is",
        |row, slot| slot.optional_number(row.exec.env_cut()),
    ),
    Field::json(
        "process.environment_unreadable",
        "true if the environment could not be read; otherwise absent",
        |row, slot| slot.flag(row.exec.is(exec_flag::EXEC_ENV_FAULT)),
    ),
    Field::left(
        "ARGS",
        0,
        "process.command_args",
        "the arguments, quoted for a shell; behind # stand notes. In JSON a list, absent if the \
         arguments are unknown",
        |row, slot| {
            slot.cell(|line| {
                let mut command = row.variables_in_front();
                command.push_str(&command_line(row.exec.args().take(row.max_args), row.quote));
                line.noted(&command, &row.notes())
            });
            if !row.exec.is(exec_flag::EXEC_FATAL) {
                slot.json_names(row.exec.args().take(row.max_args));
            }
        },
    ),
    Field::json("process.args_count", "number of arguments", |row, slot| {
        // After the point of no return the arguments are unknown, not empty.
        let is_known = !row.exec.is(exec_flag::EXEC_FATAL);
        slot.optional_number(is_known.then_some(row.exec.event.argc));
    }),
    Field::json(
        "process.command_args_cut.args",
        "number of the arguments that are not complete in process.command_args; absent if all are",
        |row, slot| slot.optional_number(row.cut().map(|cut| cut.args)),
    ),
    Field::json(
        "process.command_args_cut.bytes",
        "number of bytes that process.command_args lacks, with a NUL for each argument; absent if \
         it is not known",
        |row, slot| slot.optional_number(row.cut().and_then(|cut| cut.bytes)),
    ),
    Field::json(
        "process.command_args_cut.at_least",
        "true if more arguments than process.command_args_cut.args may be missing; otherwise absent",
        |row, slot| {
            slot.flag(row.cut().is_some() && row.exec.is(exec_flag::EXEC_ARGC_MORE));
        },
    ),
    Field::json(
        "process.redacted",
        "number of secrets that are replaced by REDACTED; absent if there were none, or without \
         --redact",
        |row, slot| {
            slot.optional_number(Some(row.exec.event.redacted).filter(|count| *count > 0));
        },
    ),
    Field::json("thread.id", "thread that called exec", |row, slot| {
        slot.number(row.exec.event.caller_tid);
    }),
    Field::json(
        "exec.filename",
        "the file as the caller named it; absent if the name could not be read",
        |row, slot| {
            if !row.exec.is(exec_flag::EXEC_FILENAME_FAULT) {
                slot.name(&row.exec.filename());
            }
        },
    ),
    Field::json(
        "exec.filename_cut",
        "true if the end of the file name is missing: it is longer than the kernel takes; \
         otherwise absent",
        |row, slot| slot.flag(row.exec.is(exec_flag::EXEC_FILENAME_CUT)),
    ),
    Field::json(
        "exec.interpreter",
        "interpreter of a script; absent for other programs",
        |row, slot| slot.optional_name(some(row.exec.interpreter)),
    ),
    Field::json(
        "exec.missing_interpreter",
        "interpreter or dynamic linker that the file needs and that does not exist; otherwise \
         absent",
        |row, slot| slot.optional_name(row.faulty(|fault| fault == Fault::Missing)),
    ),
    Field::json(
        "exec.bad_interpreter.path",
        "interpreter or dynamic linker that the file needs and that exists, but cannot be \
         executed; otherwise absent",
        |row, slot| slot.optional_name(row.faulty(|fault| fault != Fault::Missing)),
    ),
    Field::json(
        "exec.bad_interpreter.reason",
        "why it cannot be executed: not a file, not executable, on a file system without \
         execution, of unknown format, after five others",
        |row, slot| {
            let bad = row.interpreter.filter(|bad| bad.fault != Fault::Missing);
            slot.optional_text(bad.map(|bad| bad.fault.words()));
        },
    ),
    Field::json(
        "exec.unseen",
        "true if the process or a file system kept its memory or its files from being read in \
         time: unreadable arguments and a bad interpreter are then not looked for; otherwise absent",
        |row, slot| slot.flag(row.is_unseen),
    ),
    Field::json(
        "exec.searched",
        "files that the caller tried before without success, such as along PATH; absent if it \
         tried no other",
        |row, slot| {
            if !row.searched.files.is_empty() {
                slot.names(row.searched.files.iter().map(Vec::as_slice));
            }
        },
    ),
    Field::json(
        "exec.searched_along_path",
        "true if these files were tried as execvp() does, for a name without a slash; otherwise \
         absent",
        |row, slot| slot.flag(!row.searched.files.is_empty() && row.searched.along_path),
    ),
    Field::json(
        "exec.origin",
        "kernel if the kernel started the program; otherwise absent",
        |row, slot| {
            slot.optional_text(row.exec.is(exec_flag::EXEC_KERNEL).then_some("kernel"));
        },
    ),
    Field::json(
        "exec.secure",
        "true if the program gained privileges; otherwise absent",
        |row, slot| slot.flag(row.exec.is(exec_flag::EXEC_SECURE)),
    ),
    Field::json(
        "exec.compat",
        "true if the call was one of the 32-bit interface; otherwise absent",
        |row, slot| slot.flag(row.exec.is(exec_flag::EXEC_COMPAT)),
    ),
    Field::json(
        "exec.fatal_signal",
        "signal that ends the process, because the call failed past the point of no return; \
         otherwise absent",
        |row, slot| slot.optional_text(row.exec.is(exec_flag::EXEC_FATAL).then_some("SIGSEGV")),
    ),
    Field::json(
        "exec.args_unreadable",
        "true if some arguments could not be read; otherwise absent",
        |row, slot| {
            slot.flag(row.exec.args_unreadable() && !row.exec.is(exec_flag::EXEC_FATAL));
        },
    ),
    Field::json(
        "exec.args_read_late",
        "true if some arguments were read a moment after the call; otherwise absent",
        |row, slot| slot.flag(row.exec.is(exec_flag::EXEC_ARGS_LATE)),
    ),
    Field::ANCESTORS,
];

fn some(bytes: &[u8]) -> Option<&[u8]> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// The fields that `args` ask for.
///
/// # Errors
///
/// A chosen column that does not exist, in one line.
pub fn view(args: &Args) -> Result<View<Put>, String> {
    View::choose(FIELDS, &args.common.columns, |column| match column.title {
        "EXE" => Some(args.exe),
        "CWD" => Some(args.place.cwd),
        "ENV" => Some(false),
        "RET" => {
            column.width = if args.failed { 7 } else { 3 };
            None
        }
        _ => args.common.by_flag(column),
    })
}

/// What the columns need, besides what the flags ask for.
pub fn add_needs<F: Copy>(view: &View<F>, asked: &mut Asked) {
    asked.cwd |= view.shows("CWD") || view.shows("process.working_directory");
    let of_env = ["ENV", "process.environment_variable", "process.environment_irregular"];
    if asked.env.is_none() && of_env.iter().any(|title| view.shows(title)) {
        asked.env = Some(Vec::new());
    }
}

impl Row<'_> {
    /// `event.name` in JSON.
    pub fn event_name(&self) -> &'static str {
        if self.exec.errno().is_some() { "process.exec_failed" } else { "process.exec" }
    }

    fn cut(&self) -> Option<Cut> {
        self.exec.cut(self.max_args)
    }

    /// The variables in front of the command line, with a space behind them.
    fn variables_in_front(&self) -> String {
        match self.shows_env && self.exec.has_env() {
            true => self.variables.parts(self.exec.env).before_command(self.quote),
            false => String::new(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let &Self { interpreter, is_unseen, searched, max_args, has_exe_column, .. } = self;
        let beside = Beside { interpreter, is_unseen, searched, max_args, has_exe_column };
        notes(self.exec, &beside)
    }

    /// The path of the interpreter that made the execution fail, if it has such a fault.
    fn faulty(&self, is_it: impl Fn(Fault) -> bool) -> Option<&[u8]> {
        self.interpreter.filter(|bad| is_it(bad.fault)).map(|bad| bad.path.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::output::row::Common;
    use crate::skel::exec_event;
    use crate::tools::execsnoop::testing::{any_record, edit, failure, record};

    fn shown(flags: &[&str], row: &Row<'_>) -> String {
        let args = Args::try_parse_from(["execsnoop"].iter().chain(flags)).unwrap();
        let id = &row.exec.event.id;
        let event = row.event_name();
        let common = Common { event, time: "now", ..Common::of(id) };
        view(&args).unwrap().line(args.common.json.is_some(), &common, row)
    }

    /// What is shown behind RET.
    fn command_line(row: &Row<'_>) -> String {
        let line = shown(&[], row);
        let line = line.strip_suffix('\n').unwrap();
        let columns = 16 + 1 + 7 + 1 + 7 + 1;
        line[columns..].split_once(' ').unwrap().1.trim_start().to_owned()
    }

    fn row<'a>(exec: &'a Exec<'a>, searched: &'a Searched) -> Row<'a> {
        Row {
            exec,
            interpreter: None,
            is_unseen: false,
            searched,
            max_args: 60,
            quote: Quote::WhereNeeded,
            has_exe_column: false,
            variables: &Variables::All,
            shows_env: true,
        }
    }

    #[test]
    fn notes_stand_behind_the_command_line() {
        let nowhere = Searched::default();
        let mut own = record("/bin/x", &[b"x", b"a b"]);
        edit(&mut own, |event| event.id.vpid = event.id.pid);
        let exec = Exec::decode(&own).unwrap();
        let plain = row(&exec, &nowhere);
        assert_eq!(command_line(&plain), "x 'a b'");
        assert_eq!(command_line(&Row { quote: Quote::Always, ..plain }), "'x' 'a b'");
        let cut = "x  # cut: 1 argument (4 bytes) not shown";
        assert_eq!(command_line(&Row { max_args: 1, ..plain }), cut);
        edit(&mut own, |event| event.caller_tid = 7);
        let exec = Exec::decode(&own).unwrap();
        assert_eq!(command_line(&row(&exec, &nowhere)), "x 'a b'  # by thread 7");

        let other = record("/bin/x", &[b"sshd"]);
        let exec = Exec::decode(&other).unwrap();
        let plain = row(&exec, &nowhere);
        assert_eq!(command_line(&plain), "sshd  # exe=/bin/x");
        assert_eq!(command_line(&Row { has_exe_column: true, ..plain }), "sshd");

        let missing = failure(0, libc::ENOENT, "/bin/x y", &[b"x"]);
        let exec = Exec::decode(&missing).unwrap();
        let plain = row(&exec, &nowhere);
        assert_eq!(command_line(&plain), r"x  # file=/bin/x\040y");
        let unseen = Row { is_unseen: true, ..plain };
        assert_eq!(command_line(&unseen), r"x  # file=/bin/x\040y, not looked at in time");
    }

    #[test]
    fn notes_name_the_kind_of_search() {
        let missing = failure(0, libc::ENOENT, "/b/x", &[b"x"]);
        let found = record("/b/x", &[b"x"]);
        for (record, along_path, expected) in [
            (&missing, true, "x  # file=/b/x, nowhere on PATH: 2 places"),
            (&missing, false, "x  # file=/b/x, not found in 2 places"),
            (&found, true, "x  # after 1 place on PATH"),
            (&found, false, "x  # after 1 other place"),
        ] {
            let searched = Searched { files: vec![b"/a/x".to_vec()], along_path };
            let exec = Exec::decode(record).unwrap();
            assert_eq!(command_line(&row(&exec, &searched)), expected);
        }
    }

    #[test]
    fn cells_of_the_table() {
        let missing = failure(0, libc::ENOENT, "/b/x", &[b"x"]);
        let exec = Exec::decode(&missing).unwrap();
        let nowhere = Searched::default();
        let row = Row { has_exe_column: true, ..row(&exec, &nowhere) };
        let line = shown(&["-T", "-t", "-U", "-x", "-e"], &row);
        let cells: Vec<_> = line.split_whitespace().collect();
        assert_eq!(cells[..2], ["now", "0.000"]);
        assert!(line.contains(" ENOENT  "), "{line}");
    }

    proptest! {
        #[test]
        fn no_record_breaks_a_row(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<exec_event>()),
            rest: Vec<u8>,
            lengths: [u8; 5],
            path: Option<Vec<u8>>,
            max_args in 0usize..5,
        ) {
            let record = any_record(&fixed, &rest, lengths.map(|n| n / 8));
            let Some(exec) = Exec::decode(&record) else { return Ok(()) };
            let searched = Searched { files: vec![rest], along_path: false };
            let missing = path.map(|path| Interpreter { path, fault: Fault::Missing });
            let row = Row { interpreter: missing.as_ref(), max_args, ..row(&exec, &searched) };
            let line = shown(&["-x"], &row);
            prop_assert!(line.trim_end_matches('\n').chars().all(|c| !c.is_control()), "{line:?}");
            let line = shown(&["--json"], &row);
            let value: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&value["process"]["pid"], exec.event.id.pid);
        }
    }
}
