//! The words of all command lines of a run. Each word is kept once: commands of one build share
//! most of theirs.

use std::collections::HashMap;
use std::rc::Rc;

/// The most bytes of a word to keep; of a longer one its beginning and its end.
const MOST_BYTES_EACH: usize = 200;

/// The most words of a command line to keep; of a longer one its beginning and its end.
const MOST_WORDS_EACH: usize = 600;

/// The most bytes of all words.
const MOST_BYTES: usize = 32 << 20;

/// The most places in all command lines.
const MOST_PLACES: usize = 8 << 20;

/// A word, by its number.
pub type Word = u32;

/// All words.
#[derive(Debug, Default)]
pub struct Words {
    numbers: HashMap<Rc<[u8]>, Word>,
    texts: Vec<Rc<[u8]>>,
    bytes: usize,
    places: usize,
}

impl Words {
    /// The numbers of the words of a command line; none if there is no room for more.
    pub fn add<'a>(&mut self, args: impl Iterator<Item = &'a [u8]>) -> Box<[Word]> {
        let mut numbers = Vec::new();
        for arg in args {
            let Some(number) = self.number(arg) else { return Box::default() };
            numbers.push(number);
            if numbers.len() > 2 * MOST_WORDS_EACH {
                cut(&mut numbers);
            }
        }
        if numbers.len() > MOST_WORDS_EACH {
            cut(&mut numbers);
        }
        if self.places + numbers.len() > MOST_PLACES {
            return Box::default();
        }
        self.places += numbers.len();
        numbers.into()
    }

    /// The word's bytes.
    pub fn text(&self, word: Word) -> &[u8] {
        self.texts.get(word as usize).map_or(&[], AsRef::as_ref)
    }

    fn number(&mut self, arg: &[u8]) -> Option<Word> {
        let text = kept(arg);
        if let Some(&number) = self.numbers.get(text.as_ref()) {
            return Some(number);
        }
        if self.bytes + text.len() > MOST_BYTES {
            return None;
        }
        let number = Word::try_from(self.texts.len()).ok()?;
        let text: Rc<[u8]> = Rc::from(text.as_ref());
        self.bytes += text.len();
        self.texts.push(Rc::clone(&text));
        self.numbers.insert(text, number);
        Some(number)
    }
}

/// What is kept of a word.
fn kept(arg: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if arg.len() <= MOST_BYTES_EACH {
        return arg.into();
    }
    // Not within a character, if it is text.
    let is_inside = |at: usize| arg.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let half = MOST_BYTES_EACH / 2;
    let begin = (half - 3..=half).rev().find(|&at| !is_inside(at)).unwrap_or(half);
    let end = arg.len() - half;
    let end = (end..end + 3).find(|&at| !is_inside(at)).unwrap_or(end);
    let (begin, end) = (arg.get(..begin).unwrap_or(arg), arg.get(end..).unwrap_or_default());
    [begin, "…".as_bytes(), end].concat().into()
}

/// Leaves the first and the last words.
fn cut(numbers: &mut Vec<Word>) {
    let half = MOST_WORDS_EACH / 2;
    numbers.drain(half..numbers.len() - half);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &Words, numbers: &[Word]) -> Vec<String> {
        let text = |&word: &Word| String::from_utf8(words.text(word).to_vec()).unwrap();
        numbers.iter().map(text).collect()
    }

    #[test]
    fn words_are_kept_once() {
        let mut words = Words::default();
        let one = words.add([&b"cc"[..], b"-c", b"a.c"].into_iter());
        let other = words.add([&b"cc"[..], b"-c", b"b.c"].into_iter());
        assert_eq!((one[..2].to_vec(), words.texts.len()), (other[..2].to_vec(), 4));
        assert_eq!(texts(&words, &other), ["cc", "-c", "b.c"]);
        assert_eq!(words.text(99), b"");
    }

    #[test]
    fn long_words_and_long_lines_keep_both_ends() {
        let mut words = Words::default();
        let long = format!("{}{}{}", "ä".repeat(500), "x".repeat(500), "ö".repeat(500));
        let number = words.add(std::iter::once(long.as_bytes()));
        let text = texts(&words, &number).remove(0);
        assert!(text.len() <= MOST_BYTES_EACH + 3, "{}", text.len());
        assert!(text.starts_with("ää") && text.contains("ä…ö") && text.ends_with("öö"), "{text}");
        let many: Vec<_> = (0..5000).map(|n| n.to_string().into_bytes()).collect();
        let numbers = words.add(many.iter().map(Vec::as_slice));
        let kept = texts(&words, &numbers);
        assert_eq!(kept.len(), MOST_WORDS_EACH);
        assert_eq!((kept[0].as_str(), kept[MOST_WORDS_EACH - 1].as_str()), ("0", "4999"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut words = Words::default();
        let line: Vec<_> = (0..500).map(|n| format!("{n:0>190}").into_bytes()).collect();
        for round in 0..600u32 {
            let own = line.iter().map(|word| [&round.to_ne_bytes(), word.as_slice()].concat());
            let own: Vec<_> = own.collect();
            words.add(own.iter().map(Vec::as_slice));
        }
        assert!(words.bytes <= MOST_BYTES, "{}", words.bytes);
        for _ in 0..(MOST_PLACES / 500 + 9) {
            words.add(line.iter().map(Vec::as_slice));
        }
        assert!(words.places <= MOST_PLACES, "{}", words.places);
    }
}
