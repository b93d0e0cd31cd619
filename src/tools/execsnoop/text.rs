//! The notes behind a command line.

use super::interpreter::{Fault, Interpreter};
use super::search::Searched;
use super::{Cut, Exec};
use crate::output::escape::push_cell;
use crate::output::table::count;
use crate::skel::{exec_flag, task_id};

/// What a row shows besides the record itself.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// The interpreter that made the execution fail, if the file itself is in order
    pub interpreter: Option<&'a Interpreter>,
    /// What there may be to find about the files or the arguments was not found in time
    pub is_unseen: bool,
    /// The places tried before
    pub searched: &'a Searched,
    /// Most arguments to show
    pub max_args: usize,
    /// The path of the program has a column
    pub has_exe_column: bool,
}

/// All notes on an execution, or on an attempt at one.
pub fn notes(exec: &Exec<'_>, beside: &Beside<'_>) -> Vec<String> {
    let mut notes = file_notes(exec, beside);
    let mut say = |text: String| notes.push(text);
    if exec.is(exec_flag::EXEC_FATAL) {
        say("failed past the point of no return: dies of SIGSEGV".to_owned());
    } else {
        if exec.is(exec_flag::EXEC_FILENAME_FAULT) {
            say("file name unreadable".to_owned());
        }
        if exec.args_unreadable() {
            say("arguments unreadable".to_owned());
        }
        if exec.is(exec_flag::EXEC_ARGS_LATE) {
            say("arguments read after the call".to_owned());
        }
    }
    let at_least = exec.is(exec_flag::EXEC_ARGC_MORE);
    cut_note(exec.cut(beside.max_args), at_least).into_iter().for_each(&mut say);
    exec.place_notes().into_iter().for_each(&mut say);
    if let Some(thread) = exec.foreign_thread() {
        say(format!("by thread {thread}"));
    }
    if exec.is(exec_flag::EXEC_KERNEL) {
        say("started by the kernel".to_owned());
    }
    namespace_note(&exec.event.id).into_iter().for_each(&mut say);
    let places = beside.searched.files.len() as u64;
    if places > 0 {
        say(match (exec.errno().is_some(), beside.searched.along_path) {
            (true, true) => format!("nowhere on PATH: {}", count(places + 1, "place")),
            (true, false) => format!("not found in {}", count(places + 1, "place")),
            (false, true) => format!("after {} on PATH", count(places, "place")),
            (false, false) => format!("after {}", count(places, "other place")),
        });
    }
    notes
}

/// Notes on the file, where the command line does not name it.
fn file_notes(exec: &Exec<'_>, beside: &Beside<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let failed = exec.errno().is_some();
    let fatal = exec.is(exec_flag::EXEC_FATAL);
    let first_arg = exec.args().next().unwrap_or_default();
    let filename = exec.filename();
    if exec.path_is(exec_flag::EXEC_PATH_NO_MOUNT) || fatal || (!failed && exec.is_disguised()) {
        if !beside.has_exe_column {
            notes.push(note("exe", exec.path));
        }
    } else if failed && !exec.is(exec_flag::EXEC_FILENAME_FAULT) && *filename != *first_arg {
        notes.push(match &*filename {
            // A dash would be a file of that name.
            b"" => "file=''".to_owned(),
            name => note("file", name),
        });
    }
    notes.extend(beside.interpreter.map(interpreter_note));
    notes.extend(beside.is_unseen.then(|| "not looked at in time".to_owned()));
    let of_path = exec_flag::EXEC_PATH_CUT.0 | exec_flag::EXEC_PATH_DELETED.0;
    let unknown = if exec.path.is_empty() { of_path } else { 0 };
    notes.extend(flag_notes(exec_flag(exec.event.flags.0 & !unknown)));
    notes
}

/// The same notes for a program that was executed earlier.
pub fn program_notes(path: &[u8], flags: exec_flag, is_disguised: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if flags.0 & exec_flag::EXEC_PATH_NO_MOUNT.0 != 0 || is_disguised {
        notes.push(note("exe", path));
    }
    notes.extend(flag_notes(flags));
    notes
}

fn note(name: &str, value: &[u8]) -> String {
    let mut text = format!("{name}=");
    push_cell(&mut text, value);
    text
}

fn flag_notes(flags: exec_flag) -> impl Iterator<Item = String> {
    let words = [
        (exec_flag::EXEC_FILENAME_CUT, "end of the file name cut"),
        (exec_flag::EXEC_PATH_CUT, "beginning of its path cut"),
        (exec_flag::EXEC_PATH_DELETED, "deleted"),
    ];
    let set = words.into_iter().filter(move |(flag, _)| flags.0 & flag.0 != 0);
    set.map(|(_, words)| words.to_owned())
}

/// The interpreter that made an execution fail.
pub(super) fn interpreter_note(bad: &Interpreter) -> String {
    let mut text = match bad.fault {
        Fault::Missing => "missing interpreter=".to_owned(),
        _ => "bad interpreter=".to_owned(),
    };
    push_cell(&mut text, &bad.path);
    if bad.fault != Fault::Missing {
        text = format!("{text} ({})", bad.fault.words());
    } else if bad.path.ends_with(b"\r") {
        text += " (its line ends in CR LF)";
    }
    text
}

/// The missing part of the arguments. `at_least`: an unknown number more may be missing.
pub fn cut_note(cut: Option<Cut>, at_least: bool) -> Option<String> {
    let cut = cut?;
    let at_least = if at_least { "at least " } else { "" };
    let arguments = count(cut.args, "argument");
    let bytes = match cut.bytes {
        Some(bytes) => count(bytes, "byte"),
        None => "bytes unknown".to_owned(),
    };
    Some(format!("cut: {at_least}{arguments} ({bytes}) not shown"))
}

/// The process's id in its own PID namespace, if it has another one there.
pub fn namespace_note(id: &task_id) -> Option<String> {
    (id.vpid != id.pid).then(|| format!("pid {} in its namespace", id.vpid))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{edit, failure, record};
    use super::*;

    fn told(record: &[u8]) -> String {
        let searched = Searched::default();
        let beside = Beside {
            interpreter: None,
            is_unseen: false,
            searched: &searched,
            max_args: 60,
            has_exe_column: false,
        };
        notes(&Exec::decode(record).unwrap(), &beside).join(", ")
    }

    #[test]
    fn the_file_that_was_asked_for() {
        assert_eq!(told(&failure(0, libc::ENOENT, "", &[b"x"])), "file=''");
        assert_eq!(told(&failure(0, libc::ENOENT, "-", &[b"x"])), "file=-");
        assert_eq!(told(&failure(0, libc::ENOENT, "", &[b""])), "");
    }

    #[test]
    fn what_is_with_the_file_that_runs() {
        let mut gone = record("/tmp/x", &[b"y"]);
        edit(&mut gone, |event| event.flags = exec_flag::EXEC_PATH_DELETED);
        assert_eq!(told(&gone), "exe=/bin/x, deleted");
        edit(&mut gone, |event| event.flags = exec_flag::EXEC_PATH_CUT);
        assert_eq!(told(&gone), "exe=/bin/x, beginning of its path cut");
        edit(&mut gone, |event| event.flags = exec_flag::EXEC_KERNEL);
        assert_eq!(told(&gone), "exe=/bin/x, started by the kernel");
    }
}
