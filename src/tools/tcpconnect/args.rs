//! tcpconnect's flags and manual.

use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;

use super::filter::{Netns, Ports, netns, network};
use super::{Connect, Endpoint};
use crate::engine::cli::{CommonArgs, milliseconds, seconds};
use crate::engine::manual::{CAPABILITIES, Demo, EXIT_STATUS, GROUP, Manual, RUN_AS};
use crate::skel::connect_outcome;

/// Show every attempt to connect by TCP, with its outcome and latency
#[derive(Parser, Debug)]
#[command(
    name = "tcpconnect",
    version,
    // In bcc's tool these letters are --port and --count.
    mut_arg("ppid", |arg| arg.short(None)),
    mut_arg("cgroup", |arg| arg.short(None)),
    // As in libbpf-tools, to say what to use instead.
    mut_arg("cgroupmap", |arg| arg.short('C')),
    mut_arg("mntnsmap", |arg| arg.short('M'))
)]
pub struct Args {
    /// Show a column with the thread that called
    #[arg(long)]
    pub print_tid: bool,

    /// Show a column with the round-trip time of the handshake
    #[arg(long)]
    pub print_rtt: bool,

    /// Show a column with the number of SYNs that were sent again
    #[arg(long)]
    pub print_retries: bool,

    /// Show a column with the inode number of the network namespace
    #[arg(long)]
    pub print_netns: bool,

    /// Show a column with the caller's cgroup
    #[arg(long)]
    pub print_cgroup: bool,

    /// Show a column with the host's name, if a DNS answer to this machine had it, and mark attempts
    /// that another address of the same host made up for
    #[arg(short, long)]
    pub dns: bool,

    /// Show the name of the destination's port, from /etc/services
    #[arg(long)]
    pub services: bool,

    /// Show a column with the local port
    #[arg(short = 'L', long)]
    pub lport: bool,

    /// Show calls that fail before a SYN too, even if this makes every system call of the machine
    /// slower (where trampolines load, such calls are shown anyway)
    #[arg(long)]
    pub sync_errors: bool,

    /// Show only totals by source, destination and port, at the end
    #[arg(short, long, conflicts_with_all = ["summary", "columns", "login", "ancestors"])]
    pub count: bool,

    /// With --count, also by source port
    #[arg(short, long, requires = "count")]
    pub source_port: bool,

    /// With --count, also by process
    #[arg(long, requires = "count")]
    pub per_process: bool,

    /// Show only totals and latencies by destination, this often
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = seconds,
        conflicts_with_all = ["columns", "login", "ancestors"]
    )]
    pub summary: Option<Duration>,

    /// Only attempts to this port, as asked for or as got; a list with ranges and names of services is allowed: https,8000-8999 (repeatable)
    #[arg(short = 'P', long, value_name = "PORTS", value_parser = Ports::parse_list, help_heading = "Filters")]
    pub port: Vec<Vec<Ports>>,

    /// Only attempts to this network or address, as asked for or as got: 10.0.0.0/8 (repeatable)
    #[arg(long, value_name = "NETWORK", value_parser = network, help_heading = "Filters")]
    pub cidr: Vec<IpNet>,

    /// Only IPv4, also through IPv6 sockets
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Filters")]
    pub ipv4: bool,

    /// Only IPv6
    #[arg(short = '6', long, help_heading = "Filters")]
    pub ipv6: bool,

    /// Only attempts in this network namespace: its name, its inode number, or /proc/PID/ns/net
    /// (repeatable)
    #[arg(long, value_name = "NETNS", value_parser = netns, help_heading = "Filters")]
    pub netns: Vec<Netns>,

    /// Only attempts that failed or were given up; implies --sync-errors
    #[arg(
        short = 'x',
        long,
        visible_alias = "fails",
        conflicts_with = "pending",
        help_heading = "Filters"
    )]
    pub failed: bool,

    /// Only attempts without an answer when tracing ends; with a short --duration, the attempts
    /// that wait now
    #[arg(long, help_heading = "Filters")]
    pub pending: bool,

    /// Only attempts that took this long or longer
    #[arg(long, value_name = "MS", value_parser = milliseconds, help_heading = "Filters")]
    pub min_latency: Option<Duration>,

    /// Flags of every tool
    #[command(flatten)]
    pub common: CommonArgs,
}

impl Args {
    /// Bits of the outcomes that are shown.
    pub fn outcomes(&self) -> u32 {
        let bit = |outcome: connect_outcome| 1 << outcome.0;
        if self.failed {
            bit(connect_outcome::CONNECT_FAILED) | bit(connect_outcome::CONNECT_ABORTED)
        } else if self.pending {
            bit(connect_outcome::CONNECT_PENDING)
        } else {
            u32::MAX
        }
    }

    /// Whether an attempt is shown for its outcome and its duration; the programs decide the same
    /// for attempts that end.
    pub fn ends_as_asked(&self, attempt: &Connect) -> bool {
        let least = self.min_latency.unwrap_or_default().as_nanos();
        self.outcomes() & 1 << attempt.event.outcome.0 != 0
            && u128::from(attempt.event.duration_ns) >= least
    }

    /// Whether an attempt is shown for its destination, as asked for or as got; the programs decide
    /// the same.
    pub fn goes_where_asked(&self, attempt: &Connect) -> bool {
        let by_netns = |netns: &Netns| netns.inode == attempt.event.netns;
        let mut ends = attempt.asked().into_iter().chain([attempt.peer()]);
        (self.netns.is_empty() || self.netns.iter().any(by_netns))
            && ends.any(|end| self.is_asked_for(&end))
    }

    fn is_asked_for(&self, end: &Endpoint) -> bool {
        (!self.ipv4 || end.address.is_ipv4())
            && (!self.ipv6 || end.address.is_ipv6())
            && (self.port.is_empty()
                || self.port.iter().flatten().any(|ports| ports.contains(end.port)))
            && (self.cidr.is_empty() || self.cidr.iter().any(|net| net.contains(&end.address)))
    }
}

/// The manual beyond the flags.
pub const MANUAL: Manual = Manual {
    description: "\
Shows every attempt of this machine to connect by TCP, whether by connect(), TCP Fast Open, \
io_uring, or the kernel itself. A row comes when the outcome is known, with the latency. Attempts \
without an answer are shown when tracing ends.

With --count or --summary there are totals by destination instead of rows. With --json each line is \
an object, whose keys are OpenTelemetry's names.",
    examples: &[
        ("tcpconnect", "every attempt on this machine"),
        ("tcpconnect --failed", "failed attempts, and the reasons"),
        ("tcpconnect -P 443 -U -T", "who talks HTTPS, and when"),
        ("tcpconnect --cidr 10.0.0.0/8 --min-latency 10", "slow connects inside the company"),
        ("tcpconnect --summary 10", "destinations with latencies, every ten seconds"),
        ("tcpconnect -- curl -s https://example.org", ""),
        ("tcpconnect --json | jq -r '[.process.comm, .network.peer.address] | @tsv'", ""),
    ],
    rows: "\
RESULT is OK, the name of the error, ABORTED (the caller closed the socket or died; LAT is how long \
it waited) or PENDING (no answer yet when tracing ended). In parentheses it did not matter: with \
--dns, the same process connected to another address of the same host. Where a BPF program of the \
cgroup sends a connect() elsewhere, DADDR and DPORT show both: asked->got.",
    usual: &["port", "cidr", "failed", "dns", "count", "summary"],
    exit_status: EXIT_STATUS,
    privileges: &[
        CAPABILITIES,
        "--dns listens for answers of name servers, which needs CAP_NET_RAW. With --sync-errors, on \
         kernels where trampolines (fexit) do not load, errors before a SYN come from a tracepoint \
         that the tool looks up in tracefs, which only root may read. Without tracefs it uses a raw \
         tracepoint, which makes every system call of the machine slower.",
        RUN_AS,
        GROUP,
    ],
    overhead: "\
About a microsecond for each attempt, less than a tenth of an attempt that this machine refuses. \
Sending and receiving data pays nothing, nor do other system calls. With --sync-errors this is the \
same if fexit loads; with the backends tracepoint and raw_tp every system call of the machine is \
slower. -v names the backend. With --dns each packet that this machine sends costs a few dozen \
nanoseconds. Memory: about 9 MiB.",
    demo: Demo {
        event: "network.connect",
        command: "bash -c ': </dev/tcp/127.0.0.1/1' || nc -w 1 127.0.0.1 1",
        flags: "--print-retries",
        ..Demo::NONE
    },
    ..Manual::TRACER
};
