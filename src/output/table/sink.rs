//! Where rows go: stdout, or the file of `--output`.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use nix::sys::eventfd::EventFd;

use super::Output;
use crate::output::color::Color;
use crate::output::file::OutputFile;
use crate::output::stdout::Stdout;

/// The place.
pub(super) enum Sink {
    Stdout(Stdout),
    File(Box<OutputFile>),
}

impl Sink {
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout(stdout) if stdout.is_terminal())
    }

    /// A file waits for nobody.
    pub(super) fn end_with(&mut self, stop: Arc<EventFd>) {
        if let Self::Stdout(stdout) = self {
            stdout.end_with(stop);
        }
    }

    pub(super) fn end_at(&mut self, deadline: Option<Instant>) {
        if let Self::Stdout(stdout) = self {
            stdout.end_at(deadline);
        }
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdout(stdout) => stdout.fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}

impl Output {
    /// A file in the chosen format, instead of stdout.
    pub fn to_file(file: OutputFile, json: bool, color: Color) -> Self {
        Self::on(Sink::File(Box::new(file)), json, color)
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&OutputFile> {
        match &self.sink {
            Sink::Stdout(_) => None,
            Sink::File(file) => Some(file),
        }
    }

    /// The same.
    pub fn file_mut(&mut self) -> Option<&mut OutputFile> {
        match &mut self.sink {
            Sink::Stdout(_) => None,
            Sink::File(file) => Some(file),
        }
    }

    /// The heading of the table, if there was one.
    pub fn last_heading(&self) -> &[u8] {
        &self.heading
    }

    /// Puts the beginning of a new file in front of all that is not yet written.
    pub fn begin_file(&mut self, opening: &[u8]) -> Result<()> {
        if let Sink::File(file) = &mut self.sink {
            file.begin(opening);
        }
        self.flush()
    }

    pub(super) fn flush_to_file(&mut self) -> Result<()> {
        let Sink::File(file) = &mut self.sink else { return Ok(()) };
        self.flushed += self.buffer.len();
        file.take(&mut self.buffer, &self.rows);
        self.rows.clear();
        let written = file.write(Some(Instant::now()));
        self.unwritten_rows += file.take_dropped();
        written
    }

    /// Writes all that can be written, at the end of a run. Rows that cannot are unwritten.
    ///
    /// # Errors
    ///
    /// Not all could be written.
    pub fn close_all(&mut self) -> Result<()> {
        self.flush()?;
        let Sink::File(file) = &mut self.sink else { return Ok(()) };
        let (unwritten, written) = file.close();
        self.unwritten_rows += unwritten;
        written
    }
}
