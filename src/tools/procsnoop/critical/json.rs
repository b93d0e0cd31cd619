//! `--critical-path` as JSON Lines: an object for each process of the path.

use anyhow::Result;
use serde::Serialize;

use super::{Member, Path};
use crate::engine::session::Session;
use crate::output::json::EventName;
use crate::tools::procsnoop::history::{History, Past};
use crate::tools::procsnoop::usage::Usage;

/// `event.name`
pub const NAME: &str = "process.critical_path";

#[derive(Serialize)]
struct Record<'a> {
    /// When its part of the path begins
    timestamp: String,
    event: EventName,
    process: Process,
    critical_path: Part<'a>,
}

#[derive(Serialize)]
struct Process {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_pid: Option<u32>,
    comm: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    command_line: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier_command_lines: Vec<String>,
    /// Why it may have waited; not known while it runs
    #[serde(flatten)]
    waits: Option<Waits>,
}

/// Of its whole life, under the keys of `process.exit`.
#[derive(Serialize)]
struct Waits {
    paging: Paging,
    context_switches: Switches,
    disk: Disk,
}

#[derive(Serialize)]
struct Paging {
    major_faults: u64,
}

#[derive(Serialize)]
struct Switches {
    voluntary: u64,
    involuntary: u64,
}

#[derive(Serialize)]
struct Disk {
    read_bytes: u64,
}

/// Times are nanoseconds; the beginning of the path is 0.
#[derive(Serialize)]
struct Part<'a> {
    depth: usize,
    start_ns: u64,
    duration_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ns: Option<u64>,
    child_ns: u64,
    other_ns: u64,
    cpu_beside_ns: u64,
    steps: Vec<Step>,
    /// In the first line only
    #[serde(skip_serializing_if = "Option::is_none")]
    unsure: Option<&'a [String]>,
}

#[derive(Serialize)]
struct Step {
    start_ns: u64,
    duration_ns: u64,
}

/// Writes the path.
pub fn write(history: &History, path: &Path, session: &mut Session) -> Result<()> {
    let first_ns = path.steps.first().map_or(0, |step| step.from_ns);
    let mut steps = vec![Vec::new(); history.processes().len()];
    for step in &path.steps {
        let of_it = steps.get_mut(step.process).into_iter();
        of_it.for_each(|of_it| of_it.push((step.from_ns - first_ns, step.until_ns - step.from_ns)));
    }
    for (number, member) in path.members.iter().enumerate() {
        let Some(past) = history.processes().get(member.process) else { continue };
        let own = steps.get(member.process).map(Vec::as_slice).unwrap_or_default();
        let mut part = part(history, member, own, first_ns);
        part.unsure =
            Some(path.unsure.as_slice()).filter(|unsure| number == 0 && !unsure.is_empty());
        let timestamp = session.clock.rfc3339(member.from_ns);
        let event = EventName { name: NAME };
        let process = process(history, past);
        session.out.object(&Record { timestamp, event, process, critical_path: part })?;
    }
    Ok(())
}

fn process(history: &History, past: &Past) -> Process {
    let parent = past.parent.and_then(|parent| history.processes().get(parent));
    Process {
        pid: past.pid,
        parent_pid: parent.map(|parent| parent.pid),
        comm: String::from_utf8_lossy(&past.comm).into_owned(),
        command_line: past.command.clone(),
        earlier_command_lines: past.earlier.iter().map(|one| one.command.clone()).collect(),
        waits: past.end.map(|end| Waits::new(&end.usage)),
    }
}

impl Waits {
    fn new(usage: &Usage) -> Self {
        Self {
            paging: Paging { major_faults: usage.major_faults },
            context_switches: Switches {
                voluntary: usage.voluntary_switches,
                involuntary: usage.involuntary_switches,
            },
            disk: Disk { read_bytes: usage.read_bytes },
        }
    }
}

fn part<'a>(history: &History, member: &Member, steps: &[(u64, u64)], first_ns: u64) -> Part<'a> {
    let shares = member.shares(history);
    let step = |&(start_ns, duration_ns): &(u64, u64)| Step { start_ns, duration_ns };
    Part {
        depth: member.depth,
        start_ns: member.from_ns.saturating_sub(first_ns),
        duration_ns: member.part_ns(),
        cpu_ns: shares.cpu_ns,
        child_ns: shares.child_ns,
        other_ns: shares.other_ns,
        cpu_beside_ns: shares.beside_ns,
        steps: steps.iter().map(step).collect(),
        unsure: None,
    }
}
