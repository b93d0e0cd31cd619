//! Patterns for names on the command line.

use std::fmt;
use std::str::FromStr;

/// A pattern for names: `*` stands for any characters, `?` for any one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("an empty pattern".to_owned()) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Glob {
    /// Whether the pattern matches everything.
    pub fn is_everything(&self) -> bool {
        self.0 == "*"
    }

    /// Whether the pattern matches all of `name`. Takes time in proportion to both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // The place behind the last star, and the end of its match in the name.
        let mut star = None;
        while let Some(byte) = name.get(n) {
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    star = Some((p, n));
                }
                Some(b'?') => (p, n) = (p + 1, n + 1),
                Some(same) if same == byte => (p, n) = (p + 1, n + 1),
                _ => match star {
                    Some((behind, end)) => {
                        star = Some((behind, end + 1));
                        (p, n) = (behind, end + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern.get(p..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "x", true),
            ("handle_*", "handle_exec", true),
            ("handle_*", "handler", false),
            ("*exec*", "handle_exec", true),
            ("h?ndle", "handle", true),
            ("h?ndle", "hndle", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("exec", "exec", true),
            ("exec", "execve", false),
        ] {
            assert_eq!(pattern.parse::<Glob>().unwrap().matches(name), fits, "{pattern} {name}");
        }
        assert!("".parse::<Glob>().is_err());
    }
}
