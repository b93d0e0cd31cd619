# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""execsnoop and its peers, side by side in one run. Started by run.sh; see README.md."""

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from table import Targets, show, spread
from tracers import Running, Tracer, bpf_stats, first_row_ns

PARTS = ("exec", "start", "syscall", "correct")
PEER = "libbpf-tools execsnoop"
FAILS_BACKENDS = ("fexit", "tracepoint", "raw_tp")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--unpinned", action="store_true")
    parser.add_argument("--only", action="append", choices=PARTS)
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 7)
    args.execs = 300 if args.quick else 2000
    args.calls = 1_000_000 if args.quick else 3_000_000
    args.hard = 100 if args.quick else 400
    return args


# ---- what there is ----


def packaged(package, path):
    """The file of a Debian package that ends in `path`, or None."""
    if not shutil.which("dpkg"):
        return None
    files = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True).stdout
    return next((file for file in files.splitlines() if file.endswith(path)), None)


def version(package):
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout or "unknown version"


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
    for name, command in found.items():
        if not command:
            print(f"- skipped: {name}: not installed, and not to be had from this system's packages")
        elif command[0] == "perf":
            # Of the arguments it shows only the addresses.
            row = r"{program}/(\d+) .*execve\(.*= 0"
            yield Tracer(name, command, row=row, arguments=False)
        else:
            yield Tracer(name, command, wraps=command[0] == "strace")


def own(tool, *flags, name=None):
    lost = r'^(?:.*"trace\.end".*"lost":|execsnoop: \d+ events, )(\d+)'
    return Tracer(name or " ".join(("ours", *flags)), (tool, *flags), lost=lost)


def describe(tool):
    cpus = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpus)
    system = re.search(r'PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text())
    virtual = ", a virtual machine" if re.search(r"flags.*\bhypervisor\b", cpus) else ""
    own_version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    packages = ("libbpf-tools", "bpftrace", "linux-perf", "strace")
    print(f"- CPU: {model[1] if model else platform.machine()}, {os.cpu_count()} CPUs{virtual}")
    print(f"- Linux {platform.release()}, {system[1] if system else 'unknown system'}")
    print(f"- ours: {own_version.stdout.strip()} {commit}")
    print("- peers: " + ", ".join(f"{name} {version(name)}" for name in packages))
    load = os.getloadavg()[0]
    busy = " (busy: expect wide spreads)" if load > 0.3 else ""
    print(f"- load before the run: {load:.2f}{busy}", flush=True)


# ---- workloads ----


class NotTracing(Exception):
    """A tracer that does not get to work."""


class Workload:
    """The programs that run.sh has compiled."""

    def __init__(self, args):
        self.folder = args.folder
        self.noop = f"{args.folder}/bench-noop"
        self.say = f"{args.folder}/bench-say"
        self.tags = 0
        # On one CPU, since where the scheduler puts a child costs more than a tracer
        # adds. The tracer itself may run anywhere.
        cpu = max(os.sched_getaffinity(0))
        self.pin = () if args.unpinned else ("taskset", "-c", str(cpu))

    def program(self, name):
        return f"{self.folder}/bench-{name}"

    def tag(self):
        """One that no earlier row has."""
        self.tags += 1
        return f"bench{os.getpid()}x{self.tags}"

    def spawn(self, tag, count, pinned=True):
        pin = self.pin if pinned else ()
        return (*pin, self.program("spawn"), self.noop, tag, str(count))

    @contextmanager
    def traced(self, tracer):
        """The tracer, at work."""
        tag = self.tag()
        # Without the pin: it may be the tracer that needs that CPU to get ready.
        probe = (self.program("spawn"), self.program("probe"), tag, "100")
        with Running(tracer, self.folder) as running:
            if not running.await_rows(tag, probe):
                raise NotTracing(f"{tracer.name} shows nothing here: {running.last_words()}")
            yield running

    @contextmanager
    def executions(self, tag):
        """Executions all the time, while something else is measured."""
        # Bounded, should nobody be left to stop it.
        command = (self.program("spawn"), self.noop, tag, "100000", "1000")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def output(command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def numbers(text):
    return tuple(float(word) for word in text.split()[-2:])


def usable(tracer, workload):
    """Whether it shows anything here; if not, says why."""
    try:
        if tracer.wraps:
            tag = workload.tag()
            with Running(tracer, workload.folder, workload.spawn(tag, 20)) as running:
                running.process.wait(30)
                if not tracer.rows(running.text(), tag):
                    raise NotTracing(f"{tracer.name} shows nothing here: {running.last_words()}")
        else:
            with workload.traced(tracer):
                pass
    except NotTracing as reason:
        print(f"- skipped: {reason}", flush=True)
        return False
    return True


# ---- time, rows, memory ----


class ExecSamples:
    """What all rounds said of one tracer."""

    def __init__(self):
        self.mean, self.added, self.added_typical = [], [], []
        self.cpu, self.memory = [], []
        self.executed = self.shown = self.lost = 0


def one_exec_run(tracer, workload, args, samples):
    """One workload under one tracer, or none. Returns its two times."""
    tag = workload.tag()
    # Pinned, each stop under strace may cost a whole tick: that would not be fair to it.
    spawn = workload.spawn(tag, args.execs, pinned=tracer is None or not tracer.wraps)
    if tracer is None:
        return numbers(output(spawn))
    if tracer.wraps:
        with Running(tracer, workload.folder, spawn) as running:
            running.process.wait(120)
            text = running.stop()
        # strace's rows and the workload's result share stdout.
        times = numbers(re.findall(r"^\d+ \d+$", text, re.MULTILINE)[-1])
    else:
        with workload.traced(tracer) as running:
            before = running.cpu_ns()
            times = numbers(output(spawn))
            running.settle()
            samples.cpu.append((running.cpu_ns() - before) / args.execs / 1000)
            samples.memory.append(running.memory())
            text = running.stop()
    samples.executed += args.execs
    samples.shown += tracer.rows(text, tag)
    samples.lost += tracer.losses(text)
    return times


def programs_us(tracer, workload, args):
    """Time in its BPF programs, per execution. Apart from all else, since measuring costs."""
    if tracer is None or tracer.wraps:
        return None
    with workload.traced(tracer) as running:
        with bpf_stats():
            before = running.programs_ns()
            output(workload.spawn(workload.tag(), args.execs))
            after = running.programs_ns()
    return None if before is None else f"{(after - before) / args.execs / 1000:.1f}"


def measure_exec(tracers, workload, args, targets):
    nothing = "nothing (again)"
    everyone = [(nothing, None)] + [(tracer.name, tracer) for tracer in tracers]
    results = {name: ExecSamples() for name, _ in everyone}
    bare = []
    for number in range(args.rounds):
        # The machine's speed drifts by more than a tracer adds. So each run is held
        # against the untraced ones right before and right after it.
        before = one_exec_run(None, workload, args, None)
        # Each round begins with another one, so that nobody always has the same neighbours.
        shift = number % len(everyone)
        for name, tracer in everyone[shift:] + everyone[:shift]:
            samples = results[name]
            traced = one_exec_run(tracer, workload, args, samples)
            after = one_exec_run(None, workload, args, None)
            mean, typical = ((x + y) / 2 for x, y in zip(before, after))
            samples.mean.append(traced[0] / 1000)
            samples.added.append((traced[0] - mean) / 1000)
            samples.added_typical.append((traced[1] - typical) / 1000)
            bare.append(after[0] / 1000)
            before = after

    noises = [abs(added) for added in results[nothing].added]
    noise = median(noises)

    def ratio(name, rival):
        """None where the rival adds so little that noise would decide."""
        if name not in results or rival not in results:
            return None
        added = median(results[rival].added)
        return median(results[name].added) / added if added > 2 * noise else None

    rows = [("nothing", spread(bare), None, None, None, None, None)]
    for name, tracer in everyone:
        samples = results[name]
        share = ratio(name, PEER) if tracer else None
        rows.append(
            (
                name,
                spread(samples.mean),
                spread(samples.added, sign=True),
                spread(samples.added_typical, sign=True),
                None if share is None else f"{share:.2f}",
                programs_us(tracer, workload, args),
                spread(samples.cpu),
            )
        )
    heading = [
        "tracer",
        "mean",
        "added to mean",
        "added to median",
        "to libbpf-tools",
        "its BPF programs",
        "tracer's own CPU",
    ]
    title = f"µs per execution, {args.rounds} x {args.execs}: median (min..max)"
    show(title, heading, rows)
    print(f"\nNoise: runs of nothing differ by {noise:.1f} µs, at most {max(noises):.1f}.")
    for name, rival in (("ours", PEER), ("ours --json", PEER), ("ours -x", f"{PEER} -x")):
        if name not in results or rival not in results:
            continue
        added, limit = (median(results[one].added) for one in (name, rival))
        limit /= 5
        # Within the noise, either verdict would be luck.
        kept = added < limit if abs(added - limit) > noise else None
        measured = f"{added:+.1f} µs against {limit:.1f}, noise {noise:.1f}"
        targets.check(f"{name} adds at most 1/5 of {rival}", kept, measured)

    rows = []
    for name, samples in list(results.items())[1:]:
        missing = samples.executed - samples.shown
        rows.append((name, samples.executed, samples.shown, missing, samples.lost))
    show("Rows", ["tracer", "executed", "rows", "missing", "lost by its own account"], rows)
    print()
    mine = [results[name] for name in results if name.startswith("ours")]
    missing = sum(samples.executed - samples.shown - samples.lost for samples in mine)
    targets.check("ours: executed == shown + lost", missing == 0, f"{missing} untold")

    rows, most = [], 0
    for name, samples in results.items():
        if samples.memory:
            columns = [median(column) / 1024 for column in zip(*samples.memory)]
            rows.append((name, *(f"{value:.1f}" for value in columns)))
            most = max(most, columns[0]) if name.startswith("ours") else most
    heading = ["tracer", "resident", "of it private", "BPF maps", "perf buffers"]
    show("Memory, MiB", heading, rows)
    print()
    targets.check("ours: at most 12 MiB resident", most <= 12, f"{most:.1f} MiB")


# ---- time to the first row ----


def measure_start(tracers, workload, args, targets):
    tracers = [tracer for tracer in tracers if not tracer.wraps]
    times = {tracer.name: [] for tracer in tracers}
    for _ in range(args.rounds):
        for tracer in tracers:
            tag = workload.tag()
            with workload.executions(tag):
                taken = first_row_ns(tracer, tag)
            if taken:
                times[tracer.name].append(taken / 1e6)
    rows = [(name, spread(values)) for name, values in times.items()]
    show("ms from start to first row", ["tracer", "median (min..max)"], rows)
    print()
    mine = times["ours"]
    kept = median(mine) <= 60 if mine else None
    targets.check("ours shows a row within 60 ms", kept, f"{spread(mine)} ms")


# ---- what other system calls pay ----


def measure_syscall(tracers, workload, args, targets):
    command = (*workload.pin, workload.program("getppid"), str(args.calls))
    everyone = [("nothing", None), ("nothing (again)", None)]
    everyone += [(tracer.name, tracer) for tracer in tracers if not tracer.wraps]
    best = {name: [] for name, _ in everyone}
    mean = {name: [] for name, _ in everyone}
    for number in range(args.rounds):
        shift = number % len(everyone)
        for name, tracer in everyone[shift:] + everyone[:shift]:
            if tracer is None:
                times = numbers(output(command))
            else:
                with workload.traced(tracer):
                    times = numbers(output(command))
            best[name].append(times[0])
            mean[name].append(times[1])
    bare = min(best["nothing"])
    rows = []
    for name, values in best.items():
        slower = f"{(min(values) / bare - 1) * 100:+.1f} %"
        rows.append((name, f"{min(values):.1f}", spread(values), spread(mean[name]), slower))
    heading = ["tracer", "best", "best of a round", "mean of a round", "best: slower by"]
    title = f"ns per getppid(), which nobody traces, {args.rounds} x {args.calls}"
    show(title, heading, rows)
    print()
    slower = (min(best["ours"]) / bare - 1) * 100
    targets.check("ours without -x: not slower by 2 %", slower < 2, f"{slower:+.1f} %")


# ---- whether the rows are right ----


def measure_correct(tracers, workload, args, targets):
    cases = (("flip", args.hard), ("thread", args.hard // 4), ("cold", args.hard // 4))
    rows, checks = [], []
    for tracer in tracers:
        cells = []
        for case, count in cases:
            tag = workload.tag()
            command = (workload.program("hard"), case, workload.say, tag, str(count))
            truth_file = Path(workload.folder, "truth")
            if tracer.wraps:
                # The program tells the truth on stdout: not where the rows go.
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
    # So that every `with` ends its tracer.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = arguments()
    parts = args.only or PARTS
    workload = Workload(args)
    targets = Targets()
    print("## execsnoop side by side\n")
    describe(args.tool)

    def working(candidates):
        return [tracer for tracer in candidates if usable(tracer, workload)]

    mine = working([own(args.tool), own(args.tool, "--json"), own(args.tool, "-x")])
    if not any(tracer.name == "ours" for tracer in mine):
        sys.exit("bench: without our own execsnoop there is nothing to measure")
    others = working(peers())
    if "exec" in parts:
        measure_exec(mine + others, workload, args, targets)
    if "start" in parts:
        measure_start(mine + others, workload, args, targets)
    if "syscall" in parts:
        backends = [own(args.tool, "-x", "--backend", backend) for backend in FAILS_BACKENDS]
        print()
        measure_syscall(mine[:1] + working(backends) + others, workload, args, targets)
    if "correct" in parts:
        seen = [tracer for tracer in mine + others if tracer.arguments]
        measure_correct(seen, workload, args, targets)
    sys.exit(1 if args.check and targets.missed else 0)


if __name__ == "__main__":
    main()
