//! The words of a script, as a shell would take them apart, with their places in it.

use std::ops::Range;

/// A word of a command line or of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Its place, without the quotes that enclose all of it
    pub(super) at: Range<usize>,
    /// It begins another command than the word before
    pub(super) begins: bool,
}

/// Takes a script apart. Quotes hold words together; `;`, `|`, `&`, brackets and ends of lines begin
/// another command.
pub(super) fn words(script: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    let (mut start, mut begins) = (None, true);
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = script.get(at) {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(b'\''), _) => {}
            (_, b'\\') => {
                start.get_or_insert(at);
                at += 1; // and the one behind it
            }
            (Some(_), _) => {}
            (None, b'\'' | b'"' | b'`') => {
                start.get_or_insert(at);
                quote = Some(byte);
            }
            (None, b';' | b'|' | b'&' | b'(' | b')' | b'\n') => {
                end(&mut words, script, start.take(), at, &mut begins);
                begins = true;
            }
            (None, _) if byte.is_ascii_whitespace() => {
                end(&mut words, script, start.take(), at, &mut begins);
            }
            (None, _) => {
                start.get_or_insert(at);
            }
        }
        at += 1;
    }
    end(&mut words, script, start, script.len(), &mut begins);
    words
}

fn end(words: &mut Vec<Word>, script: &[u8], start: Option<usize>, end: usize, begins: &mut bool) {
    let Some(start) = start else { return };
    words.push(Word { at: inside(script, start..end.min(script.len())), begins: *begins });
    *begins = false;
}

/// Without quotes around all of it.
fn inside(script: &[u8], at: Range<usize>) -> Range<usize> {
    let word = script.get(at.clone()).unwrap_or_default();
    match word {
        [open @ (b'\'' | b'"'), inner @ .., close] if open == close && !inner.contains(open) => {
            at.start + 1..at.end - 1
        }
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(script: &str) -> Vec<(String, bool)> {
        let word = |word: Word| (script[word.at].to_owned(), word.begins);
        words(script.as_bytes()).into_iter().map(word).collect()
    }

    #[test]
    fn quotes_hold_words_together() {
        let expected = [("a", true), ("b c", false), ("d='e f'", false), (r"g\ h", false)];
        let expected = expected.map(|(word, begins)| (word.to_owned(), begins));
        assert_eq!(shown(r#"a "b c" d='e f' g\ h"#), expected);
    }

    #[test]
    fn commands_begin_behind_separators() {
        let begins: Vec<_> =
            shown("a b;c d && e | (f)\ng").into_iter().map(|word| word.1).collect();
        assert_eq!(begins, [true, false, true, false, true, true, true]);
        assert_eq!(shown(" ; 'a"), [("'a".to_owned(), true)]);
    }

    proptest! {
        #[test]
        fn words_are_in_their_order(script in r#"[a-c '"\\;\n=-]{0,30}"#) {
            let mut end = 0;
            for word in words(script.as_bytes()) {
                prop_assert!(word.at.start >= end && word.at.end >= word.at.start);
                prop_assert!(word.at.end <= script.len());
                end = word.at.end;
            }
        }
    }
}
