//! One line on a terminal that is written again and again, and is gone before anything else is
//! written there. Its place is stderr.

use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{getpgrp, tcgetpgrp};
use terminal_size::terminal_size_of;

use crate::output::cut::push_cut;

/// Moves to the beginning of the line, and clears it.
const CLEAR: &[u8] = b"\r\x1b[K";

/// Whether the line stands there.
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Whether there is a place for the line: a terminal that can clear one.
pub fn is_possible() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    !is_dumb && std::io::stderr().is_terminal()
}

/// Lines that wait until the terminal is free again; `None`: it is free.
static KEPT: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// The most lines to keep.
const MOST_KEPT: usize = 1000;

/// From now on, the terminal belongs to a full-screen view: lines for stderr wait.
pub fn keep() {
    kept().get_or_insert_default();
}

/// The terminal is free again: writes what has waited.
pub fn release() {
    let lines = kept().take().unwrap_or_default();
    for line in lines {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// One line on stderr, now or when the terminal is free. A closed stderr is no reason to stop.
pub fn say(line: &str) {
    if let Some(lines) = &mut *kept() {
        if lines.len() < MOST_KEPT {
            lines.push(line.to_owned());
        }
        return;
    }
    erase();
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The last line that waits.
pub fn last_kept() -> Option<String> {
    kept().as_ref().and_then(|lines| lines.last().cloned())
}

fn kept() -> std::sync::MutexGuard<'static, Option<Vec<String>>> {
    KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes the line in place of the previous one.
pub fn show(text: &str) {
    if kept().is_some() {
        return;
    }
    let columns = terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
    let mut line = CLEAR.to_vec();
    // The last column stays free: some terminals go to the next line there.
    push_cut(&mut line, text, columns.saturating_sub(1));
    if write(&line) {
        IS_SHOWN.store(true, Ordering::Relaxed);
    }
}

/// Whether the line stands there.
pub fn is_shown() -> bool {
    IS_SHOWN.load(Ordering::Relaxed)
}

/// Clears the line, if it is there.
pub fn erase() {
    if IS_SHOWN.swap(false, Ordering::Relaxed) {
        write(CLEAR);
    }
}

/// Not while the terminal is another job's, and not while it takes nothing, as after Ctrl-S: nothing
/// may wait for a courtesy.
fn write(bytes: &[u8]) -> bool {
    let stderr = std::io::stderr();
    if tcgetpgrp(stderr.as_fd()).is_ok_and(|job| job != getpgrp()) {
        return false;
    }
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let has_room = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1);
    has_room && (&stderr).write_all(bytes).is_ok()
}
