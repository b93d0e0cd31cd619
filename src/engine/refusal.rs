//! Refusals of the kernel, from the facts of the failure: which call, for which program or map,
//! with which errno. Nothing here is inferred from the text of a message.

use std::fmt;
use std::sync::Arc;

use nix::errno::Errno;

use crate::host::errno;
use crate::host::tracepoint::TracepointError;

/// One thing that the kernel refused.
#[derive(Clone, Debug)]
pub enum Refused {
    /// No program of this kind may be loaded or attached, not even an empty one
    Kind {
        /// As in the section's name: `fexit`, `raw_tp`, `iter/tcp`
        kind: String,
        /// Of `bpf(BPF_PROG_LOAD)`, or of attaching
        errno: Errno,
        /// It was loaded, and could not be attached
        attached: bool,
    },
    /// This program may not be loaded, though others of its kind may
    Program {
        name: String,
        /// Of `bpf(BPF_PROG_LOAD)`
        errno: Errno,
        /// The verifier's last words; empty if it did not run
        verifier: String,
    },
    /// The kernel does not have the target of a program
    Target {
        /// `tracepoint`, `function` or `iterator`
        what: &'static str,
        target: String,
    },
    /// The program was loaded, and could not be attached
    Attach {
        name: String,
        /// Of `bpf(BPF_LINK_CREATE)` or `bpf(BPF_RAW_TRACEPOINT_OPEN)`
        errno: Errno,
    },
    /// The program was loaded, and could not be attached to a tracepoint of tracefs
    Tracepoint(TracepointError),
    /// A map could not be created
    Map {
        name: String,
        /// Its type, as libbpf calls it: `ringbuf`
        kind: String,
        /// Of `bpf(BPF_MAP_CREATE)`
        errno: Errno,
    },
    /// The buffer could not be opened for reading
    Buffer {
        /// `ring` or `perf`
        kind: &'static str,
        /// Of mmap(2) or perf_event_open(2)
        errno: Errno,
    },
    /// The object could not be loaded, for no single program or map
    Object {
        /// What libbpf returned
        errno: Errno,
    },
    /// One of our own steps failed
    Other(Arc<anyhow::Error>),
}

impl Refused {
    /// A failure of our own.
    pub fn other(error: anyhow::Error) -> Self {
        Self::Other(Arc::new(error))
    }

    /// The errno of the call that failed, if one did.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kind { errno, .. }
            | Self::Program { errno, .. }
            | Self::Attach { errno, .. }
            | Self::Map { errno, .. }
            | Self::Buffer { errno, .. }
            | Self::Object { errno } => Some(*errno),
            Self::Tracepoint(error) => Some(error.errno),
            Self::Target { .. } => None,
            Self::Other(error) => errno::of(error),
        }
    }

    /// Whether no other backend can do better: this machine is short of something, or the failure
    /// does not depend on programs.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Other(_) => true,
            // ENOMEM: s390x returns it for trampolines, of which the kernel cannot have any. If
            // memory is short in general, the next backend tells.
            Self::Kind { errno, .. } => *errno != Errno::ENOMEM && is_shortage(*errno),
            _ => self.errno().is_some_and(is_shortage),
        }
    }
}

/// Whether something was scarce, as it would be for any program or map.
pub(crate) fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)
}

/// `EPERM`, which people search for
fn name(errno: Errno) -> impl fmt::Display {
    errno::name(errno as i32)
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { kind, errno, attached } => {
                let does = if *attached { "attaches" } else { "loads" };
                write!(f, "the kernel {does} no {kind} programs ({})", name(*errno))
            }
            Self::Program { name: program, errno, verifier } => {
                write!(f, "the kernel refused program {program} ({})", name(*errno))?;
                if verifier.is_empty() { Ok(()) } else { write!(f, ": {verifier}") }
            }
            Self::Target { what, target } => write!(f, "this kernel has no {what} {target}"),
            Self::Attach { name: program, errno } => {
                write!(f, "program {program} could not be attached ({})", name(*errno))
            }
            Self::Tracepoint(error) => error.fmt(f),
            Self::Map { name: map, kind, errno } => {
                write!(f, "the kernel refused map {map} of type {kind} ({})", name(*errno))
            }
            Self::Buffer { kind, errno } => {
                write!(f, "the {kind} buffer could not be opened ({})", name(*errno))
            }
            Self::Object { errno } => {
                write!(f, "the BPF object could not be loaded ({})", name(*errno))
            }
            Self::Other(error) => f.write_str(&errno::without_numbers(&format!("{error:#}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_a_kernel_cannot_have_leaves_other_backends() {
        let kind = |errno| Refused::Kind { kind: "fexit".to_owned(), errno, attached: false };
        assert!(!kind(Errno::ENOMEM).is_final() && kind(Errno::EMFILE).is_final());
        assert!(Refused::Object { errno: Errno::ENOMEM }.is_final());
    }
}
