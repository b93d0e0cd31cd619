//! execsnoop's flags and manual.

use std::path::PathBuf;

use clap::Parser;
use regex::bytes::Regex;

use super::Exec;
use super::environment::Asked;
use crate::engine::cli::{CommonArgs, regex};
use crate::engine::manual::{CAPABILITIES, Demo, EXIT_STATUS, GROUP, Manual, RUN_AS};

/// Show every program execution, with the arguments that really ran
#[derive(Parser, Debug)]
#[command(
    name = "execsnoop",
    version,
    // In bcc's tool this letter is --quote.
    mut_arg("quiet", |arg| arg.short(None))
)]
pub struct Args {
    /// Show failed executions too
    #[arg(short = 'x', long, visible_alias = "fails")]
    pub failed: bool,

    /// With -x, show each miss of a search along PATH in a row of its own, not all in one
    #[arg(long, requires = "failed")]
    pub all: bool,

    /// Show a column with the path of the program
    #[arg(short, long)]
    pub exe: bool,

    /// The place of the program that runs
    #[command(flatten)]
    pub place: Asked,

    /// Show each execution as a line for a shell, which runs it again: in the same directory, with the
    /// same environment and arguments
    #[arg(
        long,
        conflicts_with_all = [
            "cwd", "env", "failed", "all", "exe", "quote", "max_args", "json", "columns", "time", "timestamp",
            "utc", "date", "print_uid", "live"
        ]
    )]
    pub shell: bool,

    /// At the end, write a compilation database: the calls of C and C++ compilers, for clangd and the
    /// like
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    pub compile_commands: Option<PathBuf>,

    /// Put every argument in quotes
    #[arg(short, long)]
    pub quote: bool,

    /// Show this many arguments [default: 60; with --json all]
    #[arg(long, value_name = "N", value_parser = max_args)]
    pub max_args: Option<usize>,

    /// Only rows whose name matches this regular expression: of the program, or of the process or
    /// thread that failed to execute one
    #[arg(short, long, value_name = "REGEX", value_parser = regex, help_heading = "Filters")]
    pub name: Option<Regex>,

    /// Only command lines that match: arguments joined by spaces
    #[arg(short, long, value_name = "REGEX", value_parser = regex, help_heading = "Filters")]
    pub line: Option<Regex>,

    /// Show a full-screen view: what runs, and what ran in the last minute, as a tree. The key ? lists
    /// the keys
    #[arg(
        long,
        conflicts_with_all = [
            "all", "exe", "quote", "max_args",
            "json", "quiet", "columns", "command", "time", "timestamp", "print_uid", "max_events",
            "output", "status", "rate_limit", "sample", "max_cpu", "metrics", "filter", "containers"
        ]
    )]
    pub live: bool,

    /// Flags of every tool
    #[command(flatten)]
    pub common: CommonArgs,
}

impl Args {
    /// The filters on free text.
    pub fn matches(&self, exec: &Exec<'_>) -> bool {
        let id = &exec.event.id;
        let by_name = |name: &Regex| name.is_match(id.comm()) || name.is_match(id.thread_comm());
        let by_line = |regex: &Regex| {
            let line: Vec<_> = exec.args().collect();
            regex.is_match(&line.join(&b' '))
        };
        self.name.as_ref().is_none_or(by_name) && self.line.as_ref().is_none_or(by_line)
    }
}

/// The manual beyond the flags.
pub const MANUAL: Manual = Manual {
    description: "\
Shows every program execution, with the arguments that the program really got: they come from the \
new program's memory, after the kernel has put them there. With -x, failed attempts are shown too, \
with the error and, for scripts, the missing interpreter.

A row is printed when the execution has succeeded or failed. Arguments are quoted for the shell, so \
that a row can be pasted and runs again with the same bytes; notes stand behind #. With --json each \
line is an object, whose keys are OpenTelemetry's names.",
    examples: &[
        ("execsnoop", "every execution on this machine"),
        ("execsnoop -x", "failed ones too, with their errno"),
        ("execsnoop -T -u alice", "what alice runs, with the time"),
        (r"execsnoop -l '\.py\b'", "command lines that mention a Python file"),
        ("execsnoop -- make", "only what a build runs"),
        (r#"sudo execsnoop --run-as "$SUDO_USER" -- make"#, "a build that does not run as root"),
        ("execsnoop --quiet --compile-commands compile_commands.json -- make", "what clangd asks for"),
        ("execsnoop --shell -- make >again.sh", "commands that run again, each by itself"),
        ("execsnoop --json | jq -r '.process.command_args // empty | @sh'", ""),
    ],
    rows: "\
PCOMM is the name of the program; if RET is an error instead of 0, the name of the calling process, \
with that of its thread in brackets if it is another one and there is room. ARGS are \
the arguments of the program; a script's interpreter comes first. With --env its variables stand in \
front, as a shell takes them.

-- lost N events -- on stderr marks the place where events found no room.",
    notes: &[
        ("exe=PATH", "the program, if the command line has another name"),
        ("file=PATH", "the file that the caller asked for in vain"),
        ("missing interpreter=PATH", "what a script or a dynamic program needs, and does not exist"),
        ("bad interpreter=PATH", "the same for one that exists and cannot be executed, with the reason"),
        ("deleted", "the file of the program is deleted"),
        ("directory deleted", "the working directory is deleted"),
        ("environment unreadable", "its memory was swapped out, or the like"),
        ("beginning of its path cut", "the path is too long to be shown in full"),
        ("end of the file name cut", "the caller's file name is longer than the kernel takes"),
        ("after N places on PATH", "the caller tried N other files first"),
        ("nowhere on PATH", "a search along PATH that found nothing, in one row"),
        ("not found in N places", "the same for another search"),
        ("by thread N", "another thread than the first one of the process called"),
        ("started by the kernel", "no process asked for it"),
        ("pid N in its namespace", "the process id that the process itself sees"),
        ("cut: N arguments", "arguments that are not shown"),
        ("cut: N bytes of the environment", "variables that are not shown: too much for the buffer"),
        ("arguments unreadable", "the caller's memory could not be read: see the documentation"),
        ("arguments read after the call", "they may have changed since: see the documentation"),
        ("not looked at in time", "a process or a file system kept the tool from looking"),
        ("failed past the point of no return", "the process dies of it"),
    ],
    usual: &["failed", "exe", "name", "line", "live"],
    exit_status: EXIT_STATUS,
    privileges: &[
        CAPABILITIES,
        "With -x, on kernels where trampolines (fexit) do not load, failures come from a tracepoint \
         that the tool looks up in tracefs, which only root may read. Without tracefs it uses a raw \
         tracepoint, which makes every system call of the machine slower. The missing interpreter of \
         another user's script is found only with CAP_SYS_PTRACE.",
        RUN_AS,
        GROUP,
    ],
    overhead: "\
A few microseconds for each execution, a twentieth of the time of the execution itself; other system \
calls pay nothing. With -x this is the same if fexit loads; with the backend tracepoint every system \
call of the machine takes about a tenth longer, with raw_tp about a quarter. -v names the backend. \
Memory: about 9 MiB, and 4 MiB in the kernel (--buffer-size).",
    demo: Demo {
        event: "process.exec",
        command: "/bin/true",
        flags: "-x",
        ..Demo::NONE
    },
    ..Manual::TRACER
};

/// `--max-args`
pub fn max_args(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a whole number is needed, from 0 up".to_owned())
}

/// The default of `--max-args`, for text.
pub const DEFAULT_MAX_ARGS: usize = 60;
