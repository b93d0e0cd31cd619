//! Shows every attempt to connect by TCP, with its outcome and latency.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libbpf_rs::{Iter, Link, MapCore as _, MapFlags};

use snoop_tools::attach::Backend;
use snoop_tools::cli::CommonArgs;
use snoop_tools::connect::Connect;
use snoop_tools::connect::args::Args;
use snoop_tools::connect::filter::network_entry;
use snoop_tools::connect::json::{self, Context};
use snoop_tools::connect::names::Names;
use snoop_tools::connect::report;
use snoop_tools::connect::summary::{Counts, Summary};
use snoop_tools::kernel::tracepoints_are_preemptible;
use snoop_tools::out::{Column, FAILURE, count};
use snoop_tools::session::{Session, say};
use snoop_tools::skel::tcpconnect::TcpconnectSkelBuilder;
use snoop_tools::skel::{connect_event, connect_outcome};
use snoop_tools::summary::Interval;
use snoop_tools::time::{Millis, Seconds};
use snoop_tools::tool::{self, Loaded, Open, Tool};

fn main() -> ExitCode {
    tool::main::<Tcpconnect>()
}

/// The programs on changes of state: the first, and its stand-ins in order.
const STATES_BTF: [&str; 5] =
    ["state_btf", "state_btf_2", "state_btf_3", "state_btf_4", "state_btf_5"];
const STATES_RAW: [&str; 5] =
    ["state_raw", "state_raw_2", "state_raw_3", "state_raw_4", "state_raw_5"];

struct Tcpconnect {
    args: Args,
    columns: Vec<Column>,
    counts: Counts,
    summary: Summary,
    interval: Option<Interval>,
    names: Names,
}

impl Tool for Tcpconnect {
    const NAME: &'static str = "tcpconnect";
    type Args = Args;
    type Builder = TcpconnectSkelBuilder;

    fn new(args: Args) -> Result<Self, String> {
        Ok(Self {
            columns: columns(&args),
            counts: Counts::default(),
            summary: Summary::default(),
            interval: None,
            names: Names::default(),
            args,
        })
    }

    fn common(&self) -> &CommonArgs {
        &self.args.common
    }

    fn backends(&self) -> Vec<Backend> {
        let backend = |name, programs: &[&'static str], optional: &[&'static str]| Backend {
            name,
            programs: programs.to_vec(),
            optional: optional.to_vec(),
            iterators: vec!["earlier", "pending"],
            // Most changes of state are others than those that matter, and most calls succeed.
            broad: [programs, optional].concat(),
            without_optional: "errors before a SYN may be missing where it would look",
        };
        let with_calls = |programs: &[&'static str], of_calls| [programs, &[of_calls]].concat();
        // An interrupt keeps one program from what it brings; preempted tasks, one each.
        let needed = if tracepoints_are_preemptible() { 5 } else { 2 };
        let first = |states: [&'static str; 5]| states.into_iter().take(needed).collect::<Vec<_>>();
        let (btf, raw) = (&first(STATES_BTF), &first(STATES_RAW));
        let fexit = backend(
            "fexit",
            &with_calls(btf, "fexit_connect"),
            &["fexit_fastopen", "fexit_mptcp", "fexit_security"],
        );
        if self.sees_errors() {
            return vec![
                fexit,
                backend("tracepoint", &with_calls(btf, "tp_connect"), &[]),
                backend("raw_tp", &with_calls(raw, "raw_sys_exit"), &[]),
            ];
        }
        vec![fexit, backend("tp_btf", btf, &[]), backend("raw_tp", raw, &[])]
    }

    fn uncounted(&self) -> Vec<&'static str> {
        // What one was kept from another has done. The last of all counts what none has, but
        // where two suffice: an end that both should miss leaves an attempt behind (`pending`).
        let made_good = if tracepoints_are_preemptible() { 4 } else { 2 };
        let first = |states: [&'static str; 5]| states.into_iter().take(made_good);
        first(STATES_BTF).chain(first(STATES_RAW)).collect()
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        let rodata = open.maps.rodata_data.as_deref_mut().context("no .rodata")?;
        let config = &mut rodata.connect_config;
        let least = self.args.min_latency.unwrap_or_default().as_nanos();
        config.min_latency_ns = u64::try_from(least).unwrap_or(u64::MAX);
        config.outcomes = self.outcomes();
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
            || programs.tp_connect.autoload()
            || programs.raw_sys_exit.autoload();
        config.sees_errors = u32::from(sees_errors);
        for ports in self.args.port.iter().flatten() {
            ports.set_bits(&mut rodata.connect_ports);
        }
        let size = |values: usize| values.max(1) as u32;
        open.maps.filter_networks.set_max_entries(size(self.args.cidr.len()))?;
        open.maps.filter_netns.set_max_entries(size(self.args.netns.len()))?;
        if !sees_errors {
            open.maps.untold.set_max_entries(1)?;
        }
        Ok(())
    }

    fn fill(&self, object: &Loaded<Self>) -> Result<()> {
        for net in &self.args.cidr {
            let entry = network_entry(net);
            // SAFETY: integers without padding.
            let key = unsafe { plain::as_bytes(&entry) };
            object.maps.filter_networks.update(key, &[1], MapFlags::ANY).context("set --cidr")?;
        }
        for inode in &self.args.netns {
            let key = inode.to_ne_bytes();
            object.maps.filter_netns.update(&key, &[1], MapFlags::ANY).context("set --netns")?;
        }
        Ok(())
    }

    fn start(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        let link = object.progs.earlier.attach().context("look for attempts before")?;
        read_iterator(&link).context("look for attempts before")?;
        self.names = Names::open(self.args.dns, self.args.services)?;
        self.interval = self.args.summary.map(Interval::new);
        if self.shows_rows() {
            session.out.heading(&self.columns);
        }
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        self.see(&Connect::decode(record)?, session)
    }

    fn next_tick(&self) -> Option<Duration> {
        self.interval.as_ref().map(Interval::left)
    }

    fn tick(&mut self, last: bool, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        self.names.update()?;
        if last {
            self.flush_pending(object, session)?;
            self.explain_losses(object);
        }
        let is_due = self.interval.as_mut().is_some_and(Interval::is_due);
        if is_due || (last && self.interval.is_some() && self.summary.total.attempts > 0) {
            let summary = std::mem::take(&mut self.summary);
            report::summary(&summary, &self.names, session)?;
        }
        if last && self.args.count {
            report::counts(&self.counts, &self.names, session)?;
        }
        Ok(())
    }
}

fn columns(args: &Args) -> Vec<Column> {
    // An IPv6 address has up to 39 characters, but mostly much less.
    let address = if args.ipv6 { 39 } else { 15 };
    let all = [
        (args.time, Column::left("TIME", 8)),
        (args.common.timestamp, Column::left("TIME(s)", 8)),
        (args.print_uid, Column::left("UID", 6)),
        (true, Column::left("PID", 7)),
        (args.print_tid, Column::left("TID", 7)),
        (true, Column::left("COMM", 16)),
        (true, Column::left("IP", 2)),
        (true, Column::left("SADDR", address)),
        (true, Column::left("SPORT", 5)),
        (true, Column::left("DADDR", if args.dns { address.max(30) } else { address })),
        (true, Column::left("DPORT", if args.services { 12 } else { 5 })),
        (true, Column::left("RESULT", 13)),
        (true, Column::right("LAT(ms)", 9)),
        (args.print_rtt, Column::right("RTT(ms)", 9)),
        (args.print_retries, Column::right("RETRIES", 7)),
        (args.print_netns, Column::left("NETNS", 10)),
        (args.print_cgroup, Column::left("CGROUP", 0)),
    ];
    all.into_iter().filter(|(shown, _)| *shown).map(|(_, column)| column).collect()
}

impl Tcpconnect {
    fn sees_errors(&self) -> bool {
        self.args.sync_errors || self.args.failed
    }

    fn shows_rows(&self) -> bool {
        !self.args.count && self.args.summary.is_none()
    }

    /// Bits of the outcomes that are shown.
    fn outcomes(&self) -> u32 {
        let bit = |outcome: connect_outcome| 1 << outcome.0;
        if self.args.failed {
            bit(connect_outcome::CONNECT_FAILED) | bit(connect_outcome::CONNECT_ABORTED)
        } else if self.args.pending {
            bit(connect_outcome::CONNECT_PENDING)
        } else {
            u32::MAX
        }
    }

    /// Shows or counts one attempt.
    fn see(&mut self, connect: &Connect, session: &mut Session) -> Result<()> {
        if session.is_full() {
            return Ok(());
        }
        self.names.update()?;
        let host = self.names.host(connect);
        if self.interval.is_some() {
            self.summary.add(connect, host);
        } else if self.args.count {
            self.counts.add(connect, host);
        } else if session.out.json {
            let timestamp = session.clock.rfc3339(connect.id.time_ns);
            let context = Context {
                timestamp: &timestamp,
                cgroup: session.cgroups.path(&connect.id),
                peer_name: host,
                service: self.names.service(connect.peer()),
            };
            session.out.object(&json::row(connect, &context))?;
        } else {
            self.text_row(connect, host, session);
        }
        session.shown()
    }

    fn text_row(&self, connect: &Connect, host: Option<&str>, session: &mut Session) {
        let (args, id, event) = (&self.args, &connect.id, &connect.event);
        let time = if args.time { session.clock.local_time(id.time_ns) } else { String::new() };
        let mut line = session.out.line(&self.columns);
        if args.time {
            line.text(&time);
        }
        if args.common.timestamp {
            line.value(Seconds(id.time_ns.saturating_sub(session.started_ns)));
        }
        if args.print_uid {
            line.value(id.uid);
        }
        line.value(id.pid);
        if args.print_tid {
            line.value(id.tid);
        }
        line.name(id.comm());
        let peer = connect.peer();
        line.text(if peer.address.is_ipv4() { "4" } else { "6" });
        match connect.local() {
            Some(local) => line.value(local.address).value(local.port),
            None => line.text("-").text("-"),
        };
        report::peer_cells(&mut line, peer, host, &self.names);
        match connect.has_failed() {
            true => line.styled(&connect.result(), FAILURE),
            false => line.text(&connect.result()),
        };
        millis(&mut line, connect.duration_ns());
        if args.print_rtt {
            millis(&mut line, connect.rtt_ns());
        }
        if args.print_retries {
            line.value(event.retransmits);
        }
        if args.print_netns {
            line.value(event.netns);
        }
        if args.print_cgroup {
            line.name(session.cgroups.path(id).unwrap_or(b"-"));
        }
    }

    /// Attempts without an answer: only their sockets know more than the record of their begin.
    fn flush_pending(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        let attempts = object.maps.attempts.as_fd();
        let link = object.progs.pending.attach_iter(attempts).context("look for attempts")?;
        let records = read_iterator(&link).context("read the attempts that are pending")?;
        let attempts = records.chunks_exact(size_of::<connect_event>()).map(Connect::decode);
        let mut attempts = attempts.collect::<Result<Vec<_>>>()?;
        attempts.sort_by_key(Connect::began_ns);
        for attempt in &attempts {
            self.see(attempt, session)?;
        }
        Ok(())
    }

    fn explain_losses(&mut self, object: &Loaded<Self>) {
        match self.names.lost() {
            0 => {}
            lost => say(
                Self::NAME,
                &format!("{} lost: names may be missing", count(lost, "DNS answer")),
            ),
        }
        let full = object.maps.bss_data.as_ref().map_or(0, |bss| bss.connect_counters.full);
        if full > 0 {
            let attempts = count(full, "attempt");
            say(Self::NAME, &format!("{attempts} not followed: too many pending at once"));
        }
    }
}

/// All that a BPF iterator has to say.
fn read_iterator(link: &Link) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    Iter::new(link)?.read_to_end(&mut records)?;
    Ok(records)
}

/// A cell with milliseconds, to the microsecond.
fn millis(line: &mut snoop_tools::out::Line<'_>, ns: Option<u64>) {
    match ns {
        Some(ns) => line.value(Millis(ns)),
        None => line.text("-"),
    };
}
