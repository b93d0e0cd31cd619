//! Whether to colour: `--color`, and the environment variables that many programs follow.

use std::ffi::OsString;

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise
    #[default]
    Auto,
    /// Into pipes and files too
    Always,
    /// Nowhere
    Never,
}

impl Color {
    /// Whether output has colours. What was asked for on the command line comes before the
    /// environment: NO_COLOR, then CLICOLOR_FORCE, then whether it is a terminal that can do it.
    pub fn is_wanted(self, is_terminal: bool) -> bool {
        self.is_wanted_in(is_terminal, |name| std::env::var_os(name))
    }

    fn is_wanted_in(self, is_terminal: bool, var: impl Fn(&str) -> Option<OsString>) -> bool {
        let is_set = |name: &str| var(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if is_set("NO_COLOR") => false,
            Self::Auto if var("CLICOLOR_FORCE").is_some_and(|on| !on.is_empty() && on != "0") => {
                true
            }
            Self::Auto => is_terminal && var("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_comes_before_the_environment() {
        let wanted = |color: Color, is_terminal, vars: &[(&str, &str)]| {
            let var = |name: &str| vars.iter().find(|var| var.0 == name).map(|var| var.1.into());
            color.is_wanted_in(is_terminal, var)
        };
        let (off, force) = (("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1"));
        for (color, is_terminal, vars, expected) in [
            (Color::Auto, true, &[][..], true),
            (Color::Auto, false, &[], false),
            (Color::Auto, true, &[off], false),
            (Color::Auto, true, &[("NO_COLOR", "")], true),
            (Color::Auto, false, &[force], true),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (Color::Auto, true, &[force, off], false),
            (Color::Auto, true, &[("TERM", "dumb")], false),
            (Color::Always, false, &[off], true),
            (Color::Never, true, &[force], false),
        ] {
            assert_eq!(wanted(color, is_terminal, vars), expected, "{color:?} {vars:?}");
        }
    }
}
