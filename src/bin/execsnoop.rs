//! Shows every program execution, with the arguments that really ran.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use regex::bytes::Regex;

use snoop_tools::engine::backend::{Backend, Job};
use snoop_tools::engine::cli::CommonArgs;
use snoop_tools::engine::manual::Manual;
use snoop_tools::engine::session::Session;
use snoop_tools::engine::tool::{self, Loaded, Open, Tool};
use snoop_tools::output::escape::{Quote, push_shell_word};
use snoop_tools::output::table::{Column, FAILURE, NOTE};
use snoop_tools::output::time::Seconds;
use snoop_tools::skel::execve::ExecveSkelBuilder;
use snoop_tools::tools::execsnoop::args::{self, Args, DEFAULT_MAX_ARGS};
use snoop_tools::tools::execsnoop::json::{self, Context};
use snoop_tools::tools::execsnoop::search::{Fate, Searched, Searches, Step};
use snoop_tools::tools::execsnoop::text::{Beside, notes};
use snoop_tools::tools::execsnoop::{Exec, interpreter, late};

fn main() -> ExitCode {
    tool::main::<Execsnoop>()
}

/// Failures that only some backends see.
const FAILURES_32: &str = "failed executions by 32-bit programs";

struct Execsnoop {
    args: Args,
    columns: Vec<Column>,
    max_args: usize,
    searches: Searches,
}

impl Tool for Execsnoop {
    const NAME: &'static str = "execsnoop";
    const MANUAL: Manual = args::MANUAL;
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
        let done_btf = || Job::main("exec_done_btf");
        let done_raw = || Job::main("exec_done_raw");
        let plain = [Backend::new("tp_btf", [done_btf()]), Backend::new("raw_tp", [done_raw()])];
        if !self.args.fails {
            return plain.into();
        }
        // Successes come from the same place each time; only failures tax others.
        let done = || done_btf().or("exec_done_raw");
        let compat = |program| Job::adds(program, FAILURES_32).if_there();
        let mut backends = vec![
            Backend::new(
                "fexit",
                [
                    done(),
                    Job::main("fexit_execve"),
                    Job::main("fexit_execveat"),
                    compat("fexit_compat_execve"),
                    compat("fexit_compat_execveat"),
                ],
            ),
            Backend::new("tracepoint", [done(), Job::main("tp_execve"), Job::main("tp_execveat")])
                .without(FAILURES_32),
            Backend::new("raw_tp", [done_raw(), Job::main("raw_sys_exit").broad()]),
        ];
        backends.extend(plain.map(|backend| backend.without("failed executions")));
        backends
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        // Without failures, only the program of the first slot runs: enum exec_slot in exec.bpf.h.
        if !self.args.fails {
            open.maps.exec_scratch.set_max_entries(1).context("size exec_scratch")?;
            open.maps.perf_records.set_max_entries(1).context("size perf_records")?;
        }
        Ok(())
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
            return self.show(&exec, missing.as_deref(), &Searched::default(), session);
        }
        let verdict = self.searches.see(record, &exec, missing.is_none());
        self.show_in_vain(&verdict.in_vain, session)?;
        match verdict.event {
            Fate::Held => Ok(()),
            Fate::Show => self.show(&exec, missing.as_deref(), &Searched::default(), session),
            Fate::Found(steps) => self.show(&exec, None, &Searched::before(&steps), session),
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.searches.next_tick()
    }

    fn tick(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        self.show_given_up(false, session)
    }

    fn finish(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        self.show_given_up(true, session)
    }
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
    /// Searches that nothing can complete any more, or `all` that are left.
    fn show_given_up(&mut self, all: bool, session: &mut Session) -> Result<()> {
        for steps in self.searches.given_up(all) {
            self.show_in_vain(&steps, session)?;
        }
        Ok(())
    }

    /// The filters on free text.
    fn matches(&self, exec: &Exec<'_>) -> bool {
        let by_name = |regex: &Regex| regex.is_match(exec.event.id.comm());
        let by_line = |regex: &Regex| {
            let line: Vec<_> = exec.args().collect();
            regex.is_match(&line.join(&b' '))
        };
        self.args.name.as_ref().is_none_or(by_name) && self.args.line.as_ref().is_none_or(by_line)
    }

    /// A search that found nothing gives one row too: the last miss.
    fn show_in_vain(&self, steps: &[Step], session: &mut Session) -> Result<()> {
        let Some((last, searched)) = Searched::in_vain(steps) else { return Ok(()) };
        let exec = Exec::decode(last).context("a record that ends too early")?;
        self.show(&exec, None, &searched, session)
    }

    /// One row.
    fn show(
        &self,
        exec: &Exec<'_>,
        missing_interpreter: Option<&[u8]>,
        searched: &Searched,
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
                searched: &searched.files,
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

    /// The command line, ready to be pasted into a shell, and notes behind a `#`, so that both
    /// together can be pasted too.
    fn command_line(
        &self,
        exec: &Exec<'_>,
        missing_interpreter: Option<&[u8]>,
        searched: &Searched,
    ) -> (String, String) {
        let quote = if self.args.quote { Quote::Always } else { Quote::WhereNeeded };
        let mut line = String::new();
        for (index, arg) in exec.args().take(self.max_args).enumerate() {
            if index > 0 {
                line.push(' ');
            }
            push_shell_word(&mut line, arg, index == 0, quote);
        }
        let beside = Beside {
            missing_interpreter,
            searched,
            max_args: self.max_args,
            has_exe_column: self.args.exe,
        };
        let notes = notes(exec, &beside);
        if notes.is_empty() {
            return (line, String::new());
        }
        let space = if line.is_empty() { "" } else { "  " };
        (line, format!("{space}# {}", notes.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;
    use snoop_tools::skel::exec_event;
    use snoop_tools::tools::execsnoop::testing::{any_record, edit, failure, record};

    use super::*;

    fn tool(flags: &[&str]) -> Execsnoop {
        let words = ["execsnoop"].iter().chain(flags);
        Execsnoop::new(Args::try_parse_from(words).unwrap()).unwrap()
    }

    fn command_line(flags: &[&str], record: &[u8]) -> String {
        let exec = Exec::decode(record).unwrap();
        let (line, notes) = tool(flags).command_line(&exec, None, &Searched::default());
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
    }

    #[test]
    fn searches_are_told_as_what_they_were() {
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
            let (line, notes) = tool(&["-x"]).command_line(&exec, None, &searched);
            assert_eq!(line + &notes, expected);
        }
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
            let searched = Searched { files: vec![rest], along_path: false };
            let (line, notes) =
                tool(&["-x"]).command_line(&exec, interpreter.as_deref(), &searched);
            let line = line + &notes;
            prop_assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
        }
    }
}
