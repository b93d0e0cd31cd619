//! Lists in tables and messages, of names out of files.

/// The most bytes of a list, about.
const MAX_LIST: usize = 4096;

/// Names on one line, as many as anybody reads.
pub fn list(names: impl IntoIterator<Item = impl AsRef<str>>, between: &str) -> String {
    let mut text = String::new();
    for (number, name) in names.into_iter().enumerate() {
        if number > 0 {
            text.push_str(between);
        }
        if text.len() > MAX_LIST {
            text.push('…');
            break;
        }
        text.push_str(name.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_all_of_a_long_list() {
        assert_eq!(list(["a", "b"], ", "), "a, b");
        assert_eq!(list([""; 0], ", "), "");
        let text = list((0..1000).map(|_| "x".repeat(5000)), " ");
        assert!(text.len() < 6000 && text.ends_with(" …"), "{}", text.len());
    }
}
