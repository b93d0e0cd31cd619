//! procsnoop's flags and manual.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::engine::cli::{CommonArgs, milliseconds};
use crate::engine::manual::{CAPABILITIES, Demo, EXIT_STATUS, GROUP, Manual, RUN_AS};
use crate::host::signal;
use crate::tools::execsnoop::args::max_args;
use crate::tools::execsnoop::environment::Asked;

/// Show the lives of processes, with the status that wait() gives
#[derive(Parser, Debug)]
#[command(name = "procsnoop", version)]
pub struct Args {
    /// Only ends of processes that lived at least this long, such as 0.5 or 2s
    #[arg(
        short = 'd',
        long = "min-duration",
        value_name = "MS",
        value_parser = milliseconds,
        help_heading = "Filters"
    )]
    pub min_duration: Option<Duration>,

    /// Only ends of processes that failed: an exit code other than 0, or a signal
    #[arg(short = 'x', long, visible_alias = "fails", help_heading = "Filters")]
    pub failed: bool,

    /// Only ends by this signal: a name, a number, or "any" (repeatable)
    #[arg(long, value_name = "SIGNAL", value_parser = signals, help_heading = "Filters")]
    pub signal: Vec<u64>,

    /// Only ends with this exit code (repeatable)
    #[arg(long, value_name = "CODE", value_parser = exit_code, help_heading = "Filters")]
    pub exit_code: Vec<u8>,

    /// Show births too: all births, even with filters on ends
    #[arg(long)]
    pub fork: bool,

    /// Show the ends of single threads too; -d, -x, --signal and --exit-code apply to them as well
    #[arg(long)]
    pub threads: bool,

    /// Show kernel threads too
    #[arg(long)]
    pub kernel_threads: bool,

    /// Show columns with the usage of each process: CPU time, memory, faults, switches, I/O
    #[arg(long)]
    pub usage: bool,

    /// The place of the programs that run
    #[command(flatten)]
    pub place: Asked,

    /// Show this many arguments [default: 60; with --json all kept ones]
    #[arg(long, value_name = "N", value_parser = max_args)]
    pub max_args: Option<usize>,

    /// Put every argument in quotes
    #[arg(long)]
    pub quote: bool,

    /// At the end, print the processes as a tree
    #[arg(long, conflicts_with = "json", help_heading = "At the end")]
    pub tree_view: bool,

    /// At the end, print the critical path: the chain of processes that decided how long COMMAND
    /// took, or the process of --tree
    #[arg(long, help_heading = "At the end")]
    pub critical_path: bool,

    /// At the end, draw the processes over time, as SVG
    #[arg(long, value_name = "FILE", help_heading = "At the end")]
    pub plot: Option<PathBuf>,

    /// At the end, write a trace for Perfetto's viewer
    #[arg(long, value_name = "FILE", help_heading = "At the end")]
    pub perfetto: Option<PathBuf>,

    /// At the end, write a trace in Chrome's JSON format, for other viewers
    #[arg(long, value_name = "FILE", help_heading = "At the end")]
    pub chrome_trace: Option<PathBuf>,

    /// Compare what two runs executed, from files recorded with --json: commands only in one, that
    /// fail in one, slower by -d MS [default: 10], with other arguments
    #[arg(
        long,
        num_args = 2,
        value_names = ["A", "B"],
        conflicts_with_all = [
            "from", "command", "follow", "duration", "max_events", "columns", "fork", "threads", "usage",
            "failed", "signal", "exit_code", "kernel_threads", "max_args", "tree_view", "plot", "perfetto",
            "chrome_trace", "critical_path",
            "pid", "ppid", "uid", "comm", "cgroup", "tree", "not_pid", "not_uid", "not_comm", "not_cgroup",
            "filter", "backend", "buffer", "buffer_size", "rings",
            "time", "timestamp", "utc", "date", "print_uid", "login", "ancestors", "ancestor", "cwd", "env",
            "output", "status", "rate_limit", "sample", "max_cpu", "metrics"
        ]
    )]
    pub diff: Vec<PathBuf>,

    /// Show a full-screen view: what runs, and what ran in the last minute, as a tree. The key ? lists
    /// the keys
    #[arg(
        long,
        conflicts_with_all = [
            "min_duration", "failed", "signal", "exit_code", "fork", "threads", "usage", "max_args",
            "quote", "tree_view", "plot", "perfetto", "chrome_trace", "critical_path", "diff",
            "json", "quiet", "columns", "command", "time", "timestamp", "print_uid", "max_events",
            "output", "status", "rate_limit", "sample", "max_cpu", "metrics", "filter", "containers"
        ]
    )]
    pub live: bool,

    /// Flags of every tool
    #[command(flatten)]
    pub common: CommonArgs,
}

/// The manual beyond the flags.
pub const MANUAL: Manual = Manual {
    description: "\
Shows the executions and ends of processes: the exit status that wait() gives to the parent, the \
fatal signal and its sender, the lifetime of the process, and with --usage the resources it used. A \
process ends when its last thread has ended, whichever that is.

At the end procsnoop can print the processes as a tree (--tree-view), draw them over time (--plot), \
write them for Perfetto's viewer (--perfetto), and name the chain of processes that decided how long \
a COMMAND took (--critical-path): followed from its end backwards, whom each process waited for last. \
With --json each line is an object, whose keys are \
OpenTelemetry's names.",
    examples: &[
        ("procsnoop", "executions and ends of all processes"),
        ("procsnoop -x", "which commands fail, how, and after how long"),
        ("procsnoop -d 1000 --usage", "processes that ran for a second or more, with their usage"),
        ("procsnoop --signal KILL", "processes that were killed, and by whom"),
        ("procsnoop -q --tree-view -- make", "the processes of a build"),
        ("procsnoop -q --plot make.svg -- make", "the same as a picture"),
        ("procsnoop -q --critical-path -- make -j8", "what decides how long it takes"),
        ("procsnoop --json | jq 'select(.process.memory.max_rss_bytes > 1e9)'", ""),
    ],
    rows: "\
EVENT is EXEC, EXIT, with --fork FORK, with --threads THREAD. DURATION counts from the birth (for \
COMMAND: from its release), with --usage SINCE-EXEC from the last execution; these, USER and SYSTEM (CPU time) \
are seconds. STATUS is an exit code or a signal, +core if memory was dumped. With --usage: RSS is \
the peak of resident memory, MAJFLT counts page faults with I/O, VCSW and ICSW voluntary and \
involuntary switches from the CPU, READ and WRITE are block I/O.

With --tree-view, START counts from the beginning of the picture and TREE-CPU is the CPU time of a \
process with its descendants. With --critical-path, DURATION is a process's part of the path: CPU, \
CHILD (waiting for children on the path, which have rows of their own) and OTHER (I/O, sleep, locks, \
waiting for a CPU).

A command in [brackets] is only a name. -- lost N events -- on stderr marks the place where events \
found no room. Most keys of --json under process are present only in process.exit.",
    notes: &[
        ("SIGNAL from pid N (NAME)", "the sender of the signal that ended the process"),
        ("SIGNAL from itself, from the kernel", "likewise"),
        ("SIGNAL at ADDRESS", "an instruction of the process faulted there"),
        ("killed because memory ran out", "by the kernel's out-of-memory killer"),
        ("no exec", "the process executed nothing: the command is that of the process that forked it"),
        ("exe=PATH", "the program, if the command line has another name"),
        ("deleted", "the file of the program is deleted"),
        ("directory deleted", "the working directory is deleted"),
        ("environment unreadable", "its memory was swapped out, or the like"),
        ("cut: N bytes of the environment", "variables that are not shown: too much for the buffer"),
        ("beginning of its path cut", "the path is too long to be shown in full"),
        ("thread N (NAME)", "with --threads: the thread that ended"),
        ("by thread N", "another thread than the first one of the process executed it"),
        ("started by the kernel", "no process asked for it"),
        ("pid N in its namespace", "the process id that the process itself sees"),
        ("cut: N arguments", "arguments that are not shown"),
        ("not waited for yet", "the usage may lack the last few milliseconds"),
    ],
    usual: &["min_duration", "failed", "usage", "live", "tree_view", "plot"],
    exit_status: EXIT_STATUS,
    privileges: &[CAPABILITIES, RUN_AS, GROUP],
    overhead: "\
About ten microseconds for the whole life of a process, from fork to the end: a tenth of the \
shortest life. System calls pay nothing: the hooks are at fork, exec, exit and signals. \
Memory: about 9 MiB.",
    demo: Demo {
        event: "process.exit",
        command: "/bin/true",
        flags: "--usage",
        ..Demo::NONE
    },
    ..Manual::TRACER
};

/// The default of `--max-args`, for text.
pub const DEFAULT_MAX_ARGS: usize = 60;

fn exit_code(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| "an exit code is a number from 0 to 255".to_owned())
}

/// `--signal`: as bits.
fn signals(text: &str) -> Result<u64, String> {
    if text.eq_ignore_ascii_case("any") {
        return Ok(u64::MAX);
    }
    Ok(1 << (signal::parse(text)? - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_fractions() {
        assert_eq!(milliseconds("1.5"), Ok(Duration::from_micros(1500)));
        assert_eq!(milliseconds("0"), Ok(Duration::ZERO));
        assert_eq!(milliseconds("1000"), Ok(Duration::from_secs(1)));
        assert!(milliseconds("1e12").unwrap().as_nanos() < u128::from(u64::MAX));
        for wrong in ["", "-1", "-0.1", "nan", "inf", "1e13", "soon"] {
            assert!(milliseconds(wrong).unwrap_err().contains("0.5"), "{wrong}");
        }
    }
}
