# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""tcpconnect and its peers, side by side in one run. Started by run.sh; see README.md."""

import shutil
from copy import copy

import sidebyside
from floor import EMPTY, RECORD, backend_of, floor, floors
from machine import packaged
from sidebyside import installed, own, working
from table import median_within, show
from tracers import Tracer
from workloads import Workload

PARTS = ("connect", "pairs", "start", "syscall")
ERRORS = "--sync-errors"
ERRORS_BACKENDS = ("fexit", "tracepoint", "raw_tp")
PEER = "bpftrace inet_sock_set_state"
MOST_ADDED_US = 0.5

# The number of an attempt is in the last two bytes of its destination.
NUMBER = r"\b{tag}\.(\d+\.\d+)\b"

# A script for users without a tool: the same columns as ours, the caller kept from the beginning.
ONE_LINER = r"""
tracepoint:sock:inet_sock_set_state /args->protocol == 6 && args->newstate == 2/ {
    @begin[args->skaddr] = nsecs; @pid[args->skaddr] = pid; @comm[args->skaddr] = comm;
}
tracepoint:sock:inet_sock_set_state /args->oldstate == 2 && @begin[args->skaddr]/ {
    $socket = (struct sock *)args->skaddr;
    printf("%-7d %-16s %-2d %-15s %-5d %-15s %-5d %-3d %d\n", @pid[args->skaddr],
        @comm[args->skaddr], args->family == 2 ? 4 : 6, ntop(args->saddr), args->sport,
        ntop(args->daddr), args->dport, $socket->sk_err, (nsecs - @begin[args->skaddr]) / 1000);
    delete(@begin[args->skaddr]); delete(@pid[args->skaddr]); delete(@comm[args->skaddr]);
}
"""
ECONNREFUSED = 111


class Connects(Workload):
    """Attempts to connect to a port of this machine without a listener."""

    unit, done = "attempt", "attempted"
    program_name = "bench-connect"

    def tag(self):
        """A local network, 127.N.0.0/16. It repeats after 250 others."""
        self.tags += 1
        return f"127.{1 + self.tags % 250}"

    def run(self, tag, count):
        return (self.program("connect"), tag, str(count))

    def probe(self, tag):
        return (self.as_probe("connect"), tag, "100")

    def endless(self, tag):
        return (self.program("connect"), tag, "60000", "1000")


def mine(tool, *flags, **details):
    """Ours, with a pattern for an attempt."""
    if "--json" in flags:
        right = rf'"{NUMBER}".*"type":"ECONNREFUSED"'
    else:
        right = rf"{NUMBER}\s+1\s+ECONNREFUSED"
    return own(tool, *flags, row=NUMBER, right=right, **details)


def with_errors(tool):
    """Ours with --sync-errors, and with the backend in its name, since that decides the cost."""
    backend = backend_of(tool, ERRORS)
    name = f"ours {ERRORS} ({backend})" if backend else f"ours {ERRORS}"
    return mine(tool, ERRORS, name=name)


def peers():
    """Every tracer to compare with that is installed."""
    connect = packaged("libbpf-tools", "bin/tcpconnect")
    latency = packaged("libbpf-tools", "bin/tcpconnlat")
    bpftrace, perf, strace = map(shutil.which, ("bpftrace", "perf", "strace"))
    found = {
        "libbpf-tools tcpconnect": connect and (connect,),
        "libbpf-tools tcpconnlat": latency and (latency,),
        PEER: bpftrace and (bpftrace, "-e", ONE_LINER),
        "perf trace -a -e connect": perf and (perf, "trace", "-a", "-e", "connect"),
        "strace -f -e connect": strace
        and (strace, "-f", "-e", "trace=connect", "-o", "/dev/stdout"),
    }
    for name, command in installed(found):
        row, right = NUMBER, ""
        if command[0] == bpftrace:
            right = rf"{NUMBER}\s+1\s+{ECONNREFUSED} "
        elif command[0] == strace:
            right = rf"{NUMBER}.*= -1 ECONNREFUSED"
        elif command[0] == perf:
            # It shows only pointers to the addresses here: the time, to the microsecond,
            # distinguishes the rows of one program.
            row = r"^ *(\d+\.\d+) .*{program}/\d+ .*connect\(.*= "
            right = row + "-1 ECONNREFUSED"
        yield Tracer(name, command, row=row, right=right, wraps=command[0] == strace)


def measure_connect(tracers, workload, args, targets):
    count = 2000 if args.quick else 20_000
    results, bare = sidebyside.measure_rounds(tracers, workload, args, count)
    sidebyside.show_times(results, bare, workload, args, count, (PEER, "bpftrace"), digits=2)
    sidebyside.show_rows(results, workload, targets)
    sidebyside.show_memory(results, targets)


def measure_pairs(tracers, workload, args, targets):
    """
    Many short runs with and without ours in turn, since half a microsecond is less than the
    machine's speed changes between a few long ones.
    """
    args = copy(args)
    args.rounds = 6 if args.quick else 60
    results, _ = sidebyside.measure_rounds(tracers, workload, args, 2000)
    rows = []
    for name, samples in results.items():
        within = [median_within(samples.added[which]) for which in ("median", "mean")]
        cells = ("{:+.2f} ({:+.2f}..{:+.2f})".format(*values) for values in within)
        rows.append((name, *cells))
    title = f"Added µs per attempt, {args.rounds} x 2000: median (where it lies at 95 %)"
    show(title, ["tracer", "to the median", "to the mean"], rows)
    print()
    sidebyside.show_to_floor(results, "median", targets)
    # By the median: other load on the machine dominates the mean. The median leaves out wakeups of
    # the tracer, at most one every 20 ms: less than one in a thousand of these.
    for name in ("ours", "ours --json"):
        if name in results:
            promise = f"{name} adds at most {MOST_ADDED_US} µs to the median"
            targets.median_at_most(promise, results[name].added["median"], MOST_ADDED_US, "µs")


def main():
    args, targets = sidebyside.begin(PARTS)
    workload = Connects(args)
    best = backend_of(args.tool)
    shown = floor(RECORD, best)
    candidates = [mine(args.tool, floor=shown), mine(args.tool, "--json", floor=shown)]
    candidates.append(mine(args.tool, "--pid", "1", shows=False, floor=floor(EMPTY, best)))
    candidates.append(with_errors(args.tool))
    ours = sidebyside.working_own(candidates, workload)
    earlier = working(sidebyside.before(args, candidates), workload)
    others = earlier + working(peers(), workload)
    least = working(floors(args.tool, args.folder, best), workload)
    if "connect" in args.parts:
        measure_connect(least + ours + others, workload, args, targets)
    if "pairs" in args.parts:
        measure_pairs(least + ours + earlier, workload, args, targets)
    if "start" in args.parts:
        sidebyside.measure_start(ours + others, workload, args, targets)
    if "syscall" in args.parts:
        backends = [mine(args.tool, ERRORS, "--backend", name) for name in ERRORS_BACKENDS]
        print()
        all_pay = ours[:1] + working(backends, workload) + others
        limits, remark = {"ours": 2}, f" without {ERRORS}"
        sidebyside.measure_syscall(all_pay, workload, args, targets, limits, remark)
    sidebyside.end(args, targets)


if __name__ == "__main__":
    main()
