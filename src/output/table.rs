//! Rows on stdout, or in a file: columns for people or JSON Lines for programs.
//!
//! Rows of one batch are collected and written at once. A closed pipe is a normal end;
//! any other failure of stdout is an error.

mod sink;

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::builder::styling::{AnsiColor, Style};
use nix::errno::Errno;
use nix::sys::eventfd::EventFd;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::output::color::Color;
use crate::output::digits::{Short, push_number};
use crate::output::escape::{is_plain_cell, push_cell};
use crate::output::json;
use crate::output::otlp::Encoder;
use crate::output::screen::Screen;
use crate::output::status;
use crate::output::stdout::{Stdout, Stuck};
use sink::Sink;

/// The buffer is written at this size, also within a batch.
const FLUSH_BYTES: usize = 64 * 1024;

/// A column of a table, for the heading and for the rows.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The heading
    pub title: &'static str,
    /// The least width; longer values push the rest of their line to the right
    pub width: usize,
    /// Numbers to the right, names to the left
    pub right: bool,
}

impl Column {
    /// A column of names.
    pub const fn left(title: &'static str, width: usize) -> Self {
        Self { title, width, right: false }
    }

    /// A column of numbers.
    pub const fn right(title: &'static str, width: usize) -> Self {
        Self { title, width, right: true }
    }

    /// Widens the column to fit its widest cell ([`Line::name`]), but to no more than `WIDEST`, so
    /// that one absurdly long name does not push the other columns off the screen.
    pub fn fit(mut self, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        const WIDEST: usize = 64;
        let mut scratch = String::new();
        for cell in cells {
            scratch.clear();
            push_cell(&mut scratch, cell.as_ref());
            self.width = self.width.max(scratch.width().min(WIDEST));
        }
        self
    }
}

/// A failure.
pub const FAILURE: Style = AnsiColor::Red.on_default();
/// A note about a row.
pub const NOTE: Style = Style::new().dimmed();

/// `1 event`, `2 events`: `noun` takes an s for the plural.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// One line of a table, filled cell by cell in the order of the columns.
pub struct Line<'a> {
    out: &'a mut Vec<u8>,
    columns: std::slice::Iter<'a, Column>,
    scratch: String,
    color: bool,
}

impl<'a> Line<'a> {
    /// Begins a line at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, columns: &'a [Column]) -> Self {
        Self { out, columns: columns.iter(), scratch: String::new(), color: false }
    }

    /// The next cell is in this style, if the line goes to a terminal.
    pub fn styled(&mut self, text: &str, style: Style) -> &mut Self {
        if !self.color {
            return self.text(text);
        }
        let at = self.out.len();
        self.text(text);
        // Style the text without its padding, so that the width stays right.
        let cell = self.out.split_off(at);
        let cell = String::from_utf8_lossy(&cell);
        let colored = cell.replacen(text, &format!("{style}{text}{style:#}"), 1);
        self.out.extend_from_slice(colored.as_bytes());
        self
    }

    /// The next cell: text that is safe already.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let Some(column) = self.columns.next() else { return self };
        let is_last = self.columns.as_slice().is_empty();
        // Nothing follows a last column of names, so measuring it is useless.
        let padded = column.right || !is_last;
        let padding = if padded { column.width.saturating_sub(text.width()) } else { 0 };
        if column.right {
            self.pad(padding);
        }
        self.out.extend_from_slice(text.as_bytes());
        if !column.right {
            self.pad(padding);
        }
        while is_last && text.is_empty() && self.out.last() == Some(&b' ') {
            self.out.pop(); // no line ends in spaces
        }
        self.out.push(if is_last { b'\n' } else { b' ' });
        self
    }

    /// The next cell: `write` appends printable ASCII. Saves a copy, for rows that come by the
    /// million.
    #[inline]
    pub fn ascii(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let Some(column) = self.columns.next() else { return self };
        let at = self.out.len();
        write(self.out);
        let padding = column.width.saturating_sub(self.out.len() - at);
        let is_last = self.columns.as_slice().is_empty();
        if column.right {
            self.pad(padding);
            if let Some(cell) = self.out.get_mut(at..) {
                cell.rotate_right(padding);
            }
        } else if !is_last {
            self.pad(padding);
        }
        self.out.push(if is_last { b'\n' } else { b' ' });
        self
    }

    /// The next cell: a few characters.
    #[inline]
    pub fn short(&mut self, cell: Short) -> &mut Self {
        match self.columns.as_slice() {
            [column, _, ..] if column.width <= Short::MAX => {
                cell.push_padded(self.out, column.width, column.right);
                self.out.push(b' ');
                self.columns.next();
                self
            }
            _ => self.ascii(|out| cell.push(out)),
        }
    }

    /// The next cell: a whole number.
    #[inline]
    pub fn number<N>(&mut self, number: N) -> &mut Self
    where
        N: itoa::Integer + Copy + TryInto<u32>,
    {
        match Short::number(number) {
            Some(short) => self.short(short),
            None => self.ascii(|out| push_number(out, number)),
        }
    }

    #[inline]
    fn pad(&mut self, cells: usize) {
        // A copy of constant length: see digits.rs.
        const SPACES: [u8; 32] = [b' '; 32];
        let end = self.out.len() + cells;
        if cells <= SPACES.len() {
            self.out.extend_from_slice(&SPACES);
            self.out.truncate(end);
        } else {
            self.out.resize(end, b' ');
        }
    }

    /// The next cell: a name of arbitrary bytes.
    pub fn name(&mut self, bytes: &[u8]) -> &mut Self {
        if is_plain_cell(bytes) {
            return self.ascii(|out| out.extend_from_slice(bytes));
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        push_cell(&mut scratch, bytes);
        self.text(&scratch);
        self.scratch = scratch;
        self
    }

    /// The next cell: the name of a process and, in brackets, that of its thread, if it is another
    /// one and the column has room.
    pub fn comms(&mut self, process: &[u8], thread: &[u8]) -> &mut Self {
        if process == thread || thread.is_empty() {
            return self.name(process);
        }
        let mut both = String::new();
        push_cell(&mut both, process);
        both.push('(');
        push_cell(&mut both, thread);
        both.push(')');
        let room = self.columns.as_slice().first().map_or(0, |column| column.width);
        if both.width() <= room { self.text(&both) } else { self.name(process) }
    }

    /// The next cell, the last one: text that is safe already, and behind a `#` what else there is
    /// to say.
    pub fn noted(&mut self, text: &str, notes: &[String]) -> &mut Self {
        if notes.is_empty() {
            return self.text(text);
        }
        let space = if text.is_empty() { "" } else { "  " };
        let notes = format!("{space}# {}", notes.join(", "));
        match self.color {
            true => self.text(&format!("{text}{NOTE}{notes}{NOTE:#}")),
            false => self.text(&format!("{text}{notes}")),
        }
    }

    /// The next cell: anything that can be displayed.
    pub fn value(&mut self, value: impl std::fmt::Display) -> &mut Self {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let _ = write!(scratch, "{value}"); // a String takes everything
        self.text(&scratch);
        self.scratch = scratch;
        self
    }
}

/// Whether to go on after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// All is well
    Open,
    /// The reader has gone: end quietly
    Closed,
    /// The reader does not read, and the run is to end: what is still shown is counted as lost
    Stuck,
}

/// Stdout or a file, with the text to be written next.
pub struct Output {
    sink: Sink,
    /// `--json`
    pub json: bool,
    /// `--json=otlp`: makes of lines of JSON what is written
    otlp: Option<Box<Encoder>>,
    /// Whether text has colours
    pub color: bool,
    /// Whether stdout is a terminal
    is_on_terminal: bool,
    /// The terminal that text is fitted to
    screen: Option<Screen>,
    buffer: Vec<u8>,
    /// Ends of rows in the buffer
    rows: Vec<usize>,
    unwritten_rows: u64,
    /// The last heading, for files that begin later
    heading: Vec<u8>,
    /// Bytes that have left the buffer
    flushed: usize,
    flow: Flow,
}

impl Output {
    /// Stdout in the chosen format.
    pub fn new(json: bool) -> Self {
        Self::with_color(json, Color::Auto)
    }

    /// The same, with a choice of colours.
    pub fn with_color(json: bool, color: Color) -> Self {
        Self::on(Sink::Stdout(Stdout::new()), json, color)
    }

    /// Another place, for tests.
    #[cfg(test)]
    pub(crate) fn to(fd: std::os::fd::OwnedFd, color: Color) -> Self {
        Self::on(Sink::Stdout(Stdout::given(fd)), false, color)
    }

    fn on(sink: Sink, json: bool, color: Color) -> Self {
        Self {
            color: !json && color.is_wanted(sink.is_terminal()),
            is_on_terminal: sink.is_terminal(),
            sink,
            json,
            otlp: None,
            screen: None,
            buffer: Vec::new(),
            rows: Vec::new(),
            unwritten_rows: 0,
            heading: Vec::new(),
            flushed: 0,
            flow: Flow::Open,
        }
    }

    /// From now on, lines of JSON are written as OpenTelemetry's, as those of this tool.
    pub fn encode_as_otlp(&mut self, tool: &'static str) {
        self.otlp = Some(Box::new(Encoder::new(tool)));
    }

    /// A line of JSON, with its newline, as it is written.
    pub fn encoded(&mut self, line: Vec<u8>) -> Vec<u8> {
        let Some(otlp) = &mut self.otlp else { return line };
        let mut encoded = Vec::new();
        otlp.lines(&mut encoded, |out| out.extend_from_slice(&line));
        encoded
    }

    /// From now on, a table on a terminal has its heading on each screenful, and its lines are cut
    /// to the width of the terminal, unless `is_wide`. Pipes and files get whole lines.
    pub fn fit_terminal(&mut self, is_wide: bool) {
        if !self.json && self.is_on_terminal {
            self.screen = Some(Screen::new(self.sink.as_fd(), is_wide));
        }
    }

    /// The columns at which rows are cut; `None`: they are whole.
    pub fn width(&self) -> Option<usize> {
        self.screen.as_ref().and_then(Screen::width)
    }

    /// From now on, no write waits for a reader that takes nothing after `stop` is readable.
    pub fn end_with(&mut self, stop: Arc<EventFd>) {
        self.sink.end_with(stop);
    }

    /// From now on, no write waits for a reader that takes nothing after this time.
    pub fn end_at(&mut self, deadline: Option<Instant>) {
        self.sink.end_at(deadline);
    }

    /// The text up to here is a row, which counts as shown once it is written.
    pub fn end_row(&mut self) {
        self.fit();
        self.rows.push(self.buffer.len());
    }

    /// Rows that could not be written, and have not been reported here before.
    pub fn take_unwritten(&mut self) -> u64 {
        std::mem::take(&mut self.unwritten_rows)
    }

    /// Appends the heading of a table; JSON has none.
    pub fn heading(&mut self, columns: &[Column]) {
        if self.json {
            return;
        }
        self.fit();
        let start = self.buffer.len();
        let mut line = Line::new(&mut self.buffer, columns);
        for column in columns {
            line.text(column.title);
        }
        self.heading = self.buffer.get(start..).unwrap_or_default().to_owned();
        if let Some(screen) = &mut self.screen {
            screen.fit(&mut self.buffer);
            screen.set_heading(&self.heading);
        }
    }

    /// Fits what is in the buffer to the terminal.
    fn fit(&mut self) {
        if let Some(screen) = &mut self.screen {
            screen.fit(&mut self.buffer);
        }
    }

    #[cold]
    fn begin_line_on_screen(&mut self) {
        if let Some(screen) = &mut self.screen {
            screen.fit(&mut self.buffer);
            screen.repeat_heading(&mut self.buffer);
        }
    }

    /// Begins a line of a table.
    pub fn line<'a>(&'a mut self, columns: &'a [Column]) -> Line<'a> {
        if self.screen.is_some() {
            self.begin_line_on_screen();
        }
        Line { color: self.color, ..Line::new(&mut self.buffer, columns) }
    }

    /// Appends text that is safe already, such as a table of its own.
    pub fn raw(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        self.buffer.extend_from_slice(text.as_ref());
        self.flush_if_full()
    }

    /// Lets `write` append lines of JSON.
    #[inline]
    pub fn json_lines<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        match &mut self.otlp {
            None => write(&mut self.buffer),
            Some(otlp) => otlp.lines(&mut self.buffer, write),
        }
    }

    /// Appends one object and a newline.
    pub fn object(&mut self, object: &impl Serialize) -> Result<()> {
        self.json_lines(|out| {
            json::write(&mut *out, object).context("write JSON")?;
            out.push(b'\n');
            Ok(())
        })
    }

    /// Appends a line of JSON, with its newline.
    pub fn json_line(&mut self, line: &[u8]) -> Result<()> {
        self.json_lines(|out| out.extend_from_slice(line));
        self.flush_if_full()
    }

    /// The same for several objects.
    pub fn objects(&mut self, objects: impl IntoIterator<Item = impl Serialize>) -> Result<()> {
        objects.into_iter().try_for_each(|object| self.object(&object))
    }

    /// The same for a large object, written piece by piece. `count` gets the size of each.
    pub fn large_object(
        &mut self,
        object: &impl Serialize,
        count: impl FnMut(usize),
    ) -> Result<()> {
        json::write(Pieces { out: self, count }, object).context("write JSON")?;
        self.raw("\n")
    }

    /// How many bytes there were, written or not.
    pub fn bytes(&self) -> usize {
        self.flushed + self.buffer.len()
    }

    /// Whether the buffer is large: it is to be written then.
    #[inline]
    pub fn is_buffer_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Writes if the buffer is large; for use after each row.
    pub fn flush_if_full(&mut self) -> Result<()> {
        if self.is_buffer_full() { self.flush() } else { Ok(()) }
    }

    /// Writes everything collected so far.
    pub fn flush(&mut self) -> Result<()> {
        let Sink::Stdout(stdout) = &self.sink else { return self.flush_to_file() };
        if let Some(screen) = &mut self.screen {
            screen.fit(&mut self.buffer);
        }
        if !self.buffer.is_empty() && self.is_on_terminal {
            status::erase();
        }
        let mut written = 0;
        let mut failed = None;
        while self.flow == Flow::Open {
            let rest = self.buffer.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match stdout.write(rest) {
                Ok(Ok(n)) => written += n,
                Ok(Err(Stuck)) => self.flow = Flow::Stuck,
                Err(Errno::EPIPE) => self.flow = Flow::Closed,
                Err(errno) => {
                    stdout.take_back(self.buffer.get(..written).unwrap_or_default());
                    failed = Some(errno);
                    break;
                }
            }
        }
        let is_unwritten = |end: &&usize| **end > written;
        self.unwritten_rows += self.rows.iter().filter(is_unwritten).count() as u64;
        self.rows.clear();
        self.flushed += self.buffer.len();
        self.buffer.clear();
        if let Some(screen) = &mut self.screen {
            screen.begin_buffer();
            screen.ask(stdout.fd());
        }
        match failed {
            Some(errno) => Err(errno).context("cannot write to stdout"),
            None => Ok(()),
        }
    }

    /// Whether people see at once what is written.
    pub fn is_on_terminal(&self) -> bool {
        self.is_on_terminal
    }

    /// Whether the reader is still there.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Notes that the reader has gone, seen while waiting for events.
    pub fn close(&mut self) {
        self.flow = Flow::Closed;
    }

    /// For `poll()`: an error condition means that the reader of a pipe has gone.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.sink.as_fd()
    }
}

/// Text that is written in pieces.
struct Pieces<'a, F> {
    out: &'a mut Output,
    count: F,
}

impl<F: FnMut(usize)> io::Write for Pieces<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.count)(bytes.len());
        self.out.raw(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::left("NAME", 6), Column::right("PID", 7), Column::left("ARGS", 0)];

    #[test]
    fn heading_and_rows_line_up() {
        let mut out = Output::new(false);
        out.heading(&COLUMNS);
        out.line(&COLUMNS).name(b"a b").value(12).text("x");
        out.line(&COLUMNS).name("日本".as_bytes()).value(1234567).text("y");
        out.line(&COLUMNS).name(b"longer-than-6").value(12345678).text("z");
        let expected = "NAME       PID ARGS\n\
                        a\\040b      12 x\n\
                        日本   1234567 y\n\
                        longer-than-6 12345678 z\n";
        assert_eq!(String::from_utf8(out.buffer).unwrap(), expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let width = |cells: &[&str]| Column::left("NAME", 6).fit(cells).width;
        assert_eq!(width(&[]), 6);
        assert_eq!(width(&["a", "tracepoint__syscalls__sys_exit_execve", "b"]), 37);
        assert_eq!(width(&["a b c d"]), 16); // each space is escaped
        assert_eq!(width(&[&"x".repeat(1000)]), 64);
    }

    #[test]
    fn the_name_of_a_thread_stands_where_it_fits() {
        const COMMS: [Column; 2] = [Column::left("COMM", 16), Column::left("ARGS", 0)];
        let shown = |process: &[u8], thread: &[u8]| {
            let mut out = Output::new(false);
            out.line(&COMMS).comms(process, thread).text("x");
            String::from_utf8(out.buffer).unwrap()
        };
        assert_eq!(shown(b"java", b"java"), "java             x\n");
        assert_eq!(shown(b"java", b""), "java             x\n");
        assert_eq!(shown(b"java", b"worker-100"), "java(worker-100) x\n");
        assert_eq!(shown(b"java", b"worker-1000"), "java             x\n");
        assert_eq!(shown(b"java", b"G C"), "java(G\\040C)     x\n");
    }

    #[test]
    fn an_empty_last_cell_leaves_no_space() {
        let mut out = Output::new(false);
        out.line(&COLUMNS).name(b"a").value(1).text("");
        assert_eq!(String::from_utf8(out.buffer).unwrap(), "a            1\n");
    }

    #[test]
    fn cells_written_in_place_look_the_same() {
        let mut out = Output::new(false);
        for pid in [0, 12, 1234567, 12345678] {
            out.line(&COLUMNS).text("a").value(pid).text("z");
            let slow = std::mem::take(&mut out.buffer);
            out.line(&COLUMNS).ascii(|out| out.push(b'a')).number(pid).ascii(|out| out.push(b'z'));
            assert_eq!(std::mem::take(&mut out.buffer), slow);
        }
    }

    #[test]
    fn colors_change_no_width() {
        for color in [false, true] {
            let mut out = Output { color, ..Output::new(false) };
            out.line(&COLUMNS).text("a").styled("1", FAILURE).text("z");
            let text = String::from_utf8(out.buffer).unwrap();
            assert_eq!(text.contains('\x1b'), color);
            let plain = text.replace("\x1b[31m", "").replace("\x1b[0m", "");
            assert_eq!(plain, "a            1 z\n");
        }
    }
}
