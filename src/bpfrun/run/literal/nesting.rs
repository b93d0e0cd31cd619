//! Lists, and what encloses a part of a text: brackets, braces and quotes.

/// Splits a list at its commas, not at those within brackets, braces and quotes.
pub(super) fn parts(list: &str, depth: u32) -> Result<Vec<&str>, String> {
    if depth > 16 {
        return Err("too many braces".to_owned());
    }
    let mut parts = Vec::new();
    let mut start = 0;
    let mut nesting = Nesting::default();
    for (at, c) in list.char_indices() {
        if c == ',' && nesting.is_outside() {
            parts.push(list.get(start..at).unwrap_or_default());
            start = at + 1;
        }
        nesting.step(c);
    }
    parts.push(list.get(start..).unwrap_or_default());
    if nesting.is_outside() { Ok(parts) } else { Err("a bracket or quote has no end".to_owned()) }
}

/// How deep in brackets, braces and quotes a text is.
#[derive(Default)]
pub(in crate::bpfrun::run) struct Nesting {
    depth: i32,
    quoted: bool,
}

impl Nesting {
    /// Not in any.
    pub(in crate::bpfrun::run) fn is_outside(&self) -> bool {
        self.depth == 0 && !self.quoted
    }

    /// Goes over one character.
    pub(in crate::bpfrun::run) fn step(&mut self, c: char) {
        match c {
            '"' => self.quoted = !self.quoted,
            '[' | '{' if !self.quoted => self.depth += 1,
            ']' | '}' if !self.quoted => self.depth -= 1,
            _ => {}
        }
    }
}
