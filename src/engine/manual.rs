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
    /// Explanations for readers of the rows, if any; `--help` prints them too
    pub rows: &'static str,
    /// Notes behind the `#` of a row, each with its meaning; `--help` prints them too
    pub notes: &'static [(&'static str, &'static str)],
    /// The tool's own flags that `-h` shows, by their ids; empty: all of them
    pub usual: &'static [&'static str],
    /// Meaning of the exit status; `--help` prints it too
    pub exit_status: &'static str,
    /// Required capabilities and system settings
    pub privileges: &'static [&'static str],
    /// The cost for the machine
    pub overhead: &'static str,
    /// Columns and keys of JSON, if the tool has a list of them
    pub fields: Option<fn() -> Vec<FieldDoc>>,
    /// A demonstration of the tool
    pub demo: Demo,
}

/// A command whose events a program shows: for people who try the tool, and for the tests.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// `event.name` in JSON
    pub event: &'static str,
    /// A shell command that causes such an event
    pub command: &'static str,
    /// Flags for an impressive demonstration
    pub flags: &'static str,
    /// The lesson of `examples/` to pass as an argument; empty: none
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

/// Who COMMAND is.
pub const RUN_AS: &str = "\
COMMAND has the rights of the tool: under sudo it runs as root. --run-as \"$SUDO_USER\" -- COMMAND runs \
it as the caller of sudo, with that user's groups and without capabilities; the tool keeps its own \
rights.";

/// One manual page, of a program or of one of its subcommands.
pub struct Page {
    /// Name and flags
    pub command: Command,
    /// The rest
    pub manual: Manual,
    /// Values for completions of the flag with this id, if the program has some of its own
    pub values: fn(&str, &Given<'_>) -> Option<Vec<Candidate>>,
}

/// A candidate for completions, and what it is.
pub type Candidate = (String, String);

/// What a command line has before the word that is completed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given<'a> {
    /// Words that are neither flags nor their values
    pub words: Vec<&'a str>,
    /// Values of flags, by the ids of the flags
    pub values: Vec<(&'a str, &'a str)>,
}

impl Demo {
    /// A command that needs no flags and no object; or none at all.
    pub const NONE: Self = Self { event: "", command: "", flags: "", object: "" };
}

impl Manual {
    /// Defaults for tracers, for use as `..Manual::TRACER`.
    pub const TRACER: Self = Self {
        description: "",
        examples: &[],
        rows: "",
        notes: &[],
        usual: &[],
        exit_status: EXIT_STATUS,
        privileges: &[CAPABILITIES, RUN_AS, GROUP],
        overhead: "",
        fields: None,
        demo: Demo::NONE,
    };

    /// The part of `--help` below the flags: examples, the rows, their notes, columns, keys of JSON
    /// and the exit status, in lines of at most `width` columns.
    pub fn after_help(&self, width: usize) -> String {
        let mut text = String::from("Examples:\n");
        push_list(&mut text, self.examples.iter().copied(), width);
        for paragraph in self.rows.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            text.push('\n');
            push_wrapped(&mut text, paragraph, 0, width);
        }
        if !self.notes.is_empty() {
            text.push_str("\nNotes behind #:\n");
            push_list(&mut text, self.notes.iter().copied(), width);
        }
        if let Some(fields) = self.fields {
            let fields = fields();
            text.push_str("\nColumns, for -o too:\n");
            let columns = fields.iter().filter(|field| !field.title.is_empty());
            push_list(&mut text, columns.map(|field| (field.title, field.about)), width);
            text.push_str("\nKeys of --json:\n");
            let keys = fields.iter().filter(|field| !field.key.is_empty());
            push_list(&mut text, keys.map(|field| (field.key, field.about)), width);
        }
        text.push('\n');
        push_wrapped(&mut text, &format!("Exit status: {}", self.exit_status), 0, width);
        text.truncate(text.trim_end().len());
        text
    }
}

/// The widest name that the explanations of a list stand beside; behind a longer one they begin on
/// the next line.
const WIDEST_NAME: usize = 36;

/// Appends a list of names, each with its explanation in a second column, if it has one.
fn push_list<'a>(
    text: &mut String,
    list: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    width: usize,
) {
    let lengths = list.clone().filter(|(_, what)| !what.is_empty()).map(|(name, _)| name.len());
    // On a narrow terminal, half of it is for explanations.
    let most = WIDEST_NAME.min(width / 2);
    let column = lengths.filter(|&len| len <= most).max().unwrap_or(0);
    for (name, what) in list {
        let _ = write!(text, "  {name}");
        if what.is_empty() {
            text.push('\n');
            continue;
        }
        if name.len() > column {
            let _ = write!(text, "\n  {:column$}", "");
        } else {
            let _ = write!(text, "{:1$}", "", column - name.len());
        }
        text.push_str("  ");
        push_wrapped(text, what, column + 4, width);
    }
}

/// Appends words in lines of at most `width` columns and a newline. The first line has begun, and
/// is `indent` columns long; all others are indented by so much.
fn push_wrapped(text: &mut String, words: &str, indent: usize, width: usize) {
    let mut column = indent;
    for word in words.split_whitespace() {
        let len = word.chars().count();
        if column > indent && column + 1 + len > width {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += len;
    }
    text.push('\n');
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
        assert_eq!(manual.after_help(80), expected);
    }

    #[test]
    fn lists_have_hanging_indents_and_nothing_is_wider() {
        let manual = Manual {
            examples: &[("x", "")],
            notes: &[
                ("short", "so many words that they need a second line"),
                ("a note of so many words", "that the explanation is below"),
            ],
            exit_status: "0 good.",
            ..Manual::TRACER
        };
        let expected = "Examples:\n  x\n\nNotes behind #:\n  short  so many words that they\n\
                        \u{20}        need a second line\n  a note of so many words\n         \
                        that the explanation is\n         below\n\nExit status: 0 good.";
        assert_eq!(manual.after_help(32), expected);
    }
}
