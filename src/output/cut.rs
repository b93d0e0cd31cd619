//! Lines cut to the width of a terminal.

use unicode_width::UnicodeWidthChar;

/// Stands where the rest of a line was cut off.
pub const MARK: char = '…';

const ESCAPE: char = '\x1b';
const PLAIN: &str = "\x1b[0m";

/// What a cut does not divide: a character, a backslash escape, or a change of the style.
struct Unit {
    /// In bytes
    len: usize,
    columns: usize,
    /// Of a change of the style: whether text has one from here on
    style: Option<bool>,
}

/// Appends as much of `line` as fits into `width` columns, with [`MARK`] at the end if that is not
/// all. `line` is one line without its newline: safe text, which may have styles.
pub fn push_cut(out: &mut Vec<u8>, line: &str, width: usize) {
    // Most lines: one byte is at least one column's character, or a part of it.
    if line.len() <= width {
        return out.extend_from_slice(line.as_bytes());
    }
    let (mut end, mut columns, mut is_styled) = (0, 0, false);
    // Where the line ends if it has to be cut, and whether it is in a style there.
    let mut cut = (0, false);
    while let Some(unit) = line.get(end..).and_then(first_unit) {
        end += unit.len;
        columns += unit.columns;
        is_styled = unit.style.unwrap_or(is_styled);
        if columns > width {
            let (kept, is_styled) = cut;
            out.extend_from_slice(line.get(..kept).unwrap_or_default().as_bytes());
            if is_styled {
                out.extend_from_slice(PLAIN.as_bytes());
            }
            return out.extend_from_slice(MARK.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if columns < width {
            cut = (end, is_styled);
        }
    }
    out.extend_from_slice(line.as_bytes());
}

fn first_unit(text: &str) -> Option<Unit> {
    let first = text.chars().next()?;
    Some(match first {
        ESCAPE => {
            let len = text.find('m').map_or(text.len(), |end| end + 1);
            let is_plain = text.get(..len) == Some(PLAIN);
            Unit { len, columns: 0, style: Some(!is_plain) }
        }
        '\\' => {
            let len = escape_len(text.as_bytes());
            Unit { len, columns: len, style: None }
        }
        _ => Unit { len: first.len_utf8(), columns: first.width().unwrap_or(0), style: None },
    })
}

/// Bytes of `\n`, `\\` or `\033`; 1 for a backslash that escapes nothing.
fn escape_len(text: &[u8]) -> usize {
    let is_octal = |byte: &&u8| (b'0'..=b'7').contains(*byte);
    match text {
        [_, one, two, three, ..] if [one, two, three].iter().all(is_octal) => 4,
        [_, next, ..] if next.is_ascii_graphic() => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::output::escape::{Quote, push_cell, push_shell_word};

    fn cut(line: &str, width: usize) -> String {
        let mut out = Vec::new();
        push_cut(&mut out, line, width);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_end_with_the_width() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("abcdef", 1), "…");
        assert_eq!(cut("", 1), "");
        assert_eq!(cut("grün", 4), "grün");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    #[test]
    fn escapes_are_whole() {
        assert_eq!(cut(r"ab\033[31m", 5), "ab…");
        assert_eq!(cut(r"ab\033[31m", 7), r"ab\033…");
        assert_eq!(cut(r"ab\\\\", 5), r"ab\\…");
        assert_eq!(cut(r"ab\n\t\r", 4), "ab…");
        assert_eq!(cut(r"abc\03", 5), r"abc…");
        assert_eq!(cut(r"abcdef\", 6), "abcde…");
    }

    #[test]
    fn styles_take_no_room_and_end() {
        let red = "\x1b[31mENOENT\x1b[0m rest";
        assert_eq!(cut(red, 11), red);
        assert_eq!(cut(red, 4), "\x1b[31mENO\x1b[0m…");
        assert_eq!(cut(red, 9), "\x1b[31mENOENT\x1b[0m r…");
    }

    proptest! {
        #[test]
        fn what_is_left_is_no_wider_and_the_beginning(bytes: Vec<u8>, width in 1usize..40) {
            let mut name = String::new();
            push_cell(&mut name, &bytes);
            let mut word = String::new();
            push_shell_word(&mut word, &bytes, true, Quote::WhereNeeded);
            for line in [name, word] {
                let shown = cut(&line, width);
                let columns: usize = shown.chars().map(|c| c.width().unwrap()).sum();
                prop_assert!(columns <= width, "{shown:?}");
                prop_assert!(shown.width() <= width, "{shown:?}");
                let kept = shown.strip_suffix(MARK).unwrap_or(&shown);
                prop_assert!(shown == line || line.starts_with(kept), "{shown:?}");
            }
        }
    }
}
