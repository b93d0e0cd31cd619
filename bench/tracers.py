# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Tracers as processes: to start, to await, to look into, to stop."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

# On a busy machine some take long to compile their programs.
START_SECONDS = 30
STOP_SECONDS = 10
BPF_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


@dataclass(frozen=True)
class Tracer:
    """A tool with its flags."""

    name: str
    command: tuple
    # Pattern for one traced event, with the event's number as its group. The tag of the workload
    # and the name of its program are filled in.
    row: str = r"{tag}-(\d+)"
    # The same, only for rows with the right outcome; empty if rows show no outcome.
    right: str = ""
    # Pattern for lost events, also in the middle of a row: all numbers are added.
    lost: str = r"\b(?:Lost|LOST) (\d+) events"
    # It gets only this part of a measured workload, to take about as long as others
    slow: int = 1
    # It runs the workload itself, as strace does
    wraps: bool = False
    # Its rows have the program's arguments
    arguments: bool = True
    # Its filters leave the workload's rows
    shows: bool = True
    # What runs beside it: a function of Running that gives a context
    beside: Callable = nullcontext
    # The name of the tracer that is the floor of its cost; empty: none was measured
    floor: str = ""
    is_floor: bool = False
    # An earlier build of ours
    is_before: bool = False

    def find(self, row, text, tag, program):
        row = row.format(tag=re.escape(tag), program=program)
        return re.findall(row, text, re.MULTILINE)

    def rows(self, text, tag, program):
        """The number of events of `program` under `tag` in its output."""
        return len(set(self.find(self.row, text, tag, program)))

    def wrong(self, text, tag, program):
        """The number of rows with another outcome, or shown twice; None: it shows no outcomes."""
        if not self.right:
            return None
        rows = len(self.find(self.row, text, tag, program))
        return rows - len(set(self.find(self.right, text, tag, program)))

    def losses(self, text):
        """The number of lost events that it reports."""
        return sum(map(int, re.findall(self.lost, text, re.MULTILINE)))


class Running:
    """A tracer that runs, with its output in files; for `with`."""

    def __init__(self, tracer, folder, workload=()):
        self.tracer = tracer
        self.output = Path(folder, "rows")
        self.errors = Path(folder, "errors")
        self.workload = tuple(workload)
        self.process = None
        self.beside = tracer.beside(self)

    def __enter__(self):
        with open(self.output, "wb") as rows, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                self.tracer.command + self.workload,
                stdin=subprocess.DEVNULL,
                stdout=rows,
                stderr=errors,
            )
        self.beside.__enter__()
        return self

    def __exit__(self, *_):
        self.beside.__exit__(None, None, None)
        stop(self.process)

    def cpu_ns(self):
        """Its CPU time, all threads."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total

    def sleeps(self):
        """Whether it waits for something."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"

    def settle(self):
        """Waits until it sleeps: it has read everything."""
        quiet_since, cpu = time.monotonic(), -1
        deadline = quiet_since + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            now = self.cpu_ns()
            # Some look at their buffers a few times a second. A tracer that waits for a CPU
            # does not sleep.
            if now - cpu > 1_000_000 or not self.sleeps():
                quiet_since, cpu = time.monotonic(), now
            elif time.monotonic() - quiet_since > 0.2:
                return
            time.sleep(0.02)

    def await_rows(self, tag, probe):
        """
        Waits until it is at work, which no tracer says in a way that also reaches a file: until
        there are rows of what the command `probe` does; enough of them to fill the buffer of
        one that keeps rows back. False: it shows none. One whose filters leave no row is at
        work when its programs are attached.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            subprocess.run(probe, stdout=subprocess.DEVNULL, check=True)
            time.sleep(0.05)
            if self.shows_probe(tag) if self.tracer.shows else self.is_attached():
                self.settle()
                return True
        return False

    def shows_probe(self, tag):
        return self.tracer.rows(self.text(), tag, "bench-probe") > 0

    def is_attached(self):
        """Whether it holds a BPF link. It may need more of them: settle() afterwards."""
        return any("link_id" in info for info in self.fdinfo())

    def text(self):
        """All its output so far."""
        return self.output.read_text(errors="replace") + self.errors.read_text(errors="replace")

    def fdinfo(self):
        """The kernel's description of each of its file descriptors."""
        for entry in Path(f"/proc/{self.process.pid}/fdinfo").glob("*"):
            try:
                text = entry.read_text()
            except FileNotFoundError:
                continue  # closed meanwhile: it is still getting ready
            yield dict(re.findall(r"^(\w+):\s*(\d+)$", text, re.MULTILINE))

    def programs_ns(self):
        """Time spent in its BPF programs while bpf_stats() was on; None if it has none."""
        times = {
            info["prog_id"]: int(info.get("run_time_ns", 0))
            for info in self.fdinfo()
            if "prog_id" in info and "link_id" not in info
        }
        return sum(times.values()) if times else None

    def memory(self):
        """KiB: resident, private of that, and in BPF maps and perf buffers."""
        proc = Path(f"/proc/{self.process.pid}")
        status = (proc / "status").read_text()
        resident, private = (
            int(re.search(rf"^{key}:\s*(\d+)", status, re.MULTILINE)[1]) for key in ("VmRSS", "RssAnon")
        )
        maps = {
            info["map_id"]: int(info.get("memlock", 0)) for info in self.fdinfo() if "map_id" in info
        }
        bytes_of_maps = sum(maps.values())
        buffers = re.findall(
            r"^(\w+)-(\w+) .*anon_inode:\[perf_event\]$", (proc / "maps").read_text(), re.MULTILINE
        )
        bytes_of_buffers = sum(int(end, 16) - int(start, 16) for start, end in buffers)
        return resident, private, bytes_of_maps // 1024, bytes_of_buffers // 1024

    def stop(self):
        """Ends it. Returns all its output."""
        stop(self.process)
        return self.text()

    def last_words(self):
        """Its last line on stderr."""
        lines = self.errors.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it is silent"


@contextmanager
def bpf_stats():
    """The kernel measures every BPF program meanwhile, which makes them slower."""
    before = BPF_STATS.read_text()
    BPF_STATS.write_text("1")
    try:
        yield
    finally:
        BPF_STATS.write_text(before)


def stop(process):
    """SIGINT, as by Ctrl-C: the one signal after which every tracer writes its rest."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def first_row_ns(tracer, tag, program):
    """
    Time from starting it to its first row of what `program` does without end. On a
    terminal, since some keep rows back when stdout is a file. None: there was none.
    """
    ours, theirs = pty.openpty()
    start = time.monotonic_ns()
    process = subprocess.Popen(
        tracer.command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    text = ""
    try:
        while select.select([ours], [], [], START_SECONDS)[0]:
            try:
                text += os.read(ours, 65536).decode(errors="replace")
            except OSError:  # it has ended
                return None
            if tracer.rows(text, tag, program):
                return time.monotonic_ns() - start
        return None
    finally:
        # Closed first: a full terminal must not block its last output.
        os.close(ours)
        stop(process)
