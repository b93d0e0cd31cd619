//! `killsnoop --from`: signals from lines of JSON.

use snoop_tools::engine::recorded::{Line, Reading};
use snoop_tools::engine::tracer::OfRecording;
use snoop_tools::host::{errno, signal};
use snoop_tools::skel::{kill_event, task_id};

use super::{Flags, Killsnoop};

/// What became of a signal: `TRACE_SIGNAL_DELIVERED` and so on.
const FATES: [&str; 5] =
    ["delivered", "ignored", "already pending", "overflow", "without information"];

pub(crate) const OF_RECORDING: OfRecording<Killsnoop> = OfRecording { event, is_shown };

fn event(line: &Line, id: &task_id) -> Reading<kill_event> {
    let name = line.text("signal.name")?.ok_or("no signal.name")?;
    let result = line.text("signal.result")?.ok_or("no signal.result")?;
    let fate = FATES.iter().position(|fate| *fate == result).map(|at| at as i32);
    let error = || errno::number(result).map(i32::saturating_neg);
    Ok(kill_event {
        id: (*id).into(),
        target_pid: line.signed("signal.target.pid")?.ok_or("no signal.target.pid")?,
        target_start_ns: line.number("signal.target.start_boot_ns")?.unwrap_or(0),
        signal: signal::parse(name).map_err(|_| "signal.name is not a signal")?,
        code: line.signed("signal.code")?.ok_or("no signal.code")?,
        result: fate.or_else(error).ok_or("signal.result is unknown")?,
        target_comm: line.comm("signal.target.comm")?.unwrap_or_default(),
    })
}

fn is_shown(flags: &Flags, event: &kill_event) -> bool {
    (flags.signal.is_empty() || flags.signal.contains(&event.signal))
        && flags.target.is_none_or(|pid| pid == event.target_pid)
        && (!flags.failed || event.result != 0)
        && (flags.kernel || event.code <= 0)
}
