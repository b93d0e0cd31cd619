//! Classic tracepoints. We attach them ourselves, since libbpf finds them only where tracefs is
//! mounted.

use std::fmt;

use libbpf_rs::{Link, ProgramMut};
use nix::errno::Errno;

use crate::host::perf_event;
use crate::host::tracefs::{Tracefs, TracefsError};

/// Why a program could not be attached to a tracepoint: which call failed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracepointError {
    /// `CATEGORY/NAME`
    pub tracepoint: String,
    /// What failed
    pub step: Step,
    /// How
    pub errno: Errno,
}

/// The steps on the way to an attached program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Mounting tracefs for ourselves, because it is not mounted at the usual places
    MountTracefs,
    /// Entering tracefs
    EnterTracefs,
    /// Reading the tracepoint's id in tracefs
    ReadId,
    /// `perf_event_open()`
    OpenEvent,
    /// Attaching the program to the event
    Attach,
}

/// Attaches a loaded program to the tracepoint `events/CATEGORY/NAME` of tracefs.
pub fn attach(
    program: &ProgramMut<'_>,
    category: &str,
    name: &str,
) -> Result<Link, TracepointError> {
    let failed = |step| {
        let tracepoint = format!("{category}/{name}");
        move |errno| TracepointError { tracepoint, step, errno }
    };
    let tracefs = Tracefs::open().map_err(|TracefsError { is_mounted, errno }| {
        let step = if is_mounted { Step::EnterTracefs } else { Step::MountTracefs };
        failed(step)(errno)
    })?;
    let id = id(&tracefs, category, name).map_err(failed(Step::ReadId))?;
    let attributes = perf_event::attributes(libbpf_sys::PERF_TYPE_TRACEPOINT, id);
    // The program runs on every CPU that hits the tracepoint: this CPU matters only for counting.
    let event = perf_event::open(&attributes, 0).map_err(failed(Step::OpenEvent))?;
    perf_event::attach(program, event).map_err(failed(Step::Attach))
}

fn id(tracefs: &Tracefs, category: &str, name: &str) -> Result<u64, Errno> {
    let is_name = |part: &&str| !part.is_empty() && !part.contains('/') && !part.starts_with('.');
    if ![category, name].iter().all(is_name) {
        return Err(Errno::ENOENT); // another file of tracefs is no tracepoint's id
    }
    let text = tracefs.read(&format!("events/{category}/{name}/id"))?;
    text.trim().parse().map_err(|_| Errno::EBADMSG)
}

impl TracepointError {
    /// Whether the kernel has no such tracepoint.
    pub fn is_missing(&self) -> bool {
        // The folder vanishes with the module, perhaps after we have read the id.
        matches!(self.step, Step::ReadId | Step::OpenEvent) && self.errno == Errno::ENOENT
    }

    /// The remedy, in words for people.
    pub fn advice(&self) -> Option<&'static str> {
        match (self.step, self.errno) {
            (Step::MountTracefs, Errno::ENODEV) => Some("use another kernel"),
            (Step::MountTracefs, _) => Some("mount -t tracefs tracefs /sys/kernel/tracing"),
            (Step::EnterTracefs | Step::ReadId, Errno::EACCES) => Some("CAP_DAC_READ_SEARCH helps"),
            (Step::OpenEvent, Errno::EACCES) => Some(
                "grant CAP_PERFMON; where kernel.perf_event_paranoid is 3 or more, CAP_SYS_ADMIN",
            ),
            (Step::OpenEvent, Errno::EPERM) => {
                Some("a container or a security policy may forbid perf_event_open()")
            }
            _ => None,
        }
    }
}

impl fmt::Display for TracepointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tracepoint, step, errno } = self;
        let why = errno.desc();
        if self.is_missing() {
            return write!(f, "this kernel has no tracepoint {tracepoint}");
        }
        match (step, errno) {
            (Step::MountTracefs, Errno::ENODEV) => f.write_str("this kernel has no tracefs"),
            (Step::MountTracefs, _) => {
                write!(f, "tracefs is not mounted, and cannot be by us: {why}")
            }
            (Step::EnterTracefs | Step::ReadId, Errno::EACCES) => {
                f.write_str("only root may read tracefs")
            }
            (Step::EnterTracefs | Step::ReadId, Errno::EPERM) => {
                f.write_str("lockdown or a security policy forbids reading tracefs")
            }
            (Step::EnterTracefs, _) => write!(f, "cannot enter tracefs: {why}"),
            (Step::ReadId, _) => write!(f, "cannot read the id of tracepoint {tracepoint}: {why}"),
            (Step::OpenEvent, _) => write!(f, "cannot open tracepoint {tracepoint}: {why}"),
            // See perf_event_set_bpf_prog() and perf_event_attach_bpf_prog() in the kernel.
            (Step::Attach, Errno::EACCES) => {
                write!(f, "the program reads more than tracepoint {tracepoint} tells")
            }
            (Step::Attach, Errno::E2BIG) => {
                write!(f, "tracepoint {tracepoint} has as many programs as it may have")
            }
            (Step::Attach, _) => write!(f, "cannot attach to tracepoint {tracepoint}: {why}"),
        }
    }
}

impl std::error::Error for TracepointError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(step: Step, errno: Errno) -> TracepointError {
        TracepointError { tracepoint: "a/b".to_owned(), step, errno }
    }

    #[test]
    fn each_failure_has_a_line_of_its_own() {
        let missing = error(Step::ReadId, Errno::ENOENT);
        assert!(missing.is_missing());
        assert_eq!(missing.to_string(), "this kernel has no tracepoint a/b");
        let unmounted = error(Step::MountTracefs, Errno::EPERM);
        assert!(!unmounted.is_missing());
        assert!(unmounted.to_string().starts_with("tracefs is not mounted, and cannot be by us"));
        assert!(unmounted.advice().is_some_and(|advice| advice.starts_with("mount -t tracefs")));
        let forbidden = error(Step::EnterTracefs, Errno::EACCES);
        assert_eq!(forbidden.to_string(), "only root may read tracefs");
        let greedy = error(Step::Attach, Errno::EACCES);
        assert_eq!(greedy.to_string(), "the program reads more than tracepoint a/b tells");
        // A missing tracefs is not a missing tracepoint.
        assert!(!error(Step::MountTracefs, Errno::ENOENT).is_missing());
    }

    #[test]
    fn only_tracepoints_have_ids() {
        let Ok(tracefs) = Tracefs::open() else { return }; // not as root
        assert!(id(&tracefs, "sched", "sched_process_exec").is_ok_and(|id| id > 0));
        for (category, name) in [
            ("sched", "no_such"),
            ("no_such", "sched_process_exec"),
            ("sched/sched_process_exec", ""),
            ("..", "events/sched/sched_process_exec"),
            ("", ""),
            ("sched", "a\0b"),
        ] {
            assert!(id(&tracefs, category, name).is_err(), "{category} {name}");
        }
        assert_eq!(id(&tracefs, "sched", "no_such"), Err(Errno::ENOENT));
    }
}
