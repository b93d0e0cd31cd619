//! `--stacks`: names for the return addresses of a caller's stacks, and `--folded`: how often
//! each stack was seen, in the form that flame graphs are made of.

use std::collections::HashMap;

use blazesym::Pid;
use blazesym::symbolize::source::{Kernel, Process, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::json::StacksJson;
use super::{Call, Frames};
use crate::escape::push_cell;
use crate::proc::is_process;

/// Different stacks that `--folded` tells apart.
const STACKS: usize = 100_000;

/// Looks up names. Nothing about a process is remembered: it may have executed another program
/// when it calls next.
pub struct Symbols {
    symbolizer: Symbolizer,
}

impl Default for Symbols {
    fn default() -> Self {
        Self { symbolizer: Symbolizer::builder().enable_code_info(false).build() }
    }
}

impl Symbols {
    /// The stacks of `call`, innermost function first. An address without a name, above all
    /// of a process that has ended, stays an address.
    pub fn stacks(&self, call: &Call<'_>) -> StacksJson {
        let kernel = Source::Kernel(Kernel::default());
        let (pid, start_ns) = (call.id.pid, call.id.start_ns);
        let process =
            is_process(pid, start_ns).then(|| Source::Process(Process::new(Pid::from(pid))));
        // First what will be gone when the process is.
        let user = self.names(process.as_ref(), call.user_stack);
        StacksJson { kernel: self.names(Some(&kernel), call.kernel_stack), user }
    }

    fn names(&self, source: Option<&Source<'_>>, frames: Frames<'_>) -> Vec<String> {
        let addresses: Vec<u64> = frames.iter().collect();
        if addresses.is_empty() {
            return Vec::new();
        }
        let symbols =
            source.and_then(|s| self.symbolizer.symbolize(s, Input::AbsAddr(&addresses)).ok());
        let name = |(at, address): (usize, &u64)| match symbols
            .as_ref()
            .and_then(|symbols| symbols.get(at))
        {
            Some(Symbolized::Sym(symbol)) => symbol.name.clone().into_owned(),
            _ => format!("{address:#x}"),
        };
        addresses.iter().enumerate().map(name).collect()
    }
}

/// Frames below a row of text.
pub fn text(stacks: &StacksJson) -> Vec<u8> {
    let mut out = String::new();
    let kernel = stacks.kernel.iter().map(|name| (name, " [k]"));
    for (name, mark) in kernel.chain(stacks.user.iter().map(|name| (name, ""))) {
        out.push_str("        ");
        push_words(&mut out, name);
        out.push_str(mark);
        out.push('\n');
    }
    out.into_bytes()
}

/// A name that may have blanks, made safe.
fn push_words(out: &mut String, name: &str) {
    for (at, word) in name.split(' ').enumerate() {
        if at > 0 {
            out.push(' ');
        }
        if !word.is_empty() {
            push_cell(out, word.as_bytes());
        }
    }
}

/// How often each stack was seen.
#[derive(Debug, Default)]
pub struct Folded {
    counts: HashMap<String, u64>,
    others: u64,
}

impl Folded {
    /// Counts one call.
    pub fn add(&mut self, comm: &[u8], stacks: &StacksJson) {
        let mut key = String::new();
        push_words(&mut key, &String::from_utf8_lossy(comm));
        let user = stacks.user.iter().rev().map(|name| (name, ""));
        for (name, mark) in user.chain(stacks.kernel.iter().rev().map(|name| (name, "_[k]"))) {
            key.push(';');
            push_words(&mut key, &name.replace(';', ":"));
            key.push_str(mark);
        }
        if self.counts.len() < STACKS || self.counts.contains_key(&key) {
            *self.counts.entry(key).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// A line for each stack, `COMM;OUTERMOST;...;INNERMOST COUNT`, in their order.
    pub fn lines(&self) -> Vec<u8> {
        let mut lines: Vec<_> = self.counts.iter().collect();
        lines.sort();
        let mut out = String::new();
        for (stack, count) in lines {
            out.push_str(&format!("{stack} {count}\n"));
        }
        if self.others > 0 {
            out.push_str(&format!("(others) {}\n", self.others));
        }
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks(user: &[&str], kernel: &[&str]) -> StacksJson {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        StacksJson { kernel: own(kernel), user: own(user) }
    }

    #[test]
    fn folded_lines() {
        let mut folded = Folded::default();
        folded.add(b"a b", &stacks(&["inner", "main"], &["sys;call"]));
        folded.add(b"a b", &stacks(&["inner", "main"], &["sys;call"]));
        folded.add(b"x\n", &stacks(&["operator new(unsigned long)"], &[]));
        let expected = "a b;main;inner;sys:call_[k] 2\nx\\n;operator new(unsigned long) 1\n";
        assert_eq!(String::from_utf8(folded.lines()).unwrap(), expected);
    }

    #[test]
    fn frames_are_safe_for_a_terminal() {
        let shown = text(&stacks(&["a\x1b[2Jb"], &["k"]));
        assert_eq!(String::from_utf8(shown).unwrap(), "        k [k]\n        a\\033[2Jb\n");
    }

    #[test]
    fn a_number_alone_is_no_process() {
        let me = std::process::id();
        assert!(!is_process(me, 0), "nobody was born when the machine was");
        assert!(!is_process(u32::MAX, 0));
    }

    #[inline(never)]
    fn here() -> u64 {
        here as *const () as u64 + 1
    }

    #[test]
    fn our_own_functions_have_names() {
        let bytes = here().to_ne_bytes();
        let source = Source::Process(Process::new(Pid::Slf));
        let names = Symbols::default().names(Some(&source), Frames { bytes: &bytes });
        assert!(names[0].contains("here"), "{names:?}");
    }
}
