//! Shows every attempt to connect by TCP, with its outcome and latency.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags, OpenMapMut};

use snoop_tools::engine::attach::leave_out;
use snoop_tools::engine::backend::{Backend, Job, refused_by_seccomp};
use snoop_tools::engine::cli::CommonArgs;
use snoop_tools::engine::interval::Interval;
use snoop_tools::engine::manual::Manual;
use snoop_tools::engine::progress::counted;
use snoop_tools::engine::replay::Replay;
use snoop_tools::engine::session::Session;
use snoop_tools::engine::tool::{self, Loaded, Open, Refused, Tool};
use snoop_tools::host::dns;
use snoop_tools::host::kernel::tracepoints_are_preemptible;
use snoop_tools::output::row::{View, docs};
use snoop_tools::output::table::count;
use snoop_tools::output::time::boot_now_ns;
use snoop_tools::skel::connect_flag;
use snoop_tools::skel::tcpconnect::TcpconnectSkelBuilder;
use snoop_tools::tools::tcpconnect::Connect;
use snoop_tools::tools::tcpconnect::args::{self, Args};
use snoop_tools::tools::tcpconnect::destination::Host;
use snoop_tools::tools::tcpconnect::fields::{self, Row};
use snoop_tools::tools::tcpconnect::filter::{self, network_entry};
use snoop_tools::tools::tcpconnect::names::Names;
use snoop_tools::tools::tcpconnect::replay::Attempts;
use snoop_tools::tools::tcpconnect::report;
use snoop_tools::tools::tcpconnect::siblings::{Ready, Siblings};
use snoop_tools::tools::tcpconnect::summary::{By, Counts, Summary};
use snoop_tools::tools::tcpconnect::{earlier, pending};

fn main() -> ExitCode {
    tool::main::<Tcpconnect>()
}

/// The programs on changes of state: the first one, and its stand-ins in order.
const STATES_BTF: [&str; 5] =
    ["state_btf", "state_btf_2", "state_btf_3", "state_btf_4", "state_btf_5"];
const STATES_RAW: [&str; 5] =
    ["state_raw", "state_raw_2", "state_raw_3", "state_raw_4", "state_raw_5"];

/// Likewise, those that do not look at the caller's registers and memory.
const PLAIN_BTF: [&str; 5] =
    ["plain_btf", "plain_btf_2", "plain_btf_3", "plain_btf_4", "plain_btf_5"];
const PLAIN_RAW: [&str; 5] =
    ["plain_raw", "plain_raw_2", "plain_raw_3", "plain_raw_4", "plain_raw_5"];

/// What these do not show.
const ASKED: &str = "what an application asked for, where its socket connects to something else";

/// Attempts that only the backend fexit sees, since they do not call connect().
const OTHER_CALLS: &str =
    "attempts by TCP Fast Open, io_uring or the kernel that fail before a SYN";

/// Finds the attempts that began before tracing.
fn earlier() -> Job {
    Job::adds("earlier", "attempts that were begun before tracing")
        .or("adopt")
        .or("adopt_syscall")
        .by_tool()
}

/// Looks at the sockets of attempts without an answer.
fn look() -> Job {
    Job::adds("look", "where attempts without an answer come from, and their repeated SYNs")
        .or("look_syscall")
        .by_tool()
}

/// Finds out who asks DNS servers.
fn askers() -> Job {
    Job::adds(
        "asker_btf",
        "which process asked for a name, and whether any did (--dns takes any answer)",
    )
    .or("asker_raw")
    .with_map("dns_askers")
    .broad()
}

struct Tcpconnect {
    args: Args,
    view: View<fields::Put>,
    counts: Counts,
    summary: Summary,
    interval: Option<Interval>,
    names: Names,
    /// With `--dns`; nothing is known of siblings without names
    siblings: Option<Siblings>,
}

impl Tool for Tcpconnect {
    const NAME: &'static str = "tcpconnect";
    const MANUAL: Manual = Manual { fields: Some(|| docs(fields::FIELDS)), ..args::MANUAL };
    type Args = Args;
    type Builder = TcpconnectSkelBuilder;

    fn new(mut args: Args) -> Result<Self, Refused> {
        let view = fields::view(&args)?;
        args.dns |= fields::needs_hosts(&view);
        if args.dns && !dns::IS_BUILT {
            return Err(Refused::Work("--dns: this program was built without it".to_owned()));
        }
        args.services |= view.shows("network.peer.service");
        Ok(Self {
            view,
            counts: Counts::new(By { source_port: args.source_port, process: args.per_process }),
            summary: Summary::default(),
            interval: None,
            names: Names::default(),
            siblings: args.dns.then(Siblings::default),
            args,
        })
    }

    fn common(&self) -> &CommonArgs {
        &self.args.common
    }

    fn replay(self) -> Result<Box<dyn Replay>, Refused> {
        Ok(Box::new(Attempts::new(self.args, self.view)?))
    }

    fn backends(&self) -> Vec<Backend> {
        // An interrupt makes the kernel skip one program, and each preempted task one more.
        let needed = if tracepoints_are_preemptible() { 5 } else { 2 };
        // Most changes of state do not matter here, and most calls succeed.
        let main = |program| Job::main(program).broad();
        let backend = |name, states: [Job; 5], calls: Vec<Job>| {
            let states = states.into_iter().take(needed);
            let askers = self.args.dns.then(askers);
            Backend::new(name, states.chain(calls).chain([earlier(), look()]).chain(askers))
        };
        // Jobs for the first programs; instead of each, the others in turn.
        type Five = [&'static str; 5];
        let states = |first: Five, or: &[Five], plain: &[Five]| {
            let mut number = 0;
            first.map(|program| {
                let at = |all: &[&'static str; 5]| all.get(number).copied();
                let job = or.iter().filter_map(at).fold(main(program), Job::or);
                let job = plain
                    .iter()
                    .filter_map(at)
                    .fold(job, |job, program| job.or_without(program, ASKED));
                number += 1;
                job
            })
        };
        let btf = || states(STATES_BTF, &[], &[PLAIN_BTF]);
        let raw = || states(STATES_RAW, &[], &[PLAIN_RAW]);
        // Failed calls come from the same program, whichever one sees the changes of state.
        let either = || states(STATES_BTF, &[STATES_RAW], &[PLAIN_BTF, PLAIN_RAW]);
        let calls = |program| main(program).with_map("untold");
        let more = |program, what| Job::adds(program, what).broad().if_there();
        let mut calls_by_fexit = vec![
            calls("fexit_connect").or_without("plain_connect", ASKED),
            more("fexit_fastopen", "attempts by TCP Fast Open that fail before a SYN"),
            more("fexit_mptcp", "attempts by MPTCP that fail before a SYN"),
            more("fexit_security", "attempts that a security module refuses"),
        ];
        if self.sees_errors() {
            // These cost every system call of threads with a filter.
            calls_by_fexit.extend(refused_by_seccomp().map(|job| job.with_map("tried")));
        }
        let fexit = backend("fexit", either(), calls_by_fexit);
        let plain = [backend("tp_btf", btf(), vec![]), backend("raw_tp", raw(), vec![])];
        let mut backends = vec![fexit];
        let what = if self.sees_errors() {
            backends.push(
                backend("tracepoint", either(), vec![calls("tp_connect").with_map("tried")])
                    .without_32_bit("calls of 32-bit programs that fail before a SYN")
                    .without(OTHER_CALLS),
            );
            let raw_tp = backend("raw_tp", raw(), vec![calls("raw_sys_exit").with_map("tried")]);
            backends.push(raw_tp.without(OTHER_CALLS));
            "attempts that fail before a SYN"
        } else {
            "attempts that fail before a SYN (--sync-errors shows them)"
        };
        backends.extend(plain.map(|backend| backend.without(what)));
        backends
    }

    fn uncounted(&self) -> Vec<&'static str> {
        // A stand-in handles every event that the program before it missed, so misses of all but
        // the last program are not losses. With only two programs even the last one's misses are
        // harmless: if both miss an end, the attempt stays in the map and the `pending` iterator
        // reports it.
        let made_good = if tracepoints_are_preemptible() { 4 } else { 2 };
        let first = |states: [&'static str; 5]| states.into_iter().take(made_good);
        // Without an entry a name is anybody's, as if the question had been asked elsewhere.
        let askers = ["asker_btf", "asker_raw"];
        let states = [STATES_BTF, STATES_RAW, PLAIN_BTF, PLAIN_RAW];
        states.into_iter().flat_map(first).chain(askers).collect()
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        let rodata = open.maps.rodata_data.as_deref_mut().context("no .rodata")?;
        let config = &mut rodata.connect_config;
        let least = self.args.min_latency.unwrap_or_default().as_nanos();
        config.min_latency_ns = u64::try_from(least).unwrap_or(u64::MAX);
        config.outcomes = self.args.outcomes();
        config.family = match (self.args.ipv4, self.args.ipv6) {
            (true, _) => libc::AF_INET as u32,
            (_, true) => libc::AF_INET6 as u32,
            _ => 0,
        };
        config.by_port = u32::from(!self.args.port.is_empty());
        config.by_network = u32::from(!self.args.cidr.is_empty());
        config.by_netns = u32::from(!self.args.netns.is_empty());
        config.preemptible = u32::from(tracepoints_are_preemptible());
        let programs = &open.progs;
        let sees_errors = programs.fexit_connect.autoload()
            || programs.plain_connect.autoload()
            || programs.tp_connect.autoload()
            || programs.raw_sys_exit.autoload();
        config.sees_errors = u32::from(sees_errors);
        config.siblings = u32::from(self.siblings.is_some() && !self.args.pending);
        for ports in self.args.port.iter().flatten() {
            ports.set_bits(&mut rodata.connect_ports);
        }
        if !self.sees_errors() {
            leave_out(&mut open.maps.tried)?;
        }
        if !self.args.dns {
            leave_out(&mut open.maps.dns_askers)?;
            leave_out(&mut open.maps.dns_scratch)?;
        }
        if !tracepoints_are_preemptible() {
            leave_out(&mut open.maps.refused)?; // begins have no stand-ins
        }
        size_or_leave_out(&mut open.maps.filter_networks, self.args.cidr.len())?;
        size_or_leave_out(&mut open.maps.filter_netns, self.args.netns.len())
    }

    fn fill(&self, object: &Loaded<Self>) -> Result<()> {
        for net in &self.args.cidr {
            let entry = network_entry(net);
            // SAFETY: integers without padding.
            let key = unsafe { plain::as_bytes(&entry) };
            object.maps.filter_networks.update(key, &[1], MapFlags::ANY).context("set --cidr")?;
        }
        for netns in &self.args.netns {
            let key = netns.inode.to_ne_bytes();
            object.maps.filter_netns.update(&key, &[1], MapFlags::ANY).context("set --netns")?;
        }
        Ok(())
    }

    fn start(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        earlier::begin(object, &self.args.common).context("look for attempts begun before")?;
        self.names = Names::open(self.args.dns, self.args.services, object)?;
        self.interval = self.args.summary.map(Interval::new);
        if self.shows_rows() {
            session.heading(self.view.columns());
        }
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        self.take(&Connect::decode(record)?, session)
    }

    fn values(id: &str) -> Option<Vec<String>> {
        filter::values(id)
    }

    fn progress(&self, session: &Session) -> Option<String> {
        (!self.shows_rows()).then(|| counted(session.events(), "attempt", "attempts"))
    }

    fn next_tick(&self) -> Option<Duration> {
        let siblings = self.siblings.as_ref().and_then(Siblings::left);
        self.interval.as_ref().map(Interval::left).into_iter().chain(siblings).min()
    }

    fn tick(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        self.names.update()?;
        self.release(false, session)?;
        if self.interval.as_mut().is_some_and(Interval::is_due) {
            self.show_summary(session)?;
        }
        Ok(())
    }

    fn finish(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        self.names.update()?;
        self.flush_pending(object, session)?;
        self.release(true, session)?;
        self.explain_losses(object, session);
        if self.interval.is_some() && self.summary.total.attempts > 0 {
            self.show_summary(session)?;
        }
        if self.args.count {
            report::counts(&self.counts, &self.names, boot_now_ns(), session)?;
        }
        Ok(())
    }
}

impl Tcpconnect {
    /// Totals since the previous summary.
    fn show_summary(&mut self, session: &mut Session) -> Result<()> {
        let summary = std::mem::take(&mut self.summary);
        report::summary(&summary, &self.names, boot_now_ns(), session)
    }

    fn sees_errors(&self) -> bool {
        self.args.sync_errors || self.args.failed
    }

    fn shows_rows(&self) -> bool {
        !self.args.count && self.args.summary.is_none()
    }

    /// Takes one attempt, to be shown now or when it is known what became of its siblings.
    fn take(&mut self, connect: &Connect, session: &mut Session) -> Result<()> {
        let Some(siblings) = &mut self.siblings else {
            return self.see(connect, None, false, session);
        };
        self.names.update()?;
        let known = self.names.host(connect);
        let has_several = known.is_some_and(|known| self.names.has_several_addresses(known.name));
        let aside = connect.is(connect_flag::CONNECT_ASIDE);
        siblings.add(connect, known.map(Into::into), has_several, aside);
        self.release(false, session)
    }

    /// Shows the attempts that have waited for their siblings; at the `end` all of them.
    fn release(&mut self, end: bool, session: &mut Session) -> Result<()> {
        while let Some(ready) = self.siblings.as_mut().and_then(|siblings| siblings.next(end)) {
            let Ready { connect, host, is_superseded } = &ready;
            self.see(connect, host.as_ref(), *is_superseded, session)?;
        }
        Ok(())
    }

    /// Shows or counts one attempt.
    fn see(
        &mut self,
        connect: &Connect,
        host: Option<&Host>,
        is_superseded: bool,
        session: &mut Session,
    ) -> Result<()> {
        if session.is_full() {
            return Ok(());
        }
        let name = host.map(|host| &*host.name);
        let service = self.names.service(connect.peer());
        let asked_service = connect.asked().and_then(|asked| self.names.service(asked));
        let row = Row { connect, host, service, asked_service, is_superseded };
        // The context is that of the caller, when the attempt began.
        session.contexts.was_sent_at(connect.began_ns(), &connect.id);
        if self.interval.is_none() && !self.args.count {
            session.row(&self.view, &connect.id, "network.connect", &row);
        } else if !session.passes(&self.view, &connect.id, "network.connect", &row) {
            return Ok(());
        } else if self.args.count {
            self.counts.add(connect, name, is_superseded);
        } else {
            self.summary.add(connect, name, is_superseded);
        }
        session.shown()
    }

    /// Shows the attempts without an answer.
    fn flush_pending(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        let mut pending = pending::read(object).context("read the attempts that are pending")?;
        pending.retain(|attempt| {
            !attempt.is(connect_flag::CONNECT_ASIDE) && self.args.ends_as_asked(attempt)
        });
        for attempt in &pending {
            self.take(attempt, session)?;
        }
        Ok(())
    }

    fn explain_losses(&mut self, object: &Loaded<Self>, session: &mut Session) {
        match self.names.lost() {
            0 => {}
            lost => {
                let answers = count(lost, "DNS answer");
                session.note(format!("{answers} lost: names may be missing"));
            }
        }
        let full = object.maps.bss_data.as_ref().map_or(0, |bss| bss.connect_counters.full);
        if full > 0 {
            let attempts = count(full, "attempt");
            session.note(format!("{attempts} not followed to the end: too many pending at once"));
        }
    }
}

/// Sizes a map for the values of a filter, or leaves it out.
fn size_or_leave_out(map: &mut OpenMapMut<'_>, values: usize) -> Result<()> {
    match values {
        0 => leave_out(map),
        _ => map.set_max_entries(values as u32).context("size a filter"),
    }
}
