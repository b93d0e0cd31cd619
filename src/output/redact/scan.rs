//! Finds the secrets among the words of a command.

use std::ops::Range;

use super::shapes::{
    ASKING, CURL_SWITCHES, EXECUTORS, FLAGS, Form, OF_PROGRAMS, Part, STARTERS, VARIABLE_ENDS,
    VARIABLE_WORDS, VARIABLES, WRAPPERS,
};

/// A secret: the number of its word, and its place in the word.
pub(super) type Found = (usize, Range<usize>);

/// The program that a word belongs to.
#[derive(Clone, Copy, Debug, Default)]
struct Program<'a> {
    name: &'a [u8],
    /// It runs a program that it names
    is_wrapper: bool,
}

/// Finds secrets by flags and names. `words`: each with whether a command begins there.
pub(super) fn scan<'a>(words: impl Iterator<Item = (&'a [u8], bool)>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut program = Program::default();
    let mut is_awaited = true;
    let mut next: Option<Part> = None;
    for (number, (word, begins)) in words.enumerate() {
        if begins {
            (is_awaited, next) = (true, None);
        }
        if let Some(part) = next.take().filter(|_| !word.starts_with(b"-")) {
            found.extend(secret(part, word, 0..word.len()).map(|at| (number, at)));
            continue;
        }
        if let Some(at) = assigned(word) {
            found.push((number, at));
            continue;
        }
        if is_awaited {
            if !is_assignment(word) {
                (program, is_awaited) = (Program::of(word), false);
            }
            continue;
        }
        if !word.starts_with(b"-") {
            program.meets(word);
            continue;
        }
        match flag(program.name, word) {
            Flag::Has(at) => found.push((number, at)),
            Flag::Next(part) => next = Some(part),
            Flag::Other => {}
        }
    }
    found
}

impl<'a> Program<'a> {
    fn of(word: &'a [u8]) -> Self {
        let name = word.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let name = name.strip_prefix(b"-").unwrap_or(name);
        Self { name, is_wrapper: is_one_of(name, &WRAPPERS) }
    }

    /// A word behind the program that is no flag.
    fn meets(&mut self, word: &'a [u8]) {
        if is_one_of(self.name, &STARTERS) {
            *self = Self::of(word);
            return;
        }
        if is_one_of(self.name, &EXECUTORS) && word == b"exec" {
            self.is_wrapper = true;
        }
        if self.is_wrapper {
            let other = Self::of(word);
            let is_known = OF_PROGRAMS.iter().any(|row| is_one_of(other.name, row.programs));
            let asks = ASKING.iter().any(|programs| is_one_of(other.name, programs));
            if is_known || asks || other.is_wrapper {
                *self = other;
            }
        }
    }
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| known.as_bytes() == name)
}

/// What a flag says.
enum Flag {
    /// The secret is there
    Has(Range<usize>),
    /// The next word has it
    Next(Part),
    Other,
}

fn flag(program: &[u8], word: &[u8]) -> Flag {
    let rows = OF_PROGRAMS.iter().filter(|row| is_one_of(program, row.programs));
    for row in rows {
        let Some(rest) = word.strip_prefix(row.flag.as_bytes()) else { continue };
        if rest.is_empty() {
            return if row.form == Form::Either { Flag::Next(row.part) } else { Flag::Other };
        }
        let mut start = row.flag.len();
        if row.flag.starts_with("--") {
            if !rest.starts_with(b"=") {
                continue;
            }
            start += 1;
        }
        return secret(row.part, word, start..word.len()).map_or(Flag::Other, Flag::Has);
    }
    if program == b"curl" && has_user_last(word) {
        return Flag::Next(Part::Password);
    }
    let value = word.iter().position(|&byte| byte == b'=');
    let name = word.get(..value.unwrap_or(word.len())).unwrap_or_default();
    if !is_secret_flag(name) {
        return Flag::Other;
    }
    match value {
        Some(at) => secret(Part::Whole, word, at + 1..word.len()).map_or(Flag::Other, Flag::Has),
        None if ASKING.iter().any(|programs| is_one_of(program, programs)) => Flag::Other,
        None => Flag::Next(Part::Whole),
    }
}

/// `-sSu`
fn has_user_last(word: &[u8]) -> bool {
    match word {
        [b'-', switches @ .., b'u' | b'U'] => {
            switches.iter().all(|switch| CURL_SWITCHES.as_bytes().contains(switch))
        }
        _ => false,
    }
}

/// The part of a value that is secret; `None`: there is none.
fn secret(part: Part, word: &[u8], value: Range<usize>) -> Option<Range<usize>> {
    let start = match part {
        Part::Whole => value.start,
        Part::Password => {
            let behind = word.get(value.clone())?.iter().position(|&byte| byte == b':')?;
            value.start + behind + 1
        }
    };
    (start < value.end).then_some(start..value.end)
}

/// Whether this flag, with its dashes and without a value, has a secret as its value.
fn is_secret_flag(flag: &[u8]) -> bool {
    let Some(name) = std::str::from_utf8(flag).ok().map(|flag| flag.trim_start_matches('-')) else {
        return false;
    };
    // A cluster of letters, such as -pass of -p -a -s -s, is no name if it has a single letter.
    if name.len() < 4 {
        return false;
    }
    let name = in_parts(name);
    if name.starts_with("no-") {
        return false;
    }
    FLAGS.iter().any(|secret| {
        let before = name.strip_suffix(secret);
        before.is_some_and(|before| before.is_empty() || before.ends_with(['-', '.']))
    })
}

/// `client-secret` of `clientSecret` and of `client_secret`.
fn in_parts(name: &str) -> String {
    let mut parts = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && was_lower {
            parts.push('-');
        }
        was_lower = c.is_ascii_lowercase();
        parts.push(if c == '_' { '-' } else { c.to_ascii_lowercase() });
    }
    parts
}

/// `NAME=`
fn name_of(word: &[u8]) -> Option<&[u8]> {
    let at = word.iter().position(|&byte| byte == b'=')?;
    let name = word.get(..at)?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.iter().all(|&byte| is_letter(byte))).then_some(name)
}

fn is_assignment(word: &[u8]) -> bool {
    name_of(word).is_some()
}

/// The value of `DB_PASSWORD=…` as an argument: capitals only, since `key=2` may mean anything.
fn assigned(word: &[u8]) -> Option<Range<usize>> {
    let name = name_of(word)?;
    let is_capital = !name.iter().any(u8::is_ascii_lowercase);
    let value = name.len() + 1..word.len();
    (is_capital && is_secret_variable(name) && !value.is_empty()).then_some(value)
}

/// Whether a variable of this name has a secret as its value.
pub(super) fn is_secret_variable(name: &[u8]) -> bool {
    let name = name.to_ascii_uppercase();
    let ends = |end: &&str| name.ends_with(end.as_bytes());
    let ends_with_word = |end: &&str| {
        name.strip_suffix(end.as_bytes())
            .is_some_and(|before| before.last().is_none_or(|&byte| !byte.is_ascii_alphanumeric()))
    };
    is_one_of(&name, &VARIABLES)
        || VARIABLE_ENDS.iter().any(ends)
        || VARIABLE_WORDS.iter().any(ends_with_word)
}
