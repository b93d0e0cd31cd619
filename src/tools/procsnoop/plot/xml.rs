//! Text and numbers for XML.

/// Text, also within double quotes.
pub(super) fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML may not hold these, not even escaped.
            c if c.is_control() && c != '\n' => safe.push('\u{FFFD}'),
            '\u{FFFE}' | '\u{FFFF}' => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A number of percents or pixels, as short as it can be.
pub(super) fn number(number: f64) -> String {
    let mut text = format!("{number:.5}");
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_safe() {
        assert_eq!(
            (number(0.5), number(99.0), number(1e-9)),
            ("0.5".into(), "99".into(), "0".into())
        );
        assert_eq!(number(100.0 / 3.0), "33.33333");
        let hostile = "]]></script>\"'&\u{1b}\u{ffff}\n";
        assert_eq!(text(hostile), "]]&gt;&lt;/script&gt;&quot;'&amp;\u{FFFD}\u{FFFD}\n");
    }
}
