//! The environment of an execution: which of its variables are shown, and in which form.

use std::collections::HashSet;
use std::os::unix::ffi::OsStringExt as _;

use super::{Args, Exec};
use crate::output::escape::{Quote, push_shell_word};
use crate::skel::exec_flag;

/// `--cwd` and `--env`, for tools that show executions.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Asked {
    /// Show the working directory of the program that runs
    #[arg(long)]
    pub cwd: bool,

    /// Show the environment of the program that runs, or only these variables of it; with COMMAND
    /// and without names only what differs from this tool's own
    #[arg(
        long,
        value_name = "NAME,...",
        num_args = 0..,
        require_equals = true,
        value_delimiter = ',',
        value_parser = name
    )]
    pub env: Option<Vec<String>>,
}

/// The name of a variable.
fn name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains('=') {
        true => Err("the name of a variable has no = and is not empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// Which variables are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Variables {
    /// Each one
    #[default]
    All,
    /// Those with these names
    Named(Vec<Vec<u8>>),
    /// Those that are not among these entries, `NAME=VALUE`
    But(HashSet<Vec<u8>>),
}

impl Asked {
    /// Whether anything is asked for.
    pub fn is_any(&self) -> bool {
        self.cwd || self.env.is_some()
    }

    /// Which variables to show. `of_command`: all that runs descends from this tool.
    pub fn variables(&self, of_command: bool) -> Variables {
        match self.env.as_deref() {
            Some([_, ..]) => {
                let names = self.env.iter().flatten();
                Variables::Named(names.map(|name| name.clone().into_bytes()).collect())
            }
            Some([]) if of_command => Variables::But(own().collect()),
            _ => Variables::All,
        }
    }
}

/// The entries of this tool's own environment.
fn own() -> impl Iterator<Item = Vec<u8>> {
    let pairs = std::env::vars_os();
    pairs.map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='))
}

/// The name and the value of an entry; `None`: it has no `=`.
pub fn split(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = entry.iter().position(|&byte| byte == b'=')?;
    Some((entry.get(..at)?, entry.get(at + 1..)?))
}

impl Variables {
    /// Whether this entry is shown.
    fn has(&self, entry: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => {
                split(entry).is_some_and(|(name, _)| names.iter().any(|wanted| wanted == name))
            }
            Self::But(own) => !own.contains(entry),
        }
    }

    /// The shown entries of a block in which each ends with a NUL.
    pub fn of<'a>(&'a self, block: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        Args::new(block).filter(|entry| self.has(entry))
    }

    /// Whether some entries are not shown.
    pub fn leaves_out(&self, exec: &Exec<'_>) -> bool {
        let all = || Args::new(exec.env).count();
        exec.is(exec_flag::EXEC_ENV_PART)
            || (*self != Self::All && self.of(exec.env).count() < all())
    }

    /// The shown entries in two parts.
    pub fn parts<'a>(&'a self, block: &'a [u8]) -> Parts<'a> {
        let mut parts = Parts::default();
        let mut names = HashSet::new();
        for entry in self.of(block) {
            let text = std::str::from_utf8(entry).ok();
            match text.and_then(|text| text.split_once('=')) {
                Some((name, value)) if names.insert(name) => parts.regular.push((name, value)),
                _ => parts.irregular.push(entry),
            }
        }
        parts
    }
}

/// Entries of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Names and values that are text, each name once: what `getenv()` finds
    pub regular: Vec<(&'a str, &'a str)>,
    /// The others: without `=`, not UTF-8, or with a name that was there before
    pub irregular: Vec<&'a [u8]>,
}

impl Parts<'_> {
    /// As a shell takes them in front of a command line, with a space behind them; through env(1) if
    /// a shell would not take them for variables. Empty if there are none.
    pub fn before_command(&self, quote: Quote) -> String {
        let is_plain =
            self.irregular.is_empty() && self.regular.iter().all(|(name, _)| is_word(name));
        let mut text = if is_plain { String::new() } else { "env ".to_owned() };
        for (name, value) in &self.regular {
            if is_plain {
                text.push_str(name);
                text.push('=');
                if !value.is_empty() {
                    push_shell_word(&mut text, value.as_bytes(), false, quote);
                }
            } else {
                push_shell_word(&mut text, format!("{name}={value}").as_bytes(), false, quote);
            }
            text.push(' ');
        }
        for entry in &self.irregular {
            push_shell_word(&mut text, entry, false, quote);
            text.push(' ');
        }
        text
    }
}

/// Whether a shell can have a variable of this name.
fn is_word(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

impl Exec<'_> {
    /// Whether the environment is known, as far as it was not cut.
    pub fn has_env(&self) -> bool {
        self.is(exec_flag::EXEC_ENV) && !self.is(exec_flag::EXEC_ENV_FAULT)
    }

    /// Bytes of the environment that are missing, with NULs.
    pub fn env_cut(&self) -> Option<u32> {
        let missing = self.event.env_total.saturating_sub(self.event.env_len);
        (self.has_env() && missing > 0).then_some(missing)
    }

    /// Notes on the environment and the working directory.
    pub(super) fn place_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is(exec_flag::EXEC_CWD_CUT) {
            notes.push("beginning of its directory cut".to_owned());
        }
        if self.is(exec_flag::EXEC_CWD_DELETED) {
            notes.push("directory deleted".to_owned());
        }
        if self.is(exec_flag::EXEC_ENV_FAULT) {
            notes.push("environment unreadable".to_owned());
        }
        if let Some(bytes) = self.env_cut() {
            let bytes = crate::output::table::count(bytes.into(), "byte");
            notes.push(format!("cut: {bytes} of the environment not shown"));
        }
        notes.extend(redacted_note(self.event.redacted));
        notes
    }
}

/// The note on secrets that are not shown.
pub fn redacted_note(secrets: u16) -> Option<String> {
    (secrets > 0)
        .then(|| format!("redacted: {}", crate::output::table::count(secrets.into(), "secret")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] = b"A=1\0B=x y\0A=2\0nothing\0=empty\0C=\xff\0a-b=3\0D=\0";

    fn asked(names: &[&str]) -> Asked {
        let env = Some(names.iter().map(|&name| name.to_owned()).collect());
        Asked { cwd: false, env }
    }

    #[test]
    fn what_a_flag_asks_for() {
        let all = |variables: &Variables| variables.of(BLOCK).count();
        assert_eq!(all(&asked(&[]).variables(false)), 8);
        let named = asked(&["A", "nothing", "D"]).variables(true);
        let shown: Vec<_> = named.of(BLOCK).collect();
        assert_eq!(shown, [&b"A=1"[..], b"A=2", b"D="], "a name without = is no variable");
        let path = [b"PATH=", std::env::var("PATH").unwrap().as_bytes()].concat();
        let changed = asked(&[]).variables(true);
        let block = [&path[..], b"\0PATH=/other\0"].concat();
        assert_eq!(changed.of(&block).collect::<Vec<_>>(), [b"PATH=/other"]);
    }

    #[test]
    fn entries_that_no_object_can_hold() {
        let parts = Variables::All.parts(BLOCK);
        let regular = [("A", "1"), ("B", "x y"), ("", "empty"), ("a-b", "3"), ("D", "")];
        assert_eq!(parts.regular, regular);
        assert_eq!(parts.irregular, [&b"A=2"[..], b"nothing", b"C=\xff"]);
    }

    #[test]
    fn in_front_of_a_command() {
        let shown = |block: &[u8]| Variables::All.parts(block).before_command(Quote::WhereNeeded);
        assert_eq!(shown(b""), "");
        assert_eq!(shown(b"A=1\0B=x y\0C=\0_d=a=b\0"), "A=1 B='x y' C= _d=a=b ");
        assert_eq!(shown(b"A=1\0a-b=2 3\0"), "env A=1 'a-b=2 3' ");
        assert_eq!(shown(b"x\0A=\n\0"), r"env $'A=\n' x ");
    }
}
