//! Shows signals, with who sent them to whom.

use snoop_tools::engine::tracer::prelude::*;
use snoop_tools::skel::kill_event;
use snoop_tools::skel::killsnoop::KillsnoopSkelBuilder;
#[path = "killsnoop/recorded.rs"]
mod recorded;

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
        overhead: "About a microsecond for each signal; with -x every system call takes a tenth longer.",
        ..Manual::TRACER
    };
    const FIELDS: &'static [FieldOf<kill_event>] = &[
        Field::left("SIGNAL", 11, "signal.name", "name", |e, s| s.text(&signal::name(e.signal))),
        Field::left("TPID", 7, "signal.target.pid", "the target", |e, s| s.number(e.target_pid)),
        Field::json("signal.target.creation.time", "its birth", |e, s| s.birth(e.target_start_ns)),
        Field::json("signal.target.start_boot_ns", "likewise", |e, s| {
            s.birth_ns(e.target_start_ns);
        }),
        Field::left("TCOMM", 16, "signal.target.comm", "its name", |e, s| s.comm(&e.target_comm)),
        Field::json("signal.code", "si_code; positive: the kernel's", |e, s| s.number(e.code)),
        Field::left("RESULT", 0, "signal.result", "its fate", |event, slot| match event.result {
            0 => slot.text("delivered"),
            1 => slot.failure("ignored"),
            2 => slot.failure("already pending"),
            3 => slot.failure("overflow"),
            4 => slot.text("without information"),
            error => slot.failure(&errno::name(error.saturating_neg())),
        }),
    ];
    type Args = Flags;
    type Builder = KillsnoopSkelBuilder;
    type Event = kill_event;
    const RECORDED: Option<OfRecording<Self>> = Some(recorded::OF_RECORDING);

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
