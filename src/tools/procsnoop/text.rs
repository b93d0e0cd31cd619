//! Rows as text: command lines, and the notes behind them.

use super::Killer;
use super::lives::Life;
use super::status::Status;
use crate::output::escape::{Quote, push_cell, push_shell_word};
use crate::skel::{process_exit_event, process_flag};
use crate::tools::execsnoop::Args;

/// A command line, ready to be pasted into a shell.
pub fn command_line(args: Args<'_>, max_args: usize) -> String {
    let mut line = String::new();
    for (index, arg) in args.take(max_args).enumerate() {
        if index > 0 {
            line.push(' ');
        }
        push_shell_word(&mut line, arg, index == 0, Quote::WhereNeeded);
    }
    line
}

/// The notes on an end.
pub fn notes(event: &process_exit_event, status: Status, life: Option<&Life>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(killer) = event.killer() {
        let name = status.signal().unwrap_or_default();
        notes.push(match killer {
            Killer::Itself => format!("{name} from itself"),
            Killer::Kernel => format!("{name} from the kernel"),
            Killer::OutOfMemory => "killed because memory ran out".to_owned(),
            Killer::Fault(address) => format!("{name} at {address:#x}"),
            Killer::Process { pid, comm, .. } => {
                let mut note = format!("{name} from pid {pid} (");
                push_cell(&mut note, comm);
                note + ")"
            }
        });
    }
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
        assert_eq!(notes(&event, killed, None), [""; 0]);
        event.process.flags = process_flag::PROCESS_KILLER;
        assert_eq!(notes(&event, killed, None), [r"SIGKILL from pid 8 (a\040b)"]);
    }

    proptest! {
        #[test]
        fn no_record_breaks_a_row(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<process_exit_event>()),
        ) {
            let event: process_exit_event = decode(&fixed).unwrap();
            let notes = notes(&event, Status::from_wait(event.status), None).join(", ");
            prop_assert!(notes.chars().all(|c| !c.is_control()), "{notes:?}");
        }
    }
}
