//! Shows signals, with who sent them to whom.

use snoop_tools::engine::tracer::prelude::*;
use snoop_tools::skel::killsnoop::KillsnoopSkelBuilder;
use snoop_tools::skel::{kill_event, task_id};

fn main() -> std::process::ExitCode {
    tracer::main::<Killsnoop>()
}

/// Show every signal that a process sends, to whom, and its fate
#[derive(Args)]
pub(crate) struct Flags {
    /// Only this signal, by name or number (repeatable)
    #[arg(short, long, value_parser = signal::parse, help_heading = "Filters")]
    signal: Vec<u32>,
    /// Only signals for this process
    #[arg(short = 'T', long, value_name = "PID", help_heading = "Filters")]
    target: Option<i32>,
    /// Only signals that were ignored, lost or refused
    #[arg(short = 'x', long, visible_alias = "fails", help_heading = "Filters")]
    failed: bool,
    /// Show signals that the kernel sends, too
    #[arg(short, long)]
    kernel: bool,
}

pub(crate) struct Killsnoop;

/// What became of a signal: `TRACE_SIGNAL_DELIVERED` and so on.
const FATES: [&str; 5] =
    ["delivered", "ignored", "already pending", "overflow", "without information"];

impl Tracer for Killsnoop {
    const NAME: &'static str = "killsnoop";
    const EVENT: &'static str = "signal.sent";
    const DEMO: &'static str = "kill -CONT $$";
    const MANUAL: Manual = Manual {
        description: "Shows signals and, with -x, calls of kill() that fail. With --kernel, PID and COMM \
            of the kernel's signals are of the process that happened to run.",
        examples: &[
            ("killsnoop -s KILL -s TERM", "who ends processes"),
            ("killsnoop -x", "what did not arrive"),
        ],
        overhead: "About a microsecond for each signal; with -x every system call of the machine \
            takes about a tenth longer.",
        ..Manual::TRACER
    };
    const FIELDS: &'static [FieldOf<kill_event>] = &[
        Field::left("SIGNAL", 11, "signal.name", "name of the signal", |event, slot| {
            slot.text(&signal::name(event.signal));
        }),
        Field::left("TPID", 7, "signal.target.pid", "the target", |e, s| s.number(e.target_pid)),
        Field::left("TCOMM", 16, "signal.target.comm", "its name", |e, s| s.comm(&e.target_comm)),
        Field::json("signal.code", "si_code; positive: the kernel's", |e, s| s.number(e.code)),
        Field::left("RESULT", 0, "signal.result", "its fate", |event, slot| match usize::try_from(
            event.result,
        )
        .ok()
        .and_then(|fate| FATES.get(fate))
        {
            Some(fate @ (&"delivered" | &"without information")) => slot.text(fate),
            Some(fate) => slot.failure(fate),
            None => slot.failure(&errno::name(event.result.saturating_neg())),
        }),
    ];
    type Args = Flags;
    type Builder = KillsnoopSkelBuilder;
    type Event = kill_event;

    fn recorded(line: &Line, id: &task_id) -> Reading<kill_event> {
        let signal = line.text("signal.name")?.ok_or("no signal.name")?;
        let result = line.text("signal.result")?.ok_or("no signal.result")?;
        let fate = FATES.iter().position(|fate| *fate == result).map(|at| at as i32);
        let error = || errno::number(result).map(i32::saturating_neg);
        Ok(kill_event {
            id: (*id).into(),
            target_pid: line.signed("signal.target.pid")?.ok_or("no signal.target.pid")?,
            signal: signal::parse(signal).map_err(|_| "signal.name is not a signal")?,
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

    fn backends(flags: &Flags) -> Vec<Backend> {
        let failed = ["failed_kill", "failed_tkill", "failed_tgkill"];
        let failed = failed.map(|program| Job::adds(program, "calls that fail"));
        on_tracepoint(["sent_btf", "sent_raw"], if flags.failed { &failed } else { &[] })
    }

    fn configure(flags: &Flags, object: &mut Object<Self>) -> Result<()> {
        let data = object.maps.rodata_data.as_deref_mut().context("no .rodata")?;
        let signals = flags.signal.iter().map(|signal| 1 << (signal - 1));
        data.signals = signals.reduce(|all, one| all | one).unwrap_or(u64::MAX);
        data.target_pid = flags.target.unwrap_or(0);
        (data.only_failed, data.with_kernel) = (flags.failed.into(), flags.kernel.into());
        Ok(())
    }
}
