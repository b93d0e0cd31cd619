//! The manual of a tool beyond its flags. `--help`, the manual page and the completions come from
//! the same definitions: a tool's flags (its `args` module) and its [`Manual`] beside them.

use std::fmt::Write as _;

use clap::Command;

use crate::output::row::FieldDoc;

/// The texts of a tool's manual. Paragraphs are separated by an empty line; one that is indented by
/// four spaces is printed as it is. `{tool}` stands for the tool's name.
#[derive(Debug)]
pub struct Manual {
    /// What the tool shows, and the use of it
    pub description: &'static str,
    /// Command lines, each with an explanation, or an empty one if none is needed
    pub examples: &'static [(&'static str, &'static str)],
    /// Notes for readers of the rows, if any; `--help` prints them too
    pub rows: &'static str,
    /// Meaning of the exit status; `--help` prints it too
    pub exit_status: &'static str,
    /// Required capabilities and system settings
    pub privileges: &'static [&'static str],
    /// The cost for the machine
    pub overhead: &'static str,
    /// Its columns and keys of JSON, if it has a list of them
    pub fields: Option<fn() -> Vec<FieldDoc>>,
    /// How to see it at work
    pub demo: Demo,
}

/// What a program shows when a command runs: for those who try it, and for the tests.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// `event.name` in JSON
    pub event: &'static str,
    /// A shell command that makes such an event happen
    pub command: &'static str,
    /// Flags that show what the program can do
    pub flags: &'static str,
    /// The lesson of `examples/` that it takes as an argument; empty: none
    pub object: &'static str,
}

/// The exit status of a tool that goes through [`crate::engine::tool::main`].
pub const EXIT_STATUS: &str = "\
0 ended by a signal, --duration, --max-events or a closed pipe; 1 the tool could not do its work; 2 \
wrong usage; with COMMAND, the status of the command.";

/// What every tracer needs. `{tool}` stands for its name.
pub const CAPABILITIES: &str = "\
The tool does not check for root, it tries: CAP_BPF and CAP_PERFMON are enough, and so is root. \
Before Linux 5.11 BPF memory counts as locked memory: ulimit -l unlimited, or CAP_SYS_RESOURCE. \
Without CAP_DAC_READ_SEARCH, a cgroup that is gone before its lookup has no path. Where \
kernel.perf_event_paranoid is 3, --buffer perf needs CAP_SYS_ADMIN.";

/// How to allow a tool to users other than root.
pub const GROUP: &str = "\
No file of the package has capabilities: anybody who may run the tool with them sees what all users \
of the machine do, with the arguments of their commands. To allow the tool to the members of a \
group, give them a copy (and renew the copy when the package is upgraded):

    groupadd --system tracing
    install -o root -g tracing -m 750 /usr/bin/{tool} /usr/local/bin/
    setcap cap_bpf,cap_perfmon+ep /usr/local/bin/{tool}";

/// One manual page, of a program or of one of its subcommands.
pub struct Page {
    /// Name and flags
    pub command: Command,
    /// The rest
    pub manual: Manual,
}

/// Columns of `--help` below the flags.
const WIDTH: usize = 88;

impl Demo {
    /// A command that needs no flags and no object; or none at all.
    pub const NONE: Self = Self { event: "", command: "", flags: "", object: "" };
}

impl Manual {
    /// What is the same for most tracers, to be completed with `..Manual::TRACER`.
    pub const TRACER: Self = Self {
        description: "",
        examples: &[],
        rows: "",
        exit_status: EXIT_STATUS,
        privileges: &[CAPABILITIES, GROUP],
        overhead: "",
        fields: None,
        demo: Demo::NONE,
    };

    /// What `--help` shows below the flags: examples, notes on rows, exit status.
    pub fn after_help(&self) -> String {
        // Descriptions line up in one column, unless the command is too long.
        let lengths = self.examples.iter().filter(|(_, what)| !what.is_empty());
        let column = lengths.map(|(line, _)| line.len()).filter(|&len| len <= 36).max();
        let column = column.unwrap_or(0);
        let mut text = String::from("Examples:\n");
        for (line, what) in self.examples {
            if what.is_empty() {
                let _ = writeln!(text, "  {line}");
            } else if line.len() > column {
                let _ = writeln!(text, "  {line}\n  {:column$}  {what}", "");
            } else {
                let _ = writeln!(text, "  {line:column$}  {what}");
            }
        }
        if !self.rows.is_empty() {
            for paragraph in self.rows.split("\n\n") {
                let _ = write!(text, "\n{}\n", wrapped(paragraph));
            }
        }
        let _ = write!(text, "\n{}", wrapped(&format!("Exit status: {}", self.exit_status)));
        text
    }
}

/// Broken between words into lines of at most [`WIDTH`] columns.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_examples_in_columns() {
        let manual = Manual {
            examples: &[("x", "short"), ("x --long", "long"), ("x | y", "")],
            rows: "A row.\n\nAnother\nrow.",
            exit_status: "0 good.",
            ..Manual::TRACER
        };
        let expected = "Examples:\n  x         short\n  x --long  long\n  x | y\n\nA row.\n\nAnother row.\n\n\
                        Exit status: 0 good.";
        assert_eq!(manual.after_help(), expected);
    }
}
