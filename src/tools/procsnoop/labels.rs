//! Labels that tell processes apart: of a command, the words in which it differs from the others of
//! the same program. `cc1 … parser.c`, and not a hundred times `cc1 -quiet -imultiarch`.

use std::collections::HashMap;

use super::history::{History, Past};
use super::words::Word;
use crate::output::escape::{Quote, push_shell_word};

/// The most words of a label beside the program, of which none alone tells the command from all
/// others.
const MOST_WORDS: usize = 3;

/// The most folders of a path to show.
const MOST_FOLDERS: usize = 3;

/// Options whose value is a file that is written: named after the one that is read.
const OUTPUTS: [&[u8]; 12] = [
    b"-o",
    b"-MF",
    b"-MT",
    b"-MQ",
    b"-MJ",
    b"-dumpbase",
    b"-dumpbase-ext",
    b"-dumpdir",
    b"-auxbase-strip",
    b"--output",
    b"--out-dir",
    b"-main-file-name",
];

/// How much a word says, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Operand,
    Output,
    Option,
    /// A temporary file, or a number that nobody chose
    Random,
}

/// The labels of all processes of a history.
#[derive(Debug)]
pub struct Labels<'a> {
    history: &'a History,
    /// How many commands there are of each program
    programs: HashMap<&'a [u8], u32>,
    /// In how many of a program's commands each word is
    words: HashMap<(&'a [u8], Word), u32>,
    /// In how many of them a word ends with these components of a path
    paths: HashMap<(&'a [u8], &'a [u8]), u32>,
}

/// The last component of a path.
fn base(word: &[u8]) -> &[u8] {
    ending(word, 1)
}

/// The last components of a path.
fn ending(word: &[u8], components: usize) -> &[u8] {
    let slashes = word.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    // One at the end is part of the last component.
    let mut slashes = slashes.filter(|(at, _)| at + 1 < word.len());
    match slashes.nth(components - 1) {
        Some((at, _)) => word.get(at + 1..).unwrap_or(word),
        None => word,
    }
}

/// Whether nobody chose the word, and so nobody knows it: a temporary file, a hash.
fn is_random(word: &[u8]) -> bool {
    if word.starts_with(b"/tmp/") || word.starts_with(b"/proc/") || word.starts_with(b"/dev/fd/") {
        return true;
    }
    let name = base(word);
    // Of gcc: ccAbCdEf.s
    let temporary = name.strip_prefix(b"cc").and_then(|rest| rest.split_at_checked(6));
    if temporary.is_some_and(|(random, rest)| {
        let is_word = random.iter().all(u8::is_ascii_lowercase);
        let is_name = random.iter().all(u8::is_ascii_alphanumeric) && !is_word;
        is_name && rest.starts_with(b".") && rest.len() <= 4
    }) {
        return true;
    }
    let mut runs = name.split(|byte| !byte.is_ascii_hexdigit());
    runs.any(|run| run.len() >= 8 && run.iter().any(u8::is_ascii_digit))
}

impl<'a> Labels<'a> {
    /// Compares all commands.
    pub fn new(history: &'a History) -> Self {
        let mut labels = Self {
            history,
            programs: HashMap::new(),
            words: HashMap::new(),
            paths: HashMap::new(),
        };
        let mut own = Vec::new();
        for past in history.processes() {
            let Some((program, args)) = labels.parts(past) else { continue };
            *labels.programs.entry(program).or_default() += 1;
            own.clear();
            own.extend_from_slice(args);
            own.sort_unstable();
            own.dedup();
            for &word in &own {
                *labels.words.entry((program, word)).or_default() += 1;
            }
        }
        let mut endings = Vec::new();
        for past in history.processes() {
            let Some((program, args)) = labels.parts(past) else { continue };
            endings.clear();
            let commands = labels.programs.get(program).copied().unwrap_or(1);
            let differs = |word: &Word| labels.commands_with(program, *word) < commands;
            for text in args.iter().filter(|word| differs(word)).map(|&word| history.word(word)) {
                endings.extend((1..=MOST_FOLDERS).map(|components| ending(text, components)));
            }
            endings.sort_unstable();
            endings.dedup();
            for &ending in &endings {
                *labels.paths.entry((program, ending)).or_default() += 1;
            }
        }
        labels
    }

    /// How many commands of the program have the word.
    fn commands_with(&self, program: &'a [u8], word: Word) -> u32 {
        self.words.get(&(program, word)).copied().unwrap_or(1)
    }

    /// The name of a process's program: of its file, or of the process if it executed nothing.
    pub fn program(&self, past: &Past) -> String {
        match self.parts(past) {
            Some((program, _)) => shown(program, true),
            None => match past.command.is_empty() {
                true => past.label(),
                false => past.short_label().split(' ').next().unwrap_or_default().to_owned(),
            },
        }
    }

    /// The label in at most `room` characters.
    pub fn label(&self, past: &Past, room: usize) -> String {
        let Some((program, args)) = self.parts(past) else { return cut(past.short_label(), room) };
        let commands = self.programs.get(program).copied().unwrap_or(1);
        let ranked = self.ranked(program, args, commands);
        let first = shown(program, true);
        let mut label = String::new();
        let mut chosen: Vec<usize> = Vec::new();
        for (at, count) in ranked.into_iter().take(MOST_WORDS) {
            chosen.push(at);
            chosen.sort_unstable();
            let longer = self.join(&first, program, args, &chosen);
            if !label.is_empty() && longer.chars().count() > room {
                break;
            }
            label = longer;
            if count == 1 {
                break; // no other command has this one
            }
        }
        if label.is_empty() {
            // Nothing differs.
            let words = args.iter().map(|&word| shown(self.history.word(word), false));
            let words: Vec<_> = std::iter::once(first).chain(words).collect();
            return cut(words.join(" "), room);
        }
        if label.chars().count() > room {
            // What differs says more than the program.
            let alone = label.rsplit("… ").next().unwrap_or_default();
            if alone.chars().count() <= room {
                return alone.to_owned();
            }
        }
        cut(label, room)
    }

    /// The program's name and the other words; `None`: the process executed nothing.
    fn parts(&self, past: &'a Past) -> Option<(&'a [u8], &'a [Word])> {
        let (first, args) = past.words.split_first()?;
        Some((base(self.history.word(*first)), args))
    }

    /// The places of the words in which a command differs from others of its program, those first
    /// that say most, each with the number of commands that have it.
    fn ranked(&self, program: &'a [u8], args: &[Word], commands: u32) -> Vec<(usize, u32)> {
        let mut best: HashMap<Word, (bool, u32, Kind, usize)> = HashMap::new();
        for (at, &word) in args.iter().enumerate() {
            let count = self.commands_with(program, word);
            if count >= commands {
                continue;
            }
            let before = at.checked_sub(1).and_then(|at| args.get(at));
            let kind = self.kind(word, before.copied());
            let rank = (kind == Kind::Random, count, kind, at);
            let known = best.entry(word).or_insert(rank);
            *known = rank.min(*known);
        }
        let mut ranked: Vec<_> = best.into_values().collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, count, _, at)| (at, count)).collect()
    }

    fn kind(&self, word: Word, before: Option<Word>) -> Kind {
        let text = self.history.word(word);
        match before.map(|before| self.history.word(before)) {
            _ if is_random(text) => Kind::Random,
            _ if text.starts_with(b"-") => Kind::Option,
            Some(before) if OUTPUTS.contains(&before) => Kind::Output,
            _ => Kind::Operand,
        }
    }

    /// The program and the words at these places, in their order, with a mark where some are left
    /// out.
    fn join(&self, first: &str, program: &'a [u8], args: &[Word], places: &[usize]) -> String {
        let mut label = first.to_owned();
        let mut next = 0;
        for &at in places {
            let Some(&word) = args.get(at) else { continue };
            label.push_str(if at > next { " … " } else { " " });
            label.push_str(&shown(self.shortest(program, word), false));
            next = at + 1;
        }
        label
    }

    /// The word without folders that tell nothing.
    fn shortest(&self, program: &'a [u8], word: Word) -> &'a [u8] {
        let text = self.history.word(word);
        if text.starts_with(b"-") || text.contains(&b' ') {
            return text; // not only a path
        }
        let endings = (1..=MOST_FOLDERS).map(|components| ending(text, components));
        let commands = self.commands_with(program, word);
        let mut own =
            endings.filter(|ending| self.paths.get(&(program, *ending)) == Some(&commands));
        own.next().unwrap_or_else(|| ending(text, MOST_FOLDERS))
    }
}

/// A word as a shell would take it.
fn shown(word: &[u8], is_first: bool) -> String {
    let mut text = String::new();
    push_shell_word(&mut text, word, is_first, Quote::WhereNeeded);
    text
}

/// At most `room` characters, the last one a mark if something is left out.
pub fn cut(text: String, room: usize) -> String {
    if text.chars().count() <= room {
        return text;
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).take(room).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::history::testing::commands;
    use super::*;

    fn labels(history: &History, room: usize) -> Vec<String> {
        let labels = Labels::new(history);
        history.processes().iter().map(|past| labels.label(past, room)).collect()
    }

    #[test]
    fn what_differs_between_commands_of_a_program() {
        let cc1 = "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet -imultiarch x86_64-linux-gnu";
        let history = commands(&[
            "make -j4",
            &format!("{cc1} src/parser.c -quiet -dumpbase parser.c -O1 -o /tmp/ccA1b2C3.s"),
            &format!("{cc1} src/lexer.c -quiet -dumpbase lexer.c -O1 -o /tmp/ccD4e5F6.s"),
            &format!("{cc1} src/main.c -quiet -dumpbase main.c -O2 -o /tmp/ccG7h8I9.s"),
            "gcc -O1 -c src/parser.c -o parser.o",
            "gcc -O1 -c src/lexer.c -o lexer.o",
            "sh -c true",
            "sh -c true",
        ]);
        let expected = [
            "make -j4",
            "cc1 … parser.c",
            "cc1 … lexer.c",
            "cc1 … main.c",
            "gcc … parser.c",
            "gcc … lexer.c",
            "sh -c true",
            "sh -c true",
        ];
        assert_eq!(labels(&history, 40), expected);
        assert_eq!(labels(&history, 8)[..3], ["make -j4", "parser.c", "lexer.c"]);
        assert_eq!(labels(&history, 5)[1..4], ["cc1 …", "cc1 …", "cc1 …"]);
        let labels = Labels::new(&history);
        assert_eq!(labels.program(&history.processes()[1]), "cc1");
    }

    #[test]
    fn flags_if_nothing_else_differs() {
        let history = commands(&["cc -O1 -c x.c", "cc -O2 -c x.c", "cc -O2 -g -c x.c"]);
        assert_eq!(labels(&history, 40), ["cc -O1", "cc -O2", "cc … -g"]);
    }

    #[test]
    fn what_nobody_chose() {
        for random in
            ["/tmp/x.c", "./ccAb12Cd.s", "ccZZZZZZ.o", "metadata=0123abcd4567", "/proc/7/x"]
        {
            assert!(is_random(random.as_bytes()), "{random}");
        }
        for chosen in ["cc1", "cccheck.c", "src/parser.c", "ccparser.cpp", "feedback.c", "1234567"]
        {
            assert!(!is_random(chosen.as_bytes()), "{chosen}");
        }
    }

    #[test]
    fn folders_where_names_are_the_same() {
        let history = commands(&[
            "rustc --crate-name a /home/x/a/src/lib.rs -C metadata=0123abcd4567",
            "rustc --crate-name b /home/x/b/src/lib.rs -C metadata=89abcdef0123",
            "rustc --crate-name b /home/x/b/build.rs -C metadata=76543210fedc",
        ]);
        let expected = ["rustc … a", "rustc … b/src/lib.rs", "rustc … build.rs"];
        assert_eq!(labels(&history, 40), expected);
    }

    #[test]
    fn without_an_execution_the_name() {
        let history = super::super::history::testing::history(&[(1, 0, 0, 9, 0, 0)]);
        assert_eq!(labels(&history, 40), ["sh"]);
        assert_eq!(Labels::new(&history).program(&history.processes()[0]), "sh");
    }

    proptest! {
        #[test]
        fn any_command_in_any_room(
            lines in proptest::collection::vec("[a/ .\u{e9}'-]{0,20}( [a-c/.-]{0,9}){0,5}", 1..9),
            room in 0usize..30,
        ) {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            for label in labels(&commands(&lines), room) {
                prop_assert!(label.chars().count() <= room, "{label}");
            }
        }
    }
}
