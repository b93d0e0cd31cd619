//! A counter on stderr for runs that show nothing for a while, so that their user knows that they
//! work, and how they end.

use std::time::{Duration, Instant};

use crate::engine::cli::CommonArgs;
use crate::output::status;

/// The counter changes at most so often.
const EVERY: Duration = Duration::from_millis(300);

/// The counter.
pub(crate) struct Progress {
    is_on: bool,
    next: Instant,
    shown: String,
}

impl Progress {
    /// With a COMMAND there is none: the terminal is the command's.
    pub(crate) fn new(args: &CommonArgs) -> Self {
        let is_on = args.command.is_empty() && status::is_possible();
        Self { is_on, next: Instant::now(), shown: String::new() }
    }

    /// Shows the counter, if it is time for it. `counted`: such as `1,204 lives`; `None`: rows are
    /// seen instead.
    pub(crate) fn update(&mut self, counted: impl FnOnce() -> Option<String>) {
        let now = Instant::now();
        if !self.is_on || now < self.next {
            return;
        }
        self.next = now + EVERY;
        let line = counted().map(|counted| format!("tracing… {counted}, Ctrl-C ends"));
        match line {
            None => status::erase(),
            Some(line) if line == self.shown && status::is_shown() => {}
            Some(line) => {
                status::show(&line);
                self.shown = line;
            }
        }
    }
}

/// `1,204 lives`, `1 life`, or that there is none yet.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {one} yet"),
        1 => format!("1 {one}"),
        _ => format!("{} {many}", grouped(number)),
    }
}

/// `1,204`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [
            (0, "no life yet"),
            (1, "1 life"),
            (999, "999 lives"),
            (1204, "1,204 lives"),
            (1_000_000, "1,000,000 lives"),
            (12_345_678, "12,345,678 lives"),
        ] {
            assert_eq!(counted(number, "life", "lives"), text);
        }
    }
}
