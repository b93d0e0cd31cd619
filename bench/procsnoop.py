# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""procsnoop and its peers, side by side in one run. Started by run.sh; see README.md."""

import os
import re
import signal
import subprocess
from pathlib import Path
from statistics import median

import sidebyside
from floor import EMPTY, RECORD, backend_of, floor, floors
from machine import packaged
from sidebyside import installed, own, working
from table import show
from tracers import Tracer
from workloads import Executions

PARTS = ("life", "start", "correct", "stopped")
PEER = "libbpf-tools exitsnoop"


class Lives(Executions):
    """The same, but only ends count."""

    unit, done = "process life", "lived"
    # The spawning process has the same name, and ends too.
    besides = 1


# ---- who is compared, and how their rows are read ----


def mine(tool, *flags, **details):
    """Ours, with a pattern for ends; the group is the process's id."""
    row = r"EXIT +{program} +(\d+) "
    if "--json" in flags:
        row = r'"process\.exit"}},"process":{{"pid":(\d+),[^\n]*?"comm":"{program}"'
    return own(tool, *flags, row=row, **details)


def peers():
    """Every tracer to compare with that is installed."""
    exitsnoop = packaged("libbpf-tools", "bin/exitsnoop")
    for name, command in installed({PEER: exitsnoop and (exitsnoop,)}):
        yield Tracer(name, command, row=r"^{program} +(\d+) ")


def ends(tracer, text):
    """All ends in its rows: (process id, status as wait() reports it)."""
    if tracer.name == PEER:
        rows = re.findall(r"(?m)^.{16} (\d+) +\d+ +\d+ +[\d.]+ +(?:0|code (\d+)|signal (\d+).*)$", text)
        return [(int(pid), int(code or 0) << 8 | int(number or 0)) for pid, code, number in rows]
    found = re.findall(r"^\S+ EXIT +\S+ +(\d+) +\d+ +\S+ +\S+ +(\S+)", text, re.MULTILINE)
    numbers = {f"SIGRTMIN+{n}": 34 + n for n in range(1, 31)} | {"SIGRTMIN": 34}
    numbers |= {name.name: name.value for name in signal.Signals if name.name not in numbers}
    numbers |= {"SIGIOT": 6, "SIGPOLL": 29, "SIGSTKFLT": 16}
    return [
        (int(pid), int(status) << 8 if status.isdigit() else numbers[status])
        for pid, status in found
    ]


# ---- time and rows ----


def measure_life(tracers, workload, args, targets):
    count = 300 if args.quick else 2000
    results, bare = sidebyside.measure_rounds(tracers, workload, args, count)
    sidebyside.show_times(results, bare, workload, args, count, (PEER, "libbpf-tools"))
    print()
    sidebyside.show_to_floor(results, "median", targets)
    if PEER in results:
        noise = sidebyside.noise_of(results, "mean")
        added, limit = (median(results[name].added["mean"]) for name in ("ours", PEER))
        measured = f"{added:+.1f} µs against {limit:+.1f}, noise {noise:.1f}"
        targets.at_most(f"ours adds no more than {PEER}", added, limit, noise, measured)
    sidebyside.show_rows(results, workload, targets)
    missing = sum(
        abs(samples.missing)
        for samples in results.values()
        if samples.is_ours and samples.tracer.shows
    )
    targets.check("ours: every end is shown", missing == 0, f"{missing} missing")
    sidebyside.show_memory(results)


# ---- whether the rows are right ----


def cases(workload, args):
    """Name, and arguments of `lives`."""
    lives, noop = workload.program("lives"), workload.program("noop")
    often = 10 if args.quick else 100
    count = str(often)
    return (
        ("exit codes", ("codes",)),
        ("signals", ("signals", "0")),
        ("first thread leaves first", ("spawn", str(often // 5), lives, "leader", "1")),
        ("another thread calls exec", ("spawn", count, lives, "thread-exec", noop)),
        ("64 threads leave at once", ("storm", count, "64", "0")),
    )


def run_lives(workload, words):
    """The results of wait4(): (process id, status)."""
    truth = Path(workload.folder, "truth")
    truth.unlink(missing_ok=True)
    command = (workload.program("lives"), *words)
    subprocess.run(command, env={**os.environ, "LIVES_OUT": str(truth)}, check=True)
    lines = truth.read_text().splitlines()
    return [tuple(int(word) for word in line.split()[:2]) for line in lines]


def measure_correct(tracers, workload, args, targets):
    rows, checks = [], []
    for tracer in tracers:
        cells = []
        for name, words in cases(workload, args):
            with workload.traced(tracer) as running:
                truth = run_lives(workload, words)
                running.settle()
                text = running.stop()
            shown = {}
            for pid, status in ends(tracer, text):
                shown.setdefault(pid, []).append(status)
            right = wrong = missing = 0
            for pid, status in truth:
                told = shown.pop(pid, [])
                if status in told:
                    told.remove(status)
                    right += 1
                elif not told:
                    missing += 1
                # Another status, or an end that never happened.
                wrong += len(told)
            cells.append(f"{right} / {wrong} / {missing}")
            if tracer.name == "ours":
                kept = right == len(truth) and not wrong
                checks.append((f"ours tells what wait() told: {name}", kept, cells[-1]))
        rows.append((tracer.name, *cells))
    heading = ["tracer"] + [name for name, _ in cases(workload, args)]
    show("Ends as their parents were told: right / wrong / missing", heading, rows)
    print()
    for check in checks:
        targets.check(*check)


# ---- a tracer that is stopped for a moment ----


def measure_stopped(tracers, workload, args, targets):
    forks = 2000 if args.quick else 10000
    rows = []
    for tracer in tracers:
        with workload.traced(tracer) as running:
            running.process.send_signal(signal.SIGSTOP)
            truth = run_lives(workload, ("forks", str(forks)))
            running.process.send_signal(signal.SIGCONT)
            running.settle()
            text = running.stop()
        shown = {pid for pid, _ in ends(tracer, text)}
        missing = sum(pid not in shown for pid, _ in truth)
        lost = tracer.losses(text)
        rows.append((tracer.name, len(truth), missing, lost))
        if tracer.name == "ours":
            targets.check("ours: what is missing is counted", missing <= lost, f"{missing}, {lost}")
    heading = ["tracer", "lives", "missing", "lost by its own account"]
    show("Stopped while processes live and end", heading, rows)


def main():
    args, targets = sidebyside.begin(PARTS)
    workload = Lives(args)
    best = backend_of(args.tool)
    shown = floor(RECORD, best)
    candidates = [mine(args.tool, *flags, floor=shown) for flags in ((), ("--usage",), ("--json",))]
    ours = sidebyside.working_own(candidates, workload)
    others = working([*sidebyside.before(args, candidates), *peers()], workload)
    if "life" in args.parts:
        filtered = mine(args.tool, "--pid", "1", shows=False, floor=floor(EMPTY, best))
        least = working([*floors(args.tool, args.folder, best), filtered], workload)
        measure_life(least + ours + others, workload, args, targets)
    if "start" in args.parts:
        sidebyside.measure_start(ours + others, workload, args, targets)
    if "correct" in args.parts:
        measure_correct(ours[:1] + others, workload, args, targets)
    if "stopped" in args.parts:
        measure_stopped(ours[:1] + others, workload, args, targets)
    sidebyside.end(args, targets)


if __name__ == "__main__":
    main()
