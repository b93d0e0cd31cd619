//! `perf_event` programs: run once per given number of events of a CPU, or a number of times a
//! second.

use std::fmt;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use libbpf_rs::{Link, ProgramMut};
use nix::errno::Errno;

use crate::host::{cpus, perf_event};

/// Events by the names that perf gives them: type and number of `linux/perf_event.h`.
const EVENTS: &[(&str, u32, u64)] = &[
    ("cpu-clock", libbpf_sys::PERF_TYPE_SOFTWARE, 0),
    ("task-clock", libbpf_sys::PERF_TYPE_SOFTWARE, 1),
    ("page-faults", libbpf_sys::PERF_TYPE_SOFTWARE, 2),
    ("context-switches", libbpf_sys::PERF_TYPE_SOFTWARE, 3),
    ("cpu-migrations", libbpf_sys::PERF_TYPE_SOFTWARE, 4),
    ("minor-faults", libbpf_sys::PERF_TYPE_SOFTWARE, 5),
    ("major-faults", libbpf_sys::PERF_TYPE_SOFTWARE, 6),
    ("cycles", libbpf_sys::PERF_TYPE_HARDWARE, 0),
    ("instructions", libbpf_sys::PERF_TYPE_HARDWARE, 1),
    ("cache-references", libbpf_sys::PERF_TYPE_HARDWARE, 2),
    ("cache-misses", libbpf_sys::PERF_TYPE_HARDWARE, 3),
    ("branches", libbpf_sys::PERF_TYPE_HARDWARE, 4),
    ("branch-misses", libbpf_sys::PERF_TYPE_HARDWARE, 5),
];

/// What to count, and how often to run the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampling {
    event: &'static (&'static str, u32, u64),
    every: Every,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    /// This many times a second
    Frequency(u64),
    /// Once per this many events
    Period(u64),
}

impl std::str::FromStr for Sampling {
    type Err = anyhow::Error;

    /// `EVENT@TIMES_A_SECOND`, also with `hz` behind it, or `EVENT/PERIOD`
    fn from_str(text: &str) -> Result<Self> {
        let number = |digits: &str| digits.parse().ok().filter(|n| (1..=1_000_000_000).contains(n));
        let (name, every) = if let Some((name, digits)) = text.split_once('@') {
            let digits = digits.strip_suffix("hz").or(digits.strip_suffix("Hz")).unwrap_or(digits);
            (name, number(digits).map(Every::Frequency))
        } else if let Some((name, digits)) = text.split_once('/') {
            (name, number(digits).map(Every::Period))
        } else {
            (text, Some(Every::Frequency(49)))
        };
        let event = EVENTS.iter().find(|event| event.0 == name);
        let Some(event) = event else {
            let names: Vec<_> = EVENTS.iter().map(|event| event.0).collect();
            bail!("no event {name}: there are {}", names.join(", "));
        };
        let every = every.context("give EVENT@TIMES_A_SECOND or EVENT/PERIOD")?;
        Ok(Self { event, every })
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.event.0;
        match self.every {
            Every::Frequency(times) => write!(f, "{name}, {times} times a second,"),
            Every::Period(1) => write!(f, "{name}, each of them,"),
            Every::Period(period) => write!(f, "{name}, one of {period},"),
        }
    }
}

/// Attaches a program to the event on each CPU that is online.
pub fn attach(program: &ProgramMut<'_>, sampling: &Sampling) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for cpu in cpus::online()? {
        links.push(perf_event::attach(program, open(sampling, cpu)?)?);
    }
    Ok(links)
}

fn open(sampling: &Sampling, cpu: i32) -> Result<OwnedFd> {
    let &(name, kind, config) = sampling.event;
    let mut attr = perf_event::attributes(kind, config);
    match sampling.every {
        Every::Frequency(times) => {
            attr.set_freq(1);
            attr.__bindgen_anon_1.sample_freq = times;
        }
        Every::Period(period) => attr.__bindgen_anon_1.sample_period = period,
    }
    let event = perf_event::open(&attr, cpu);
    // Virtual machines seldom have the processor's own events.
    if let (Err(Errno::ENOENT | Errno::EOPNOTSUPP), libbpf_sys::PERF_TYPE_HARDWARE) = (&event, kind)
    {
        bail!("this machine has no counter for {name}: use cpu-clock");
    }
    event.with_context(|| format!("count {name} on CPU {cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed() {
        for (text, shown) in [
            ("cpu-clock", "cpu-clock, 49 times a second,"),
            ("cpu-clock@99", "cpu-clock, 99 times a second,"),
            ("cycles@1000hz", "cycles, 1000 times a second,"),
            ("page-faults/1", "page-faults, each of them,"),
            ("instructions/1000000", "instructions, one of 1000000,"),
        ] {
            assert_eq!(text.parse::<Sampling>().unwrap().to_string(), shown);
        }
        for wrong in ["", "x", "cpu-clock@", "cpu-clock@0", "cycles/x", "cycles/9999999999999"] {
            assert!(wrong.parse::<Sampling>().is_err(), "{wrong}");
        }
    }
}
