//! Bytes from the kernel, made safe for a terminal and separable in a table.
//!
//! Anybody on the machine can choose the bytes of names and arguments. Unescaped, they could move
//! the cursor, rewrite the line, hide text or forge columns.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// True for characters that stand for themselves: not control, invisible or direction-changing
/// ones, and of separators only the ASCII space.
pub(crate) fn is_plain(c: char) -> bool {
    use GeneralCategory as G;
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    if is_default_ignorable(c) {
        return false;
    }
    !matches!(
        c.general_category(),
        G::Control
            | G::Format
            | G::LineSeparator
            | G::ParagraphSeparator
            | G::SpaceSeparator
            | G::Surrogate
            | G::Unassigned
    )
}

/// Characters that are invisible although their category is letter or mark (Unicode's
/// `Default_Ignorable_Code_Point`, less the format characters).
fn is_default_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{034F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{2065}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFF8}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// Appends one byte as a backslash escape that C, bash, zsh and ksh read alike.
fn push_byte(out: &mut String, byte: u8) {
    match byte {
        b'\n' => out.push_str("\\n"),
        b'\t' => out.push_str("\\t"),
        b'\r' => out.push_str("\\r"),
        // Octal: unlike \x.., it has a fixed length in every shell.
        _ => {
            out.push('\\');
            for shift in [6, 3, 0] {
                out.push(char::from(b'0' + (byte >> shift & 7)));
            }
        }
    }
}

/// Appends `bytes`; characters that are not plain, or that are `special`, become backslash escapes.
fn push_escaped(out: &mut String, bytes: &[u8], special: impl Fn(char) -> bool) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || (c == '\'' && special('\'')) {
                out.push('\\');
                out.push(c);
            } else if is_plain(c) && !special(c) {
                out.push(c);
            } else {
                let mut buffer = [0; 4];
                for &byte in c.encode_utf8(&mut buffer).as_bytes() {
                    push_byte(out, byte);
                }
            }
        }
        for &byte in chunk.invalid() {
            push_byte(out, byte);
        }
    }
}

/// Whether these bytes need no escaping in a cell of a table. That is so for most names, and this
/// check is much faster than going through them by character.
#[inline]
pub fn is_plain_cell(bytes: &[u8]) -> bool {
    // No early exit, so that the compiler checks many bytes at once.
    let plain = |&byte: &u8| byte.is_ascii_graphic() & (byte != b'\\');
    !bytes.is_empty() && bytes.iter().fold(true, |all, byte| all & plain(byte))
}

/// Appends a name or a path as one cell of a table: escaped, and without a space, so
/// that columns can be told apart whatever the name is. Empty becomes `-`.
pub fn push_cell(out: &mut String, bytes: &[u8]) {
    if is_plain_cell(bytes) {
        return out.push_str(&String::from_utf8_lossy(bytes));
    }
    if bytes.is_empty() {
        out.push('-');
    }
    push_escaped(out, bytes, |c| c == ' ');
}

/// Appends foreign text, with its spaces, as part of a line.
pub fn push_text(out: &mut String, bytes: &[u8]) {
    push_escaped(out, bytes, |_| false);
}

/// A message as one line that a terminal only shows: what it quotes from elsewhere may hold anything.
/// What is escaped already stays as it is.
pub fn one_line(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut buffer = [0; 4];
    for c in message.chars() {
        if is_plain(c) {
            out.push(c);
        } else {
            c.encode_utf8(&mut buffer).bytes().for_each(|byte| push_byte(&mut out, byte));
        }
    }
    out
}

/// Words that a shell does not accept as the name of a program.
const RESERVED: [&str; 22] = [
    "!", "[[", "]]", "{", "}", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for",
    "function", "if", "in", "select", "then", "time", "until", "while",
];

/// Quoting of one shell word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// Only where the shell would read something else
    WhereNeeded,
    /// Always (`-q`)
    Always,
}

/// Appends `arg` as one word of a command line: pasted into bash, zsh or ksh it becomes the same
/// bytes again. `first`: the word is in the place of the program's name.
pub fn push_shell_word(out: &mut String, arg: &[u8], first: bool, quote: Quote) {
    let Some(text) = std::str::from_utf8(arg).ok().filter(|text| text.chars().all(is_plain)) else {
        out.push_str("$'");
        push_escaped(out, arg, |c| c == '\'');
        out.push('\'');
        return;
    };
    let bare =
        |c: char| c.is_ascii_alphanumeric() || "_@%+:,./-".contains(c) || (c == '=' && !first);
    let reserved = first && RESERVED.contains(&text);
    if quote == Quote::WhereNeeded && !text.is_empty() && text.chars().all(bare) && !reserved {
        out.push_str(text);
        return;
    }
    out.push('\'');
    out.push_str(&text.replace('\'', r"'\''"));
    out.push('\'');
}

/// A command line that can be pasted into a shell.
pub fn command_line<'a>(args: impl IntoIterator<Item = &'a [u8]>, quote: Quote) -> String {
    let mut line = String::new();
    for (index, arg) in args.into_iter().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        push_shell_word(&mut line, arg, index == 0, quote);
    }
    line
}

/// The bytes before the first NUL, or all: strings and names of processes end with one.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(bytes: &[u8]) -> String {
        let mut out = String::new();
        push_cell(&mut out, bytes);
        out
    }

    fn word(arg: &[u8]) -> String {
        let mut out = String::new();
        push_shell_word(&mut out, arg, false, Quote::WhereNeeded);
        out
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("a\u{1b}[31m\nb \\012 é"), "a\\033[31m\\nb \\012 é");
    }

    #[test]
    fn cells() {
        for (bytes, shown) in [
            (&b"bash"[..], "bash"),
            (b"", "-"),
            (b"Web Content", r"Web\040Content"),
            (b"a\nb\tc\rd", r"a\nb\tc\rd"),
            (b"\x1b[31m", r"\033[31m"),
            (b"\xff\xfe", r"\377\376"),
            (b"a\\b", r"a\\b"),
            ("grün".as_bytes(), "grün"),
            ("\u{202e}x\u{200b}".as_bytes(), r"\342\200\256x\342\200\213"),
            ("\u{9b}31m".as_bytes(), r"\302\23331m"),
            ("a\u{a0}b\u{2028}c".as_bytes(), r"a\302\240b\342\200\250c"),
            ("\u{3164}".as_bytes(), r"\343\205\244"),
            (b"'", "'"),
        ] {
            assert_eq!(cell(bytes), shown);
        }
    }

    #[test]
    fn plain_cells_are_those_that_stay_the_same() {
        for byte in 0..=255 {
            let bytes = [b'a', byte];
            assert_eq!(is_plain_cell(&bytes), {
                let mut out = String::new();
                push_escaped(&mut out, &bytes, |c| c == ' ');
                out.as_bytes() == bytes
            });
        }
        assert!(!is_plain_cell(b""));
    }

    #[test]
    fn words() {
        for (bytes, shown) in [
            (&b"plain"[..], "plain"),
            (b"-rf", "-rf"),
            (b"a=b", "a=b"),
            (b"", "''"),
            (b"two words", "'two words'"),
            (b"it's", r"'it'\''s'"),
            (b"$HOME`x`!", "'$HOME`x`!'"),
            (b"a\nb", r"$'a\nb'"),
            (b"'\n", r"$'\'\n'"),
            (b"\xff", r"$'\377'"),
            (b"\\\x01", r"$'\\\001'"),
            ("日本".as_bytes(), "'日本'"),
        ] {
            assert_eq!(word(bytes), shown);
        }
    }

    #[test]
    fn the_first_word_is_a_program() {
        for (arg, shown) in [("FOO=1", "'FOO=1'"), ("if", "'if'"), ("./a", "./a")] {
            let mut out = String::new();
            push_shell_word(&mut out, arg.as_bytes(), true, Quote::WhereNeeded);
            assert_eq!(out, shown);
        }
    }

    /// The words that bash makes of a line, each followed by a NUL.
    fn through_bash(line: &str) -> Vec<u8> {
        let script = format!("LC_ALL=C.UTF-8; printf '%s\\0' {line}");
        let output =
            std::process::Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{line}");
        output.stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn bash_reads_the_same_bytes_again(
            args in proptest::collection::vec(
                proptest::collection::vec(1u8..=255, 0..20), 1..20)
        ) {
            let line: Vec<_> = args.iter().map(|arg| word(arg)).collect();
            let mut expected = Vec::new();
            for arg in &args {
                expected.extend_from_slice(arg);
                expected.push(0);
            }
            prop_assert_eq!(through_bash(&line.join(" ")), expected);
        }

        #[test]
        fn nothing_dangerous_gets_through(bytes: Vec<u8>) {
            for shown in [cell(&bytes), word(&bytes)] {
                prop_assert!(shown.chars().all(is_plain), "{shown:?}");
            }
            prop_assert!(!cell(&bytes).contains(' '));
        }
    }
}
