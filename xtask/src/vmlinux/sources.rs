//! What the sources of BPF programs name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Folders with BPF programs and their headers.
const FOLDERS: [&str; 4] = ["src/bpf", "examples", "tests/fixtures/bpf", "tests/elf/sources"];

/// libbpf's header that names registers of all architectures. Its other headers declare what they
/// use, but for [`PLAIN`].
const REGISTERS: &str = "bpf_tracing.h";

/// Types that libbpf's headers use.
const PLAIN: [&str; 20] = [
    "__u8", "__u16", "__u32", "__u64", "__s8", "__s16", "__s32", "__s64", "__be16", "__be32",
    "__wsum", "__sum16", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64",
];

/// The names in sources.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// All words
    words: BTreeSet<String>,
    /// Beginnings and ends to which the preprocessor adds another word: `A##b`
    beginnings: BTreeSet<String>,
    ends: BTreeSet<String>,
    /// Values of enums that the sources define
    own_values: BTreeSet<String>,
    /// Structs of which there are variables, so that their size and all members count
    pub(super) whole: BTreeSet<String>,
}

impl Names {
    /// Those in the project's sources.
    pub(super) fn of_project(root: &Path) -> Result<Self> {
        let mut names = Self::default();
        for folder in FOLDERS {
            for file in files_in(&root.join(folder))? {
                let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
                names.add(&text);
            }
        }
        let headers = libbpf_sys::API_HEADERS.iter();
        let registers = headers.copied().find(|(name, _)| *name == REGISTERS);
        names.add(registers.context("libbpf's header of registers")?.1);
        names.words.extend(PLAIN.map(str::to_owned));
        Ok(names)
    }

    /// Whether the sources name it, or have the parts to name it.
    pub(super) fn has(&self, word: &str) -> bool {
        let is_word = |rest: Option<&str>| rest.is_some_and(|rest| self.words.contains(rest));
        self.words.contains(word)
            || self.beginnings.iter().any(|part| is_word(word.strip_prefix(&**part)))
            || self.ends.iter().any(|part| is_word(word.strip_suffix(&**part)))
    }

    /// Whether the sources name it as a value of one of the kernel's enums.
    pub(super) fn has_value(&self, word: &str) -> bool {
        self.has(word) && !self.own_values.contains(word)
    }

    pub(super) fn add(&mut self, text: &str) {
        let text = without_comments(text);
        self.add_own_values(&text);
        let words: Vec<_> = words(&text).collect();
        for (at, &(begin, word)) in words.iter().enumerate() {
            self.words.insert(word.to_owned());
            if text[begin + word.len()..].starts_with("##") {
                self.beginnings.insert(word.to_owned());
            }
            if text[..begin].ends_with("##") {
                self.ends.insert(word.to_owned());
            }
            if word != "struct" {
                continue;
            }
            let Some(&(start, name)) = words.get(at + 1) else { continue };
            let before = text[..begin].trim_end();
            let behind = text[start + name.len()..].trim_start();
            // sizeof(struct NAME), __type(value, struct NAME), struct NAME variable
            let is_size = before.ends_with("sizeof(");
            let is_value = before.ends_with("__type(value,") || before.ends_with("__type(key,");
            let is_variable = behind.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && !behind.starts_with("SEC(");
            if is_variable || (behind.starts_with(')') && (is_size || is_value)) {
                self.whole.insert(name.to_owned());
            }
        }
    }

    /// `enum NAME { A, B = 1 }`
    fn add_own_values(&mut self, text: &str) {
        for (start, word) in words(text).filter(|(_, word)| *word == "enum") {
            let Some((name, rest)) = text[start + word.len()..].split_once('{') else { continue };
            if !name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            let body = rest.split('}').next().unwrap_or_default();
            let values = body.split(',').filter_map(|value| words(value).next());
            self.own_values.extend(values.map(|(_, name)| name.to_owned()));
        }
    }
}

/// Files with C in a folder and below.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else if path.extension().is_some_and(|kind| kind == "c" || kind == "h") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The same text with blanks in place of comments.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, comment) = rest.split_at(at);
        out.push_str(before);
        let end = match comment.as_bytes().get(1) {
            Some(b'*') => comment.find("*/").map_or(comment.len(), |end| end + 2),
            Some(b'/') => comment.find('\n').unwrap_or(comment.len()),
            _ => {
                out.push('/');
                1
            }
        };
        out.push(' ');
        rest = comment.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The words of C, and their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_part)?;
        let len = text[start..].find(|c| !is_part(c)).unwrap_or(text.len() - start);
        at = start + len;
        Some((start, &text[start..at]))
    })
    .filter(|(_, word)| !word.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_code_and_not_of_comments() {
        let mut names = Names::default();
        names.add("/* comment */ a->b // other\n + c / d 0x7f \"e\"");
        assert_eq!(Vec::from_iter(&names.words), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn names_of_parts() {
        let mut names = Names::default();
        names.add("BEGIN_##name ## x##_end WORD");
        for (word, is_there) in
            [("BEGIN_WORD", true), ("WORD_end", true), ("BEGIN_", true), ("BEGIN_OTHER", false)]
        {
            assert_eq!(names.has(word), is_there, "{word}");
        }
    }

    #[test]
    fn values_of_their_own() {
        let mut names = Names::default();
        names.add(
            "enum a { OFF, ON = NR_ON, }; enum b x = KERNELS; enum { LAST } f(enum c d) { ON; }",
        );
        assert_eq!(Vec::from_iter(&names.own_values), ["LAST", "OFF", "ON"]);
        assert!(names.has("OFF") && !names.has_value("OFF") && names.has_value("KERNELS"));
    }

    #[test]
    fn structs_that_are_whole() {
        let mut names = Names::default();
        names.add(
            "struct a x; struct b *y; sizeof(struct c); __type(value, struct d) f(struct e, g)",
        );
        assert_eq!(Vec::from_iter(&names.whole), ["a", "c", "d"]);
    }
}
