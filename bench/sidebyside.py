# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The measurements that all tools share: their costs beside those of their peers."""

import argparse
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

from machine import describe, numbers, output
from table import Targets, show, spread
from tracers import Running, Tracer, bpf_stats, first_row_ns
from workloads import NotTracing

NOTHING = "nothing (again)"


def begin(parts):
    """The options of a driver that can do these parts, and an empty list of targets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--unpinned", action="store_true")
    parser.add_argument("--only", action="append", choices=parts)
    parser.add_argument("--before")
    args = parser.parse_args()
    args.parts = args.only or parts
    args.rounds = args.rounds or (2 if args.quick else 7)
    args.calls = 1_000_000 if args.quick else 3_000_000
    # So that every `with` ends its tracer. A shell makes background programs ignore some of these
    # signals, and so would every program started here: handlers are not inherited.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    print(f"## {Path(args.tool).name} side by side\n")
    describe(args.tool)
    return args, Targets()


def end(args, targets):
    """The end of a driver: the next one's tables may follow."""
    print()
    sys.exit(1 if args.check and targets.missed else 0)


# ---- the installed tracers ----


def installed(found):
    """The installed ones of the tracers {name: command or nothing}."""
    for name, command in found.items():
        if command:
            yield name, command
        else:
            print(f"- skipped: {name}: not installed, and not to be had from this system's packages")


def own(tool, *flags, **details):
    """Our tool with flags. `details` are those of a Tracer."""
    # A fixed beginning makes these fast to find in hundreds of megabytes.
    lost = rf"{Path(tool).name}: \d+ events?, (\d+)"
    if "--json" in flags:
        lost = r'"trace\.end".*"lost":(\d+)'
    details.setdefault("name", " ".join(("ours", *flags)))
    return Tracer(command=(tool, *flags), lost=lost, **details)


def before(args, tracers):
    """The same tracers as an earlier build had them, if its folder is given."""
    if not args.before:
        return
    tool = str(Path(args.before, Path(args.tool).name))
    for tracer in tracers:
        name = tracer.name.replace("ours", "before", 1)
        yield replace(tracer, name=name, command=(tool, *tracer.command[1:]), is_before=True)


def usable(tracer, workload):
    """Whether it shows anything here; if not, prints why."""
    try:
        if tracer.wraps:
            tag = workload.tag()
            with Running(tracer, workload.folder, workload.run(tag, 20)) as running:
                running.process.wait(30)
                if not workload.rows(tracer, running.text(), tag):
                    raise NotTracing(f"{tracer.name} shows nothing here: {running.last_words()}")
        else:
            with workload.traced(tracer):
                pass
    except NotTracing as reason:
        print(f"- skipped: {reason}", flush=True)
        return False
    return True


def working(candidates, workload):
    return [tracer for tracer in candidates if usable(tracer, workload)]


def working_own(candidates, workload):
    """Our working variants; without the plain one there is nothing to measure."""
    tracers = working(candidates, workload)
    if not any(tracer.name == "ours" for tracer in tracers):
        sys.exit(f"bench: {Path(candidates[0].command[0]).name} itself does not work here")
    return tracers


def interleaved(everyone, rounds):
    """All tracers, for each round; each begins with another one, so that neighbours change."""
    for number in range(rounds):
        shift = number % len(everyone)
        yield everyone[shift:] + everyone[:shift]


# ---- time, rows, memory ----


class Samples:
    """The results of one tracer in all rounds."""

    def __init__(self, tracer, workload):
        self.tracer = tracer
        # In the unit of the workload: its time by the first number that it prints, and the
        # time that the tracer added, by each number.
        self.taken = []
        self.added = {statistic: [] for statistic in workload.prints}
        self.cpu, self.memory = [], []
        self.done = self.shown = self.lost = 0
        self.wrong = 0 if tracer and tracer.right else None

    @property
    def is_ours(self):
        return self.tracer is not None and self.tracer.name.startswith("ours")

    @property
    def is_rival(self):
        tracer = self.tracer
        return not (tracer is None or self.is_ours or tracer.is_floor or tracer.is_before)

    @property
    def missing(self):
        return self.done - self.shown if self.tracer.shows else None


def share(tracer, count):
    """How much of a workload of `count` this tracer gets."""
    return count // tracer.slow if tracer else count


def one_run(tracer, workload, count, samples):
    """One workload under one tracer, or none. Returns its two times, in ns."""
    tag = workload.tag()
    count = share(tracer, count)
    command = workload.timed(tracer, tag, count)
    if tracer is None:
        return numbers(output(command))
    if tracer.wraps:
        with Running(tracer, workload.folder, command) as running:
            running.process.wait(120)
            text = running.stop()
        # strace's rows and the workload's result share stdout.
        times = numbers(re.findall(r"^[\d.]+ [\d.]+$", text, re.MULTILINE)[-1])
    else:
        with workload.traced(tracer) as running:
            before = running.cpu_ns()
            times = numbers(output(command))
            running.settle()
            samples.cpu.append((running.cpu_ns() - before) / count / workload.scale)
            samples.memory.append(running.memory())
            text = running.stop()
    samples.done += count + workload.besides
    samples.shown += workload.rows(tracer, text, tag)
    samples.lost += tracer.losses(text)
    if samples.wrong is not None:
        samples.wrong += tracer.wrong(text, tag, workload.program_name)
    return times


def programs_time(tracer, workload, count, digits):
    """Time in its BPF programs, per unit. In a run of its own, since measuring costs."""
    if tracer is None or tracer.wraps:
        return None
    count = share(tracer, count)
    with workload.traced(tracer) as running:
        with bpf_stats():
            before = running.programs_ns()
            output(workload.timed(tracer, workload.tag(), count))
            after = running.programs_ns()
    return None if before is None else f"{(after - before) / count / workload.scale:.{digits}f}"


def measure_rounds(tracers, workload, args, count):
    """All tracers, interleaved. Returns the samples by name, and times of the untraced runs."""
    everyone = [(NOTHING, None)] + [(tracer.name, tracer) for tracer in tracers]
    results = {name: Samples(tracer, workload) for name, tracer in everyone}
    bare = []
    for order in interleaved(everyone, args.rounds):
        # The machine's speed drifts by more than a tracer adds. So each run is compared
        # with the untraced ones right before and right after it.
        before = one_run(None, workload, count, None)
        for name, tracer in order:
            samples = results[name]
            traced = one_run(tracer, workload, count, samples)
            after = one_run(None, workload, count, None)
            samples.taken.append(traced[0] / workload.scale)
            for statistic, x, y, with_it in zip(workload.prints, before, after, traced):
                samples.added[statistic].append((with_it - (x + y) / 2) / workload.scale)
            bare.append(after[0] / workload.scale)
            before = after
    return results, bare


def noise_of(results, statistic):
    """The difference between untraced runs."""
    return median(abs(added) for added in results[NOTHING].added[statistic])


def to_floor(samples, results, statistic):
    """The ratio of what it adds to the floor under it. None: no floor was measured."""
    floor = samples.tracer and results.get(samples.tracer.floor)
    if not floor:
        return None
    under = median(floor.added[statistic])
    # Where noise would decide there is no ratio.
    if under < 2 * noise_of(results, statistic):
        return None
    return median(samples.added[statistic]) / under


def show_to_floor(results, statistic, targets, limits=None):
    """The ratio for each of ours. `limits`: the targets, by name; others only inform."""
    for name, samples in results.items():
        ratio = to_floor(samples, results, statistic)
        if ratio is None:
            continue
        limit = (limits or {}).get(name)
        floor = samples.tracer.floor
        if limit:
            targets.check(f"{name}: at most {limit} times {floor}", ratio <= limit, f"{ratio:.2f}")
        else:
            print(f"- {name}: {ratio:.2f} times {floor}")


def show_times(results, bare, workload, args, count, peer, digits=1):
    """The table of times, with shares of the time that `peer` adds: its name, and its title."""
    first, second = workload.prints
    noise = noise_of(results, first)
    rival, rival_heading = peer

    def ratio(samples):
        """None if the rival adds so little that noise would decide."""
        if samples.tracer is None or rival not in results:
            return None
        added = median(results[rival].added[first])
        return f"{median(samples.added[first]) / added:.2f}" if added > 2 * noise else None

    def floored(samples):
        value = to_floor(samples, results, second)
        return (value and f"{value:.2f}",)

    any_floor = any(samples.tracer and samples.tracer.is_floor for samples in results.values())
    rows = [("nothing", spread(bare, digits), *(None,) * (6 if any_floor else 5))]
    for name, samples in results.items():
        rows.append(
            (
                name,
                spread(samples.taken, digits),
                spread(samples.added[first], digits, sign=True),
                spread(samples.added[second], digits, sign=True),
                ratio(samples),
                *(floored(samples) if any_floor else ()),
                programs_time(samples.tracer, workload, count, digits),
                spread(samples.cpu, digits),
            )
        )
    heading = [
        "tracer",
        first,
        f"added to {first}",
        f"added to {second}",
        f"to {rival_heading}",
        *(["to the floor"] if any_floor else ()),
        "its BPF programs",
        "tracer's own CPU",
    ]
    unit = f"{workload.scale_name} per {workload.unit}"
    show(f"{unit}, {args.rounds} x {count}: median (min..max)", heading, rows)
    most = max(abs(added) for added in results[NOTHING].added[first])
    print(
        f"\nNoise: runs of nothing differ by {noise:.{digits}f} {workload.scale_name}, at most"
        f" {most:.{digits}f}; their {second}s by {noise_of(results, second):.{digits}f}."
    )


def show_rows(results, workload, targets):
    traced = {
        name: samples
        for name, samples in results.items()
        if samples.tracer and not samples.tracer.is_floor
    }
    heading = ["tracer", workload.done, "rows", "missing", "lost by its own account"]
    outcomes = any(samples.wrong is not None for samples in traced.values())
    rows = [
        (name, samples.done, samples.shown, samples.missing, samples.lost)
        + ((samples.wrong,) if outcomes else ())
        for name, samples in traced.items()
    ]
    show("Rows", heading + (["wrong"] if outcomes else []), rows)
    print()
    mine = [samples for samples in traced.values() if samples.is_ours and samples.tracer.shows]
    # Each by itself, so that one with too many rows does not hide one with too few.
    untold = sum(abs(samples.missing - samples.lost) for samples in mine)
    targets.check(f"ours: {workload.done} == shown + lost", untold == 0, f"{untold} untold")
    if outcomes:
        wrong = sum(samples.wrong for samples in mine)
        targets.check("ours: no wrong outcome, nothing twice", wrong == 0, f"{wrong} wrong")


def show_memory(results, targets=None):
    """The table of memory. `targets`: limits for ours to check."""
    rows, most = [], 0
    for name, samples in results.items():
        if samples.memory and not samples.tracer.is_floor:
            columns = [median(column) / 1024 for column in zip(*samples.memory)]
            rows.append((name, *(f"{value:.1f}" for value in columns)))
            most = max(most, columns[0]) if samples.is_ours else most
    heading = ["tracer", "resident", "of it private", "BPF maps", "perf buffers"]
    show("Memory, MiB", heading, rows)
    print()
    if targets:
        targets.check("ours: at most 12 MiB resident", most <= 12, f"{most:.1f} MiB")


# ---- time to the first row ----


# Limits in ms for ours: with its usual flags, and with others.
START_MS, START_MS_WITH_MORE = 45, 60


def measure_start(tracers, workload, args, targets):
    tracers = [tracer for tracer in tracers if tracer.shows and not tracer.wraps]
    times = {tracer.name: [] for tracer in tracers}
    for _ in range(args.rounds):
        for tracer in tracers:
            tag = workload.tag()
            with workload.background(tag):
                taken = first_row_ns(tracer, tag, workload.program_name)
            if taken:
                times[tracer.name].append(taken / 1e6)
    rows = [(name, spread(values)) for name, values in times.items()]
    show("ms from start to first row", ["tracer", "median (min..max)"], rows)
    print()
    for tracer in tracers:
        if tracer.name.startswith("ours"):
            values = times[tracer.name]
            is_usual = tracer.name in ("ours", "ours --json")
            most = START_MS if is_usual else START_MS_WITH_MORE
            kept = median(values) <= most if values else None
            promise = f"{tracer.name} shows a row within {most} ms"
            targets.check(promise, kept, f"{spread(values)} ms")


# ---- the cost for other system calls ----


def measure_syscall(tracers, workload, args, targets, limits, remark=""):
    """`limits`: the percentage by which tracers of these names may slow down other system calls."""
    command = (*workload.pin, workload.program("getppid"), str(args.calls))
    everyone = [("nothing", None), (NOTHING, None)]
    everyone += [(tracer.name, tracer) for tracer in tracers if not tracer.wraps]
    best = {name: [] for name, _ in everyone}
    mean = {name: [] for name, _ in everyone}
    for order in interleaved(everyone, args.rounds):
        for name, tracer in order:
            if tracer is None:
                times = numbers(output(command))
            else:
                with workload.traced(tracer):
                    times = numbers(output(command))
            best[name].append(times[0])
            mean[name].append(times[1])
    bare = min(best["nothing"])
    slower = {name: (min(values) / bare - 1) * 100 for name, values in best.items()}
    rows = []
    for name, values in best.items():
        times = (f"{min(values):.1f}", spread(values), spread(mean[name]))
        rows.append((name, *times, f"{slower[name]:+.1f} %"))
    heading = ["tracer", "best", "best of a round", "mean of a round", "best: slower by"]
    title = f"ns per getppid(), which nobody traces, {args.rounds} x {args.calls}"
    show(title, heading, rows)
    print()
    for name, limit in limits.items():
        if name in slower:
            promise = f"{name}{remark}: not slower by {limit} %"
            targets.check(promise, slower[name] < limit, f"{slower[name]:+.1f} %")
