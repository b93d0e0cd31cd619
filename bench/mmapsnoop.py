# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""mmapsnoop and its peers, side by side in one run. Started by run.sh; see README.md."""

import os
import re
import shutil
from statistics import median

import sidebyside
from floor import SAMPLE, SUFFIXES, WHAT, WHO, WHOSE, backend_of, floor, floors
from machine import numbers, output
from sidebyside import installed, own, working
from table import show, spread
from tracers import Tracer, stop
from workloads import Workload

PARTS = ("call", "start", "syscall", "loss")
BACKENDS = ("fexit", "tracepoint", "tp_btf")
# With these flags it shows no calls: two reject all of them, one by who calls, one by what. The last
# one only counts.
REJECTING = {("--pid", "1"): WHO, ("--min-size", "1M"): WHAT}
COUNTING = {("--summary", "60"): WHAT}

# The same columns as ours, for these programs only, so that it has as little work as possible.
BPFTRACE = """
tracepoint:syscalls:sys_enter_mmap /strncmp(comm, "bench-", 6) == 0/ {
  @addr[tid] = args->addr; @len[tid] = args->len; @prot[tid] = args->prot;
  @flags[tid] = args->flags; @fd[tid] = args->fd; @off[tid] = args->off;
}
tracepoint:syscalls:sys_exit_mmap /@len[tid] || strncmp(comm, "bench-", 6) == 0/ {
  printf("%-7d %-16s %lx %ld %lx %lx %d %ld %ld\\n", pid, comm, @addr[tid], @len[tid],
    @prot[tid], @flags[tid], @fd[tid], @off[tid], args->ret);
}
"""


class Calls(Workload):
    """mmap() in a loop: `how` names the kind of call."""

    unit, done = "mmap()", "called"
    program_name = "bench-mmap"
    prints = ("best", "mean")
    scale, scale_name = 1, "ns"

    def __init__(self, args, how):
        super().__init__(args)
        self.how = how

    def run(self, tag, count):
        return (self.program("mmap"), self.how, str(count))

    def probe(self, tag):
        return (self.as_probe("mmap"), self.how, "200")

    def endless(self, tag):
        return (self.program("mmap"), self.how, "100000", "1000000")  # a call each millisecond

    def rows(self, tracer, text, tag):
        """The number of all calls, since one call is like the other."""
        return len(tracer.find(tracer.row, text, tag, self.program_name))


# ---- who is compared, and how their rows are read ----

# A file's path may have the program's name, too: only the second column counts.
ROW = r"^\d+ +{program} "


def mine(tool, *flags, **details):
    row = r'"comm":"{program}"' if "--json" in flags else ROW
    return own(tool, *flags, row=row, **details)


def peers():
    """Every tracer to compare with that is installed."""
    bpftrace, perf, strace = map(shutil.which, ("bpftrace", "perf", "strace"))
    found = {
        "bpftrace, the same columns": bpftrace and (bpftrace, "-B", "full", "-e", BPFTRACE),
        "perf trace -a -e mmap": perf and (perf, "trace", "-a", "-e", "mmap"),
        "strace -e mmap": strace and (strace, "-e", "trace=mmap", "-o", "/dev/stdout"),
    }
    for name, command in installed(found):
        row, slow = ROW, 20
        if command[0] == perf:
            row = r"{program}/\d+ .*mmap\(.*= "
        elif command[0] == strace:
            # It shows this program only, whose output overwrites the beginning of the first row.
            row, slow = r"MAP_PRIVATE.*\) = ", 100
        yield Tracer(name, command, row=row, slow=slow, wraps=command[0] == strace)


# ---- the cost of a call ----


def measure_call(tracers, workload, args, targets):
    count = 40_000 if args.quick else 400_000
    results, bare = sidebyside.measure_rounds(tracers, workload, args, count)
    bare = median(bare)
    added = {name: median(samples.added["best"]) for name, samples in results.items()}
    noise = sidebyside.noise_of(results, "best")
    rivals = [name for name, samples in results.items() if samples.is_rival]
    cheapest = min(rivals, key=added.get) if rivals else None
    rows = []
    for name, samples in results.items():
        times, ratio = None, sidebyside.to_floor(samples, results, "best")
        if cheapest and samples.is_ours and added[name] > noise:
            times = f"{added[cheapest] / added[name]:.0f}"
        cells = (
            spread(samples.added["best"], 0, sign=True),
            f"{added[name] / bare:.2f}",
            ratio and f"{ratio:.2f}",
            times,
        )
        rows.append((name, *cells, spread(samples.cpu, 0)))
    heading = [
        "tracer",
        "added, ns",
        "to the bare call",
        "to the floor",
        "cheaper than the cheapest peer",
        "tracer's own CPU, ns",
    ]
    title = f"ns per mmap() ({workload.how}), {args.rounds} x {count}: median (min..max)"
    show(title, heading, rows)
    print(f"\nThe bare call takes {bare:.0f} ns. Noise: runs of nothing differ by {noise:.0f} ns.")
    if workload.how == "fail":
        check_call(results, added, cheapest, targets)
    sidebyside.show_rows(results, workload, targets)


def check_call(results, added, cheapest, targets):
    limits = {"ours": 1.15, "ours --json": 1.15}
    limits |= {f"ours --backend {backend}": 1.15 for backend in BACKENDS}
    limits |= {" ".join(("ours", *flags)): 1.1 for flags in REJECTING}
    sidebyside.show_to_floor(results, "best", targets, limits)
    if cheapest:
        ratio = added[cheapest] / added["ours"]
        promise = f"ours: 40 times cheaper than {cheapest}"
        targets.check(promise, ratio >= 40, f"{ratio:.0f} times")


# ---- a tight loop ----


def end_of(path):
    """The last rows of a tracer: there may be gigabytes of rows."""
    with open(path, "rb") as rows:
        rows.seek(max(0, os.path.getsize(path) - 4096))
        return rows.read().decode(errors="replace")


def measure_loss(tracers, workload, args, targets):
    """A reader on one CPU and a loop on the other."""
    seconds = 2 if args.quick else 10
    rows = []
    for tracer in tracers:
        # For JSON, a million calls a second.
        pace = 1000 if "--json" in tracer.command else 0
        with workload.traced(tracer) as running:
            per_call = pace or numbers(output(workload.timed(tracer, "", 200_000)))[1]
            calls = int(seconds * 1e9 / per_call)
            taken = numbers(output((*workload.timed(tracer, "", calls), str(pace))))[1]
            stop(running.process)
            said = end_of(running.output) + running.errors.read_text(errors="replace")
        # Without its totals the losses are unknown.
        found = re.findall(tracer.lost, said, re.MULTILINE)
        lost = int(found[-1]) if found else None
        rate = 1000 / taken
        rows.append((tracer.name, calls, f"{rate:.2f}", lost))
        promise = f"{tracer.name} > file: none lost in {seconds} s"
        measured = f"{'unknown' if lost is None else lost} of {calls}, {rate:.2f} million a second"
        targets.check(promise, lost == 0, measured)
    show("One tight loop", ["tracer", "calls", "million/s", "lost"], rows)
    print()


def main():
    args, targets = sidebyside.begin(PARTS)
    workload = Calls(args, "fail")
    best = backend_of(args.tool)
    shown = floor(WHOSE, best)
    candidates = [mine(args.tool, *flags, floor=shown) for flags in ((), ("--json",))]
    ours = sidebyside.working_own(candidates, workload)
    backends = [
        mine(args.tool, "--backend", backend, floor=floor(WHOSE, backend)) for backend in BACKENDS
    ]
    backends = working(backends, workload)
    others = working([*sidebyside.before(args, candidates), *peers()], workload)
    if "call" in args.parts:
        silent = [
            mine(args.tool, *flags, shows=False, floor=floor(level, best))
            for flags, level in (REJECTING | COUNTING).items()
        ]
        silent += list(sidebyside.before(args, silent))
        perf = working([mine(args.tool, "--buffer", "perf", floor=floor(SAMPLE, best))], workload)
        least = working(floors(args.tool, args.folder, *BACKENDS, levels=SUFFIXES), workload)
        everyone = least + ours + perf + backends + working(silent, workload) + others
        measure_call(everyone, workload, args, targets)
        for how in ("anon", "file"):
            measure_call(ours, Calls(args, how), args, targets)
    if "start" in args.parts:
        sidebyside.measure_start(ours + others, workload, args, targets)
        executable = Calls(args, "wx")
        careful = working([mine(args.tool, "--wx")], executable)
        sidebyside.measure_start(careful, executable, args, targets)
    if "syscall" in args.parts:
        limits = {"ours --backend fexit": 2, "ours --backend tracepoint": 12}
        sidebyside.measure_syscall(backends + others, workload, args, targets, limits)
    if "loss" in args.parts:
        measure_loss(ours, workload, args, targets)
    sidebyside.end(args, targets)


if __name__ == "__main__":
    main()
