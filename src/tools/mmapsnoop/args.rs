//! mmapsnoop's flags and manual.

use std::time::Duration;

use clap::Parser;

use super::filters::{self, flags, length, prefix, prot};
use crate::engine::cli::{CommonArgs, seconds};
use crate::engine::manual::{CAPABILITIES, Demo, EXIT_STATUS, GROUP, Manual, RUN_AS};

/// Show every mmap(), with its result and its file
#[derive(Parser, Debug)]
#[command(name = "mmapsnoop", version)]
pub struct Args {
    /// Show munmap, mprotect, mremap, brk and madvise too
    #[arg(short, long)]
    pub all: bool,

    /// Show only calls that make memory writable and executable
    #[arg(long)]
    pub wx: bool,

    /// Show sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,

    /// Show a column with the resulting mapping
    #[arg(long)]
    pub vma: bool,

    /// Show a column with the latency, from entry to exit, in microseconds
    #[arg(short, long)]
    pub latency: bool,

    /// Show the caller's stacks, in the kernel and in the program
    #[arg(long)]
    pub stacks: bool,

    /// Show no calls, but at the end each stack with its count, for flame graphs
    #[arg(
        long,
        conflicts_with_all = [
            "json", "time", "timestamp", "print_uid", "columns", "bytes", "vma", "latency", "login",
            "ancestors"
        ]
    )]
    pub folded: bool,

    /// Show no calls, but every SECONDS their number, by process, file and length; with --wx by
    /// process, file and reason
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        value_parser = seconds,
        conflicts_with_all = [
            "all", "vma", "latency", "time", "timestamp", "print_uid", "columns", "path", "stacks",
            "folded", "login", "ancestors"
        ]
    )]
    pub summary: Option<Duration>,

    /// Only calls that failed
    #[arg(short = 'x', long, visible_alias = "fails", help_heading = "Filters")]
    pub failed: bool,

    /// Only calls of at least this length; K, M, G and T are understood
    #[arg(long, value_name = "BYTES", value_parser = length, help_heading = "Filters")]
    pub min_size: Option<u64>,

    /// Only calls of at most this length
    #[arg(long, value_name = "BYTES", value_parser = length, help_heading = "Filters")]
    pub max_size: Option<u64>,

    /// Only calls with all of these protections: rwx, or names such as READ,EXEC
    #[arg(
        long,
        value_name = "PROT",
        value_parser = prot,
        allow_hyphen_values = true, // --x
        help_heading = "Filters"
    )]
    pub prot: Option<u64>,

    /// Only calls with all of these flags: names such as SHARED,FIXED (SHARED_VALIDATE is SHARED
    /// too)
    #[arg(long, value_name = "FLAGS", value_parser = flags, help_heading = "Filters")]
    pub flags: Option<filters::Flags>,

    /// Only anonymous mappings
    #[arg(long, conflicts_with_all = ["file", "path"], help_heading = "Filters")]
    pub anon: bool,

    /// Only mappings of files
    #[arg(long, help_heading = "Filters")]
    pub file: bool,

    /// Only files whose path begins like this, or like what it is where symbolic links lead
    #[arg(long, value_name = "PREFIX", value_parser = prefix, help_heading = "Filters")]
    pub path: Option<String>,

    /// Flags of every tool
    #[command(flatten)]
    pub common: CommonArgs,
}

/// The manual beyond the flags.
pub const MANUAL: Manual = Manual {
    description: "\
Shows every mmap() call, with the request, the resulting address or error, and the file behind it; \
with --all also the other calls that change mappings. --wx shows only calls that make memory \
writable and executable, and in which steps.

With --summary or --folded there are totals instead of rows. With \
--json each line is an object, whose keys are OpenTelemetry's names where it has some.",
    examples: &[
        ("mmapsnoop", "every mmap() on this machine"),
        ("mmapsnoop -x", "failed calls, with their errno"),
        ("mmapsnoop --path /usr/lib", "which libraries are mapped, and by whom"),
        ("mmapsnoop --anon --min-size 1M", "large allocations"),
        ("mmapsnoop --wx", "memory that can be written and executed"),
        ("mmapsnoop -a -- ls", "every change that ls makes to its mappings"),
        ("mmapsnoop --summary 10", "who maps most, every ten seconds"),
        ("mmapsnoop --wx --summary 10", "which JIT compilers are at work, in one row each"),
    ],
    rows: "\
PATH/RESULT is the name of the error, if the call failed, and the path of the file, if there is one.",
    notes: &[
        ("asked for ADDRESS", "the address in the arguments, which the kernel did not take"),
        ("was ADDRESS LENGTH", "the mapping before mremap()"),
        ("deleted", "the file is deleted"),
        ("beginning of its path cut", "the path is too long to be shown in full"),
        ("32-bit", "a call by a 32-bit program"),
        ("merged", "with --vma: the mapping goes beyond the request"),
        (
            "executable unasked, readable unasked",
            "with --vma: it may be used in ways not asked for",
        ),
        ("writable and executable, ...", "with --wx: why the call is shown; see the documentation"),
    ],
    usual: &["failed", "path", "min_size", "all", "wx", "summary"],
    exit_status: EXIT_STATUS,
    privileges: &[
        CAPABILITIES,
        "On kernels where trampolines (fexit) do not load, calls come from a tracepoint that the \
         tool looks up in tracefs, which only root may read. Without tracefs it uses another way, \
         which makes every system call of the machine slower. --stacks and --folded name functions of \
         other users' programs only with CAP_SYS_PTRACE, and functions of the kernel only where \
         kernel.kptr_restrict allows it.",
        RUN_AS,
        GROUP,
    ],
    overhead: "\
Less than half a microsecond for each call that is shown, half of that for a call that a filter \
rejects. \
With the backend fexit other system calls pay nothing; with tracepoint every system call of the \
machine takes about a tenth longer, with tp_btf about a quarter. -v names the backend. \
Memory: about 9 MiB.",
    demo: Demo { event: "memory.map", command: "/bin/true", flags: "", object: "" },
    ..Manual::TRACER
};

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<Args, String> {
        let words = std::iter::once("mmapsnoop").chain(flags.split_whitespace());
        Args::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn what_has_no_effect_is_refused() {
        for flags in ["-T", "-t", "-b", "-l", "--vma", "--json"] {
            assert!(parse(&format!("--folded {flags}")).is_err(), "{flags}");
        }
        assert!(parse("--folded --stacks --wx --all").is_ok());
        for flags in ["--anon --path /usr", "--anon --file", "--path usr"] {
            assert!(parse(flags).is_err(), "{flags}");
        }
        assert!(parse("--file --path /usr").is_ok());
    }

    #[test]
    fn protections_may_begin_with_a_hyphen() {
        for (flags, bits) in [("--prot --x", 4), ("--prot -w-", 2), ("--prot=r-x", 5)] {
            assert_eq!(parse(flags).unwrap().prot, Some(bits), "{flags}");
        }
        assert!(parse("--prot --json").is_err());
    }

    #[test]
    fn lengths_have_no_limit() {
        let args = parse("--min-size 0 --max-size 2G --buffer-size 8M").unwrap();
        assert_eq!((args.min_size, args.max_size), (Some(0), Some(2 << 30)));
        assert!(parse("--buffer-size 2G").is_err(), "that of a buffer has one");
    }
}
