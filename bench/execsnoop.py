# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""execsnoop and its peers, side by side in one run. Started by run.sh; see README.md."""

import re
import shutil
import sys
from pathlib import Path
from statistics import median

import sidebyside
from floor import EMPTY, RECORD, backend_of, floor, floors
from machine import output, packaged
from sidebyside import installed, own, working
from table import show
from tracers import Running, Tracer
from workloads import Executions

PARTS = ("exec", "start", "syscall", "correct", "place")
PEER = "libbpf-tools execsnoop"
FAILS_BACKENDS = ("fexit", "tracepoint", "raw_tp")


def peers():
    """Every tracer to compare with that is installed."""
    libbpf = packaged("libbpf-tools", "bin/execsnoop")
    script = packaged("bpftrace", "/execsnoop.bt")
    found = {
        PEER: libbpf and (libbpf,),
        f"{PEER} -x": libbpf and (libbpf, "-x"),
        "bpftrace execsnoop.bt": script and shutil.which("bpftrace") and ("bpftrace", script),
        "perf trace -a -e execve": shutil.which("perf") and ("perf", "trace", "-a", "-e", "execve"),
        "strace -f -e execve": shutil.which("strace")
        and ("strace", "-f", "-e", "trace=execve", "-o", "/dev/stdout"),
    }
    for name, command in installed(found):
        if command[0] == "perf":
            # It shows only the addresses of the arguments.
            row = r"{program}/(\d+) .*execve\(.*= 0"
            yield Tracer(name, command, row=row, arguments=False)
        else:
            yield Tracer(name, command, wraps=command[0] == "strace")


def measure_exec(tracers, workload, args, targets):
    count = 300 if args.quick else 2000
    results, bare = sidebyside.measure_rounds(tracers, workload, args, count)
    sidebyside.show_times(results, bare, workload, args, count, (PEER, "libbpf-tools"))
    noise = sidebyside.noise_of(results, "mean")
    for name, rival in (("ours", PEER), ("ours --json", PEER), ("ours -x", f"{PEER} -x")):
        if name not in results or rival not in results:
            continue
        added, limit = (median(results[one].added["mean"]) for one in (name, rival))
        limit /= 5
        measured = f"{added:+.1f} µs against {limit:.1f}, noise {noise:.1f}"
        targets.at_most(f"{name} adds at most 1/5 of {rival}", added, limit, noise, measured)
    sidebyside.show_to_floor(results, "median", targets)
    sidebyside.show_rows(results, workload, targets)
    sidebyside.show_memory(results, targets)


# ---- what the directory and the environment cost ----


def measure_place(workload, args, targets):
    flags = ((), ("--cwd",), ("--env",), ("--cwd", "--env"))
    tracers = working([own(args.tool, "--json", *more) for more in flags], workload)
    count = 300 if args.quick else 2000
    results, bare = sidebyside.measure_rounds(tracers, workload, args, count)
    sidebyside.show_times(results, bare, workload, args, count, ("ours --json", "--json"))
    sidebyside.show_rows(results, workload, targets)


# ---- whether the rows are right ----


def measure_correct(tracers, workload, args, targets):
    hard = 100 if args.quick else 400
    cases = (("flip", hard), ("thread", hard // 4), ("cold", hard // 4))
    rows, checks = [], []
    for tracer in tracers:
        cells = []
        for case, count in cases:
            tag = workload.tag()
            command = (workload.program("hard"), case, workload.program("say"), tag, str(count))
            truth_file = Path(workload.folder, "truth")
            if tracer.wraps:
                # The program prints its true arguments on stdout, apart from the rows.
                shell = ("sh", "-c", 'truth=$1; shift; exec "$@" >"$truth"', "sh", str(truth_file))
                with Running(tracer, workload.folder, shell + command) as running:
                    running.process.wait(120)
                    text = running.stop()
                truth = truth_file.read_text()
            else:
                with workload.traced(tracer) as running:
                    truth = output(command)
                    running.settle()
                    text = running.stop()
            ran = set(re.findall(rf"{tag}-(\d+) (\w+)", truth))
            shown = dict(re.findall(rf"{tag}-(\d+)[\",\s]+(left|right)", text))
            right = sum(shown.get(index) == word for index, word in ran)
            wrong = sum(shown.get(index, word) != word for index, word in ran)
            cells.append(f"{right} / {wrong} / {len(ran) - right - wrong}")
            if len(ran) != count:
                sys.exit(f"bench: {case}: {len(ran)} of {count} executions took place")
            if tracer.name.startswith("ours"):
                promise = f"{tracer.name} shows what ran: {case}"
                checks.append((promise, right == count, f"{right} of {count}"))
        rows.append((tracer.name, *cells))
    heading = ["tracer", "changed meanwhile", "by another thread", "in cold pages"]
    show("Arguments as they really ran: right / wrong / missing", heading, rows)
    print()
    for check in checks:
        targets.check(*check)


def main():
    args, targets = sidebyside.begin(PARTS)
    workload = Executions(args)
    best = backend_of(args.tool)
    shown = floor(RECORD, best)
    candidates = [own(args.tool, floor=shown), own(args.tool, "--json", floor=shown)]
    candidates.append(own(args.tool, "-x"))
    mine = sidebyside.working_own(candidates, workload)
    others = working([*sidebyside.before(args, candidates), *peers()], workload)
    if "exec" in args.parts:
        filtered = own(args.tool, "--pid", "1", shows=False, floor=floor(EMPTY, best))
        least = working([*floors(args.tool, args.folder, best), filtered], workload)
        measure_exec(least + mine + others, workload, args, targets)
    if "start" in args.parts:
        sidebyside.measure_start(mine + others, workload, args, targets)
    if "syscall" in args.parts:
        backends = [own(args.tool, "-x", "--backend", backend) for backend in FAILS_BACKENDS]
        print()
        all_pay = mine[:1] + working(backends, workload) + others
        sidebyside.measure_syscall(all_pay, workload, args, targets, {"ours": 2}, " without -x")
    if "place" in args.parts:
        measure_place(workload, args, targets)
    if "correct" in args.parts:
        seen = [tracer for tracer in mine + others if tracer.arguments]
        measure_correct(seen, workload, args, targets)
    sidebyside.end(args, targets)


if __name__ == "__main__":
    main()
