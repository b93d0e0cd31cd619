//! Secrets in command lines, environments and paths: what outputs show instead of them.
//!
//! There is one policy for the whole run. It is applied where strings come from, and not where they
//! are shown, so that no output can forget it.

mod scan;
mod shapes;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{Captures, Regex};

/// What stands in the place of a secret.
pub const MARK: &[u8] = b"REDACTED";

/// Which strings are secrets.
#[derive(Debug, Default)]
pub struct Policy {
    /// `None`: nothing is redacted
    shapes: Option<Shapes>,
}

#[derive(Debug)]
struct Shapes {
    texts: Vec<Regex>,
    cut: Option<Regex>,
}

/// See [`policy`].
static POLICY: OnceLock<Policy> = OnceLock::new();

/// The policy of this run: until [`install`], that nothing is redacted.
pub fn policy() -> &'static Policy {
    static NONE: Policy = Policy { shapes: None };
    POLICY.get().unwrap_or(&NONE)
}

/// Sets the policy of this run, once, before anything is read.
pub fn install(policy: Policy) {
    let _ = POLICY.set(policy); // there is one command line
}

/// Strings without their secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The same bytes, if there were none
    pub bytes: Cow<'a, [u8]>,
    /// How many were replaced
    pub count: u32,
}

impl<'a> Redacted<'a> {
    fn same(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.into(), count: 0 }
    }
}

impl Policy {
    /// The known shapes of secrets, and what matches these expressions: their first group, or all.
    pub fn new(patterns: &[Regex]) -> Self {
        let known = shapes::TEXTS.iter().filter_map(|shape| Regex::new(shape).ok());
        let texts = known.chain(patterns.iter().cloned()).collect();
        Self { shapes: Some(Shapes { texts, cut: Regex::new(shapes::CUT_TEXT).ok() }) }
    }

    /// Whether anything is redacted.
    pub fn is_on(&self) -> bool {
        self.shapes.is_some()
    }

    /// Any text, such as a path.
    pub fn text<'a>(&self, text: &'a [u8]) -> Redacted<'a> {
        match &self.shapes {
            Some(shapes) => replaced(text, shapes.in_text(text, false)),
            None => Redacted::same(text),
        }
    }

    /// The arguments of a command, each with a NUL; the last one may be cut, and then has none.
    pub fn args<'a>(&self, block: &'a [u8]) -> Redacted<'a> {
        let Some(shapes) = &self.shapes else { return Redacted::same(block) };
        let args = strings(block);
        let is_cut = block.last().is_some_and(|&byte| byte != 0);
        let slices = args.iter().map(|at| block.get(at.clone()).unwrap_or_default());
        let mut places: Vec<_> = scan::scan(slices.zip(begins()))
            .into_iter()
            .filter_map(|(number, at)| Some(moved(at, args.get(number)?.start)))
            .collect();
        for (number, at) in args.iter().enumerate() {
            let arg = block.get(at.clone()).unwrap_or_default();
            let found = shapes.in_value(arg, is_cut && number + 1 == args.len());
            places.extend(found.into_iter().map(|found| moved(found, at.start)));
        }
        replaced(block, places)
    }

    /// The arguments of a command, one by one.
    pub fn words<'a>(&self, words: &[&'a [u8]]) -> Vec<Cow<'a, [u8]>> {
        let block: Vec<u8> = words.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect();
        let redacted = self.args(&block);
        if redacted.count == 0 {
            return words.iter().map(|&word| word.into()).collect();
        }
        let strings = strings(&redacted.bytes).into_iter();
        strings.map(|at| redacted.bytes.get(at).unwrap_or_default().to_vec().into()).collect()
    }

    /// Variables, each with a NUL; the last one may be cut, and then has none.
    pub fn variables<'a>(&self, block: &'a [u8]) -> Redacted<'a> {
        let Some(shapes) = &self.shapes else { return Redacted::same(block) };
        let is_cut = block.last().is_some_and(|&byte| byte != 0);
        let entries = strings(block);
        let mut places = Vec::new();
        for (number, at) in entries.iter().enumerate() {
            let entry = block.get(at.clone()).unwrap_or_default();
            let equals = entry.iter().position(|&byte| byte == b'=');
            let (name, value) = match equals {
                Some(equals) => (entry.get(..equals).unwrap_or_default(), equals + 1),
                None => (&[][..], 0),
            };
            if scan::is_secret_variable(name) {
                places.push(at.start + value..at.end);
                continue;
            }
            let is_cut = is_cut && number + 1 == entries.len();
            let found = shapes.in_value(entry.get(value..).unwrap_or_default(), is_cut);
            places.extend(found.into_iter().map(|found| moved(found, at.start + value)));
        }
        replaced(block, places)
    }
}

impl Shapes {
    /// Secrets in an argument or a value: it may be a script, and have scripts in it.
    fn in_value(&self, value: &[u8], is_cut: bool) -> Vec<Range<usize>> {
        let mut places = self.in_text(value, is_cut);
        in_script(value, 0, SCRIPTS_IN_SCRIPTS, &mut places);
        places
    }

    fn in_text(&self, text: &[u8], is_cut: bool) -> Vec<Range<usize>> {
        let cut = self.cut.iter().filter(|_| is_cut);
        let place = |found: Captures<'_>| {
            let group = found.get(1).or_else(|| found.get(0));
            group.map(|group| group.range()).filter(|at| !at.is_empty())
        };
        let shapes = self.texts.iter().chain(cut);
        shapes.flat_map(|shape| shape.captures_iter(text).filter_map(place)).collect()
    }
}

/// How deep scripts within scripts are looked into.
const SCRIPTS_IN_SCRIPTS: u32 = 4;

/// Appends the places of secrets in a text that may be a script, which begins at `start`.
fn in_script(script: &[u8], start: usize, depth: u32, places: &mut Vec<Range<usize>>) {
    if depth == 0 || !script.iter().any(u8::is_ascii_whitespace) {
        return;
    }
    let words = words::words(script);
    let text = |word: &words::Word| script.get(word.at.clone()).unwrap_or_default();
    let found = scan::scan(words.iter().map(|word| (text(word), word.begins)));
    let place = |(number, at): scan::Found| {
        let word: &words::Word = words.get(number)?;
        Some(moved(at, start + word.at.start))
    };
    places.extend(found.into_iter().filter_map(place));
    for word in words.iter().filter(|word| word.at.len() < script.len()) {
        in_script(text(word), start + word.at.start, depth - 1, places);
    }
}

/// Only the first argument begins a command.
fn begins() -> impl Iterator<Item = bool> {
    std::iter::once(true).chain(std::iter::repeat(false))
}

fn moved(at: Range<usize>, by: usize) -> Range<usize> {
    at.start + by..at.end + by
}

/// The places of strings that end with a NUL each.
fn strings(block: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut places = Vec::new();
    for part in block.split_inclusive(|&byte| byte == 0) {
        let len = part.strip_suffix(b"\0").unwrap_or(part).len();
        places.push(start..start + len);
        start += part.len();
    }
    places
}

/// The bytes with a mark at these places, each counted once. What is a mark already stays.
fn replaced(bytes: &[u8], mut places: Vec<Range<usize>>) -> Redacted<'_> {
    places.retain(|at| bytes.get(at.clone()).is_some_and(|old| !old.is_empty() && !is_mark(old)));
    if places.is_empty() {
        return Redacted::same(bytes);
    }
    places.sort_by_key(|at| (at.start, at.end));
    let mut new = Vec::with_capacity(bytes.len());
    let (mut end, mut count) = (0, 0);
    for at in places {
        if at.start >= end {
            new.extend_from_slice(bytes.get(end..at.start).unwrap_or_default());
            new.extend_from_slice(MARK);
            count += 1;
        }
        end = end.max(at.end);
    }
    new.extend_from_slice(bytes.get(end..).unwrap_or_default());
    Redacted { bytes: new.into(), count }
}

/// Whether this is a mark, also one in quotes or with the word of an Authorization header before it.
fn is_mark(bytes: &[u8]) -> bool {
    let bare = bytes.strip_prefix(b"'").and_then(|inner| inner.strip_suffix(b"'"));
    bare.unwrap_or(bytes) == MARK
}
