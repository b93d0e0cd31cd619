//! What a tool wrote with `--json`, read again: `--from FILE`.
//!
//! The file may be anybody's. A line, its values and its memory have limits; what is wrong with one
//! is an error in words, never a panic.

mod chosen;
pub mod context;
mod line;
mod lines;
mod start;

pub use chosen::Chosen;
pub use line::{Line, Reading};
pub use lines::{Lines, Raw};
pub use start::{Ending, Gap, Part, Start};

#[cfg(test)]
pub mod testing {
    //! Lines for tests.

    use super::Line;

    /// A line with this text, by a tool whose clocks are the same.
    pub fn line(text: &str) -> Line {
        Line::parse(text.as_bytes(), 0).unwrap()
    }
}
