//! Shows every program execution, with the arguments that really ran.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use regex::bytes::Regex;

use snoop_tools::attach::Backend;
use snoop_tools::cli::CommonArgs;
use snoop_tools::escape::{Quote, push_cell, push_shell_word};
use snoop_tools::exec::args::{Args, DEFAULT_MAX_ARGS};
use snoop_tools::exec::json::{self, Context};
use snoop_tools::exec::search::{Fate, Searches};
use snoop_tools::exec::text::{cut_note, namespace_note};
use snoop_tools::exec::{Exec, interpreter, late};
use snoop_tools::out::{Column, FAILURE, NOTE, count};
use snoop_tools::session::Session;
use snoop_tools::skel::exec_flag;
use snoop_tools::skel::execve::ExecveSkelBuilder;
use snoop_tools::time::Seconds;
use snoop_tools::tool::{self, Loaded, Open, Tool};

fn main() -> ExitCode {
    tool::main::<Execsnoop>()
}

struct Execsnoop {
    args: Args,
    columns: Vec<Column>,
    max_args: usize,
    searches: Searches,
}

impl Tool for Execsnoop {
    const NAME: &'static str = "execsnoop";
    type Args = Args;
    type Builder = ExecveSkelBuilder;

    fn new(args: Args) -> Result<Self, String> {
        let text_default = if args.common.json { usize::MAX } else { DEFAULT_MAX_ARGS };
        Ok(Self {
            columns: columns(&args),
            max_args: args.max_args.unwrap_or(text_default),
            searches: Searches::default(),
            args,
        })
    }

    fn common(&self) -> &CommonArgs {
        &self.args.common
    }

    fn backends(&self) -> Vec<Backend> {
        let backend = |name, programs: &[&'static str], optional: &[&'static str]| Backend {
            name,
            programs: programs.to_vec(),
            optional: optional.to_vec(),
            broad: vec!["raw_sys_exit"],
            without_optional: "failed executions by 32-bit programs are not seen",
            ..Backend::default()
        };
        if !self.args.fails {
            return vec![
                backend("tp_btf", &["exec_done_btf"], &[]),
                backend("raw_tp", &["exec_done_raw"], &[]),
            ];
        }
        // Successes come from the same place each time; only failures tax others.
        vec![
            backend(
                "fexit",
                &["exec_done_btf", "fexit_execve", "fexit_execveat"],
                &["fexit_compat_execve", "fexit_compat_execveat"],
            ),
            backend("tracepoint", &["exec_done_btf", "tp_execve", "tp_execveat"], &[]),
            backend("raw_tp", &["exec_done_raw", "raw_sys_exit"], &[]),
        ]
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        // One slot for each program that may run: enum exec_slot in execve.bpf.c.
        let slots = if self.args.fails { open.maps.exec_scratch.max_entries() } else { 1 };
        open.maps.exec_scratch.set_max_entries(slots).context("size exec_scratch")?;
        open.maps.perf_records.set_max_entries(slots).context("size perf_records")
    }

    fn start(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        session.out.heading(&self.columns);
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        let exec = Exec::decode(record).context("a record that ends too early")?;
        if let Some(completed) = late::complete(&exec) {
            return self.event(&completed, session);
        }
        if !self.matches(&exec) {
            return Ok(());
        }
        let missing = interpreter::missing(&exec);
        if !self.args.fails || self.args.all {
            return self.show(&exec, missing.as_deref(), &[], session);
        }
        let verdict = self.searches.see(record, &exec, missing.is_none());
        self.show_in_vain(&verdict.in_vain, session)?;
        match verdict.event {
            Fate::Held => Ok(()),
            Fate::Show => self.show(&exec, missing.as_deref(), &[], session),
            Fate::Found(misses) => self.show(&exec, None, &files(&misses), session),
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.searches.next_tick()
    }

    fn tick(&mut self, last: bool, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        for misses in self.searches.given_up(last) {
            self.show_in_vain(&misses, session)?;
        }
        Ok(())
    }
}

/// The files that misses name.
fn files(misses: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let misses = misses.iter().filter_map(|record| Exec::decode(record));
    misses.map(|miss| miss.filename().into_owned()).collect()
}

fn columns(args: &Args) -> Vec<Column> {
    let mut columns = Vec::new();
    if args.time {
        columns.push(Column::left("TIME", 8));
    }
    if args.common.timestamp {
        columns.push(Column::left("TIME(s)", 8));
    }
    if args.print_uid {
        columns.push(Column::left("UID", 6));
    }
    columns.push(Column::left("PCOMM", 16));
    columns.push(Column::left("PID", 7));
    columns.push(Column::left("PPID", 7));
    columns.push(Column::left("RET", if args.fails { 7 } else { 3 }));
    if args.exe {
        columns.push(Column::left("EXE", 32));
    }
    columns.push(Column::left("ARGS", 0));
    columns
}

impl Execsnoop {
    /// The filters on free text.
    fn matches(&self, exec: &Exec<'_>) -> bool {
        let by_name = |regex: &Regex| regex.is_match(exec.event.id.comm());
        let by_line = |regex: &Regex| {
            let line: Vec<_> = exec.args().collect();
            regex.is_match(&line.join(&b' '))
        };
        self.args.name.as_ref().is_none_or(by_name) && self.args.line.as_ref().is_none_or(by_line)
    }

    /// A search that found nothing is one row too: its last miss.
    fn show_in_vain(&self, misses: &[Vec<u8>], session: &mut Session) -> Result<()> {
        let Some((last, before)) = misses.split_last() else { return Ok(()) };
        let exec = Exec::decode(last).context("a record that ends too early")?;
        self.show(&exec, None, &files(before), session)
    }

    /// One row.
    fn show(
        &self,
        exec: &Exec<'_>,
        missing_interpreter: Option<&[u8]>,
        searched: &[Vec<u8>],
        session: &mut Session,
    ) -> Result<()> {
        if session.is_full() {
            return Ok(());
        }
        if session.out.json {
            let timestamp = session.clock.rfc3339(exec.event.id.time_ns);
            let context = Context {
                timestamp: &timestamp,
                cgroup: session.cgroups.path(&exec.event.id),
                searched,
                missing_interpreter,
                max_args: self.max_args,
            };
            let filename = exec.filename();
            let mut args = None;
            let object = json::row(exec, &context, &mut args, &filename);
            session.out.object(&object)?;
        } else {
            let (command, notes) = self.command_line(exec, missing_interpreter, searched);
            let tail = match notes.as_str() {
                "" => command,
                notes if session.out.color => format!("{command}{NOTE}{notes}{NOTE:#}"),
                notes => command + notes,
            };
            self.text_row(exec, &tail, session);
        }
        session.shown()
    }

    fn text_row(&self, exec: &Exec<'_>, tail: &str, session: &mut Session) {
        let id = &exec.event.id;
        let time =
            if self.args.time { session.clock.local_time(id.time_ns) } else { String::new() };
        let since = id.time_ns.saturating_sub(session.started_ns);
        let mut line = session.out.line(&self.columns);
        if self.args.time {
            line.text(&time);
        }
        if self.args.common.timestamp {
            line.value(Seconds(since));
        }
        if self.args.print_uid {
            line.value(id.uid);
        }
        line.name(id.comm()).value(id.pid).value(id.ppid);
        match exec.errno_name() {
            None => line.text("0"),
            Some(errno) => line.styled(&errno, FAILURE),
        };
        if self.args.exe {
            line.name(exec.path);
        }
        line.text(tail);
    }

    /// The command line, ready to be pasted into a shell; and what else is to be said of it,
    /// behind a `#`, so that both together can be pasted too.
    fn command_line(
        &self,
        exec: &Exec<'_>,
        missing_interpreter: Option<&[u8]>,
        searched: &[Vec<u8>],
    ) -> (String, String) {
        let quote = if self.args.quote { Quote::Always } else { Quote::WhereNeeded };
        let mut line = String::new();
        for (index, arg) in exec.args().take(self.max_args).enumerate() {
            if index > 0 {
                line.push(' ');
            }
            push_shell_word(&mut line, arg, index == 0, quote);
        }
        let notes = self.notes(exec, missing_interpreter, searched);
        if notes.is_empty() {
            return (line, String::new());
        }
        let space = if line.is_empty() { "" } else { "  " };
        (line, format!("{space}# {}", notes.join(", ")))
    }

    fn notes(
        &self,
        exec: &Exec<'_>,
        missing_interpreter: Option<&[u8]>,
        searched: &[Vec<u8>],
    ) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |name: &str, value: &[u8]| {
            let mut text = format!("{name}=");
            push_cell(&mut text, value);
            notes.push(text);
        };
        let failed = exec.errno().is_some();
        let fatal = exec.is(exec_flag::EXEC_FATAL);
        let first_arg = exec.args().next().unwrap_or_default();
        if exec.is(exec_flag::EXEC_PATH_NO_MOUNT) || fatal || (!failed && exec.is_disguised()) {
            if !self.args.exe {
                note("exe", exec.path);
            }
        } else if failed
            && !exec.is(exec_flag::EXEC_FILENAME_FAULT)
            && *exec.filename() != *first_arg
        {
            note("file", &exec.filename());
        }
        if let Some(interpreter) = missing_interpreter {
            note("missing interpreter", interpreter);
        }
        let mut say = |text: String| notes.push(text);
        if exec.is(exec_flag::EXEC_FILENAME_CUT) {
            say("end of the file name cut".to_owned());
        }
        if exec.is(exec_flag::EXEC_PATH_CUT) {
            say("beginning of its path cut".to_owned());
        }
        if exec.is(exec_flag::EXEC_PATH_DELETED) {
            say("deleted".to_owned());
        }
        if fatal {
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
        cut_note(exec.cut(self.max_args), at_least).into_iter().for_each(&mut say);
        if let Some(thread) = exec.foreign_thread() {
            say(format!("by thread {thread}"));
        }
        if exec.is(exec_flag::EXEC_KERNEL) {
            say("started by the kernel".to_owned());
        }
        namespace_note(&exec.event.id).into_iter().for_each(&mut say);
        if !searched.is_empty() {
            let places = searched.len() as u64;
            say(if failed {
                format!("nowhere on PATH: {}", count(places + 1, "place"))
            } else {
                format!("after {} on PATH", count(places, "place"))
            });
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;
    use snoop_tools::exec::testing::{any_record, edit, failure, record};
    use snoop_tools::skel::exec_event;

    use super::*;

    fn tool(flags: &[&str]) -> Execsnoop {
        let words = ["execsnoop"].iter().chain(flags);
        Execsnoop::new(Args::try_parse_from(words).unwrap()).unwrap()
    }

    fn command_line(flags: &[&str], record: &[u8]) -> String {
        let (line, notes) = tool(flags).command_line(&Exec::decode(record).unwrap(), None, &[]);
        line + &notes
    }

    #[test]
    fn notes_stand_behind_the_command_line() {
        let mut own = record("/bin/x", &[b"x", b"a b"]);
        edit(&mut own, |event| event.id.vpid = event.id.pid);
        assert_eq!(command_line(&[], &own), "x 'a b'");
        assert_eq!(command_line(&["-q"], &own), "'x' 'a b'");
        assert_eq!(
            command_line(&["--max-args", "1"], &own),
            "x  # cut: 1 argument (4 bytes) not shown"
        );
        edit(&mut own, |event| event.caller_tid = 7);
        assert_eq!(command_line(&[], &own), "x 'a b'  # by thread 7");

        let other = record("/bin/x", &[b"sshd"]);
        assert_eq!(command_line(&[], &other), "sshd  # exe=/bin/x");
        assert_eq!(command_line(&["-e"], &other), "sshd", "it has a column");

        let missing = failure(0, libc::ENOENT, "/bin/x y", &[b"x"]);
        assert_eq!(command_line(&["-x"], &missing), r"x  # file=/bin/x\040y");
        let searched = [b"/a/x".to_vec()];
        let exec = Exec::decode(&missing).unwrap();
        let (line, notes) = tool(&["-x"]).command_line(&exec, None, &searched);
        assert_eq!(line + &notes, r"x  # file=/bin/x\040y, nowhere on PATH: 2 places");
    }

    proptest! {
        #[test]
        fn no_record_breaks_a_row(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<exec_event>()),
            rest: Vec<u8>,
            lengths: [u8; 5],
            interpreter: Option<Vec<u8>>,
        ) {
            let record = any_record(&fixed, &rest, lengths.map(|n| n / 8));
            let Some(exec) = Exec::decode(&record) else { return Ok(()) };
            let (line, notes) =
                tool(&["-x"]).command_line(&exec, interpreter.as_deref(), &[rest]);
            let line = line + &notes;
            prop_assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
        }
    }
}
