//! Names of kernel types as libbpf compares them: `task_struct___old` is a flavour of `task_struct`.

/// A name without its flavour: what follows the last `___` between two other characters.
pub(crate) fn without_flavour(name: &[u8]) -> &[u8] {
    let is_separator = |part: &[u8]| matches!(part, [before, b'_', b'_', b'_', after] if *before != b'_' && *after != b'_');
    let at = name.windows(5).rposition(is_separator);
    at.and_then(|at| name.get(..=at)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flavours_of_a_name() {
        for (name, expected) in [
            ("task_struct", "task_struct"),
            ("task_struct___v5", "task_struct"),
            ("a___b___c", "a___b"),
            ("___x", "___x"),
            ("x___", "x___"),
            ("x____y", "x____y"),
            ("x___y", "x"),
            ("", ""),
        ] {
            assert_eq!(without_flavour(name.as_bytes()), expected.as_bytes(), "{name}");
        }
    }
}
