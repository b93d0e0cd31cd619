//! The terminal that rows go to: they are cut to its width, and each screenful has the heading.

use std::os::fd::BorrowedFd;

use terminal_size::{Height, Width, terminal_size_of};

use crate::output::cut::push_cut;

/// Lines of a screenful that are not rows: the heading, and the one with the cursor.
const NOT_ROWS: usize = 2;

/// What is known about the terminal, and about the lines on it.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Rows are shown whole, in as many lines as they need
    is_wide: bool,
    /// Columns and lines; `None`: a terminal that does not say it, such as a serial line
    size: Option<(usize, usize)>,
    /// A line, to be cut
    heading: String,
    /// Lines since the heading
    lines: usize,
    /// The text in the buffer up to here is as it will be written
    fitted: usize,
}

impl Screen {
    pub(super) fn new(terminal: BorrowedFd<'_>, is_wide: bool) -> Self {
        let mut screen = Self { is_wide, ..Self::default() };
        screen.ask(terminal);
        screen
    }

    /// Asks the terminal for its size, which its user may change at any time.
    pub(super) fn ask(&mut self, terminal: BorrowedFd<'_>) {
        let of = |(Width(columns), Height(lines))| (usize::from(columns), usize::from(lines));
        self.size = terminal_size_of(terminal).map(of);
    }

    /// The columns at which rows are cut.
    pub(super) fn width(&self) -> Option<usize> {
        self.size.filter(|_| !self.is_wide).map(|(columns, _)| columns)
    }

    /// Cuts the lines at the end of `buffer` that have not been cut before.
    pub(super) fn fit(&mut self, buffer: &mut Vec<u8>) {
        let new = buffer.get(self.fitted..).unwrap_or_default();
        let Some(end) = new.iter().rposition(|&byte| byte == b'\n') else { return };
        self.lines += new.iter().filter(|&&byte| byte == b'\n').count();
        if let Some(width) = self.width() {
            let new = buffer.split_off(self.fitted);
            let (whole, rest) = new.split_at(end + 1);
            for line in whole.strip_suffix(b"\n").unwrap_or(whole).split(|&byte| byte == b'\n') {
                push_cut(buffer, &String::from_utf8_lossy(line), width);
                buffer.push(b'\n');
            }
            self.fitted = buffer.len();
            buffer.extend_from_slice(rest);
        } else {
            self.fitted += end + 1;
        }
    }

    /// The buffer was written, and is empty.
    pub(super) fn begin_buffer(&mut self) {
        self.fitted = 0;
    }

    /// `line`, with its newline, was appended, and is to be seen on each screenful from here on.
    pub(super) fn set_heading(&mut self, line: &[u8]) {
        self.heading = String::from_utf8_lossy(line).into_owned();
        self.lines = 0;
    }

    /// Appends the heading if the last one is about to leave the screen.
    pub(super) fn repeat_heading(&mut self, buffer: &mut Vec<u8>) {
        let Some((_, height)) = self.size else { return };
        if height > NOT_ROWS + 1 && self.lines >= height - NOT_ROWS && !self.heading.is_empty() {
            buffer.extend_from_slice(self.heading.as_bytes());
            self.fit(buffer);
            self.lines = 0;
        }
    }
}
