//! Rows as text: command lines, and the notes behind them.

use super::Killer;
use super::held::Ended;
use super::lives::Life;
use super::row::{Row, What};
use super::status::Status;
use crate::output::escape::{command_line, push_cell};
use crate::skel::{process_exit_event, process_flag, task_id};
use crate::tools::execsnoop;
use crate::tools::execsnoop::environment::redacted_note;
use crate::tools::execsnoop::search::Searched;
use crate::tools::execsnoop::text::{Beside, cut_note, namespace_note, program_notes};

/// The command line of a row, escaped, and the notes behind it.
pub fn tail(row: &Row<'_>) -> (String, Vec<String>) {
    match row.what {
        What::Exec(exec) => {
            let beside = Beside {
                interpreter: None,
                is_unseen: false,
                searched: &Searched::default(),
                max_args: row.max_args,
                has_exe_column: false,
            };
            let notes = execsnoop::text::notes(exec, &beside);
            let mut line = match row.variables.filter(|_| exec.has_env()) {
                Some(variables) => variables.parts(exec.env).before_command(row.quote),
                None => String::new(),
            };
            line.push_str(&command_line(exec.args().take(row.max_args), row.quote));
            (line, notes)
        }
        What::Fork(_) => (String::new(), namespace_note(row.id).into_iter().collect()),
        What::ThreadExit(_) => (String::new(), vec![thread_note(row.id)]),
        What::Exit(ended, is_final) => exit_tail(row, ended, is_final),
    }
}

/// The thread, by its own name.
fn thread_note(id: &task_id) -> String {
    let mut note = format!("thread {}", id.tid);
    if !id.thread_comm().is_empty() {
        note.push_str(" (");
        push_cell(&mut note, id.thread_comm());
        note.push(')');
    }
    note
}

fn exit_tail(row: &Row<'_>, ended: &Ended, is_final: bool) -> (String, Vec<String>) {
    let Ended { event, life, .. } = ended;
    let line = match row.command() {
        Some(command) => command_line(command.args().take(row.max_args), row.quote),
        None => {
            let mut name = "[".to_owned();
            push_cell(&mut name, row.id.comm());
            name + "]"
        }
    };
    let mut notes = match row.command() {
        Some(command) if !command.path.is_empty() => {
            program_notes(&command.path, command.path_flags, command.is_disguised)
        }
        _ => Vec::new(),
    };
    notes.extend(ending_notes(event, Status::from_wait(event.status), life.as_ref()));
    notes.extend(cut_note(row.cut(), false));
    notes.extend(row.command().and_then(|command| redacted_note(command.redacted)));
    notes.extend(namespace_note(row.id));
    if row.shows_usage && !is_final {
        notes.push("not waited for yet".to_owned());
    }
    (line, notes)
}

/// Who sent the signal that ended it.
pub(super) fn killer_note(event: &process_exit_event, status: Status) -> Option<String> {
    let name = status.signal().unwrap_or_default();
    Some(match event.killer()? {
        Killer::Itself => format!("{name} from itself"),
        Killer::Kernel => format!("{name} from the kernel"),
        Killer::OutOfMemory => "killed because memory ran out".to_owned(),
        Killer::Fault(address) => format!("{name} at {address:#x}"),
        Killer::Process { pid, comm, .. } => {
            let mut note = format!("{name} from pid {pid} (");
            push_cell(&mut note, comm);
            note + ")"
        }
    })
}

/// The notes on how it ended.
fn ending_notes(event: &process_exit_event, status: Status, life: Option<&Life>) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(killer_note(event, status));
    let forked = life.is_some_and(|life| life.command.is_some() && life.exec_ns.is_none());
    if forked && event.process.is(process_flag::PROCESS_NO_EXEC) {
        notes.push("no exec".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::skel::{decode, process_killer};

    #[test]
    fn who_killed_it_stands_behind_the_command_line() {
        let mut event = process_exit_event {
            killer: process_killer {
                pid: 8,
                comm: *b"a b\0\0\0\0\0\0\0\0\0\0\0\0\0",
                ..Default::default()
            },
            ..process_exit_event::default()
        };
        let killed = Status::from_wait(9);
        assert_eq!(ending_notes(&event, killed, None), [""; 0]);
        event.process.flags = process_flag::PROCESS_KILLER;
        assert_eq!(ending_notes(&event, killed, None), [r"SIGKILL from pid 8 (a\040b)"]);
    }

    proptest! {
        #[test]
        fn no_record_breaks_a_row(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<process_exit_event>()),
        ) {
            let event: process_exit_event = decode(&fixed).unwrap();
            let notes = ending_notes(&event, Status::from_wait(event.status), None).join(", ");
            prop_assert!(notes.chars().all(|c| !c.is_control()), "{notes:?}");
        }
    }
}
