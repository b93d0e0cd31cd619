//! The end of a process, as wait(2) reports it.

use std::borrow::Cow;
use std::fmt;

/// A status, as the macros of `sys/wait.h` decode it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// An exit, with this code
    Code(u8),
    /// A signal ended it
    Signal {
        /// Its number
        number: u32,
        /// Memory was dumped
        core: bool,
    },
}

impl Status {
    /// Decodes the number that wait() gives.
    pub fn from_wait(status: i32) -> Self {
        match (status & 0x7f).unsigned_abs() {
            0 => Self::Code((status >> 8 & 0xff) as u8),
            number => Self::Signal { number, core: status & 0x80 != 0 },
        }
    }

    /// Whether it is anything but exit code 0.
    pub fn is_failure(self) -> bool {
        self != Self::Code(0)
    }

    /// The signal's name, if a signal ended the process.
    pub fn signal(self) -> Option<Cow<'static, str>> {
        match self {
            Self::Code(_) => None,
            Self::Signal { number, .. } => Some(crate::host::signal::name(number)),
        }
    }

    /// Whether memory was dumped.
    pub fn core_dumped(self) -> bool {
        matches!(self, Self::Signal { core: true, .. })
    }
}

impl fmt::Display for Status {
    /// `0`, `SIGKILL`, `SIGSEGV+core`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Signal { number, core } => {
                f.write_str(&crate::host::signal::name(*number))?;
                f.write_str(if *core { "+core" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_macros_of_libc_have_it() {
        for status in 0..=0xffff {
            let ours = Status::from_wait(status);
            match ours {
                Status::Code(code) => {
                    assert!(libc::WIFEXITED(status));
                    assert_eq!(i32::from(code), libc::WEXITSTATUS(status));
                }
                // 0x7f: stopped, and so not ended.
                Status::Signal { number: 0x7f, .. } => assert!(!libc::WIFSIGNALED(status)),
                Status::Signal { number, core } => {
                    assert!(libc::WIFSIGNALED(status));
                    assert_eq!(number as i32, libc::WTERMSIG(status));
                    assert_eq!(core, libc::WCOREDUMP(status));
                }
            }
            assert_eq!(ours.is_failure(), ours.to_string() != "0");
        }
        assert_eq!(Status::from_wait(42 << 8).to_string(), "42");
        assert_eq!(Status::from_wait(9).to_string(), "SIGKILL");
        assert_eq!(Status::from_wait(11 | 0x80).to_string(), "SIGSEGV+core");
    }
}
