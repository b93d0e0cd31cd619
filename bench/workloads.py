# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The traced work: the programs that run.sh has compiled."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tracers import Running


class NotTracing(Exception):
    """A tracer that does not start to trace."""


class Workload:
    """A program to run. The driver decides what to measure."""

    # The name of one unit of its work, and the participle
    unit = done = ""
    # The program, by its name in rows
    program_name = ""
    # The two numbers of nanoseconds per unit that it prints
    prints = ("mean", "median")
    # The unit of the tables, and its nanoseconds
    scale, scale_name = 1000, "µs"
    # The units that a run does beyond the requested number
    besides = 0

    def __init__(self, args):
        self.folder = args.folder
        self.tags = 0
        # On one CPU, since the scheduler's choice of a CPU for a child costs more than a
        # tracer adds. The tracer itself may run anywhere.
        cpu = max(os.sched_getaffinity(0))
        self.pin = () if args.unpinned else ("taskset", "-c", str(cpu))

    def program(self, name):
        return f"{self.folder}/bench-{name}"

    def as_probe(self, name):
        """The same program as bench-probe, where only the name identifies its rows."""
        probe = Path(self.folder, name, "bench-probe")
        probe.parent.mkdir(exist_ok=True)
        if not probe.exists():
            probe.symlink_to(self.program(name))
        return str(probe)

    def tag(self):
        """A tag that no earlier row of the same tracer has."""
        self.tags += 1
        return f"bench{os.getpid()}x{self.tags}"

    def run(self, tag, count):
        """The command that is measured, unpinned."""
        raise NotImplementedError

    def probe(self, tag):
        """A command, by programs called bench-probe, that makes any tracer show something."""
        raise NotImplementedError

    def endless(self, tag):
        """Work without a pause. Bounded, in case nobody is left to stop it."""
        raise NotImplementedError

    def timed(self, tracer, tag, count):
        """run(), on the CPU that suits this tracer or none."""
        # Pinned, each stop under strace may cost a whole tick, which would not be fair to strace.
        pin = () if tracer and tracer.wraps else self.pin
        return (*pin, *self.run(tag, count))

    def rows(self, tracer, text, tag):
        return tracer.rows(text, tag, self.program_name)

    @contextmanager
    def traced(self, tracer):
        """The tracer, once it traces."""
        tag = self.tag()
        with Running(tracer, self.folder) as running:
            # Without the pin: the tracer may need that CPU to get ready.
            if not running.await_rows(tag, self.probe(tag)):
                raise NotTracing(f"{tracer.name} shows nothing here: {running.last_words()}")
            yield running

    @contextmanager
    def background(self, tag):
        """endless(), during another measurement."""
        process = subprocess.Popen(self.endless(tag), stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()


class Executions(Workload):
    """A program that does nothing is executed."""

    unit, done = "execution", "executed"
    program_name = "bench-noop"

    def spawn(self, name, tag, *numbers):
        return (self.program("spawn"), self.program(name), tag, *map(str, numbers))

    def run(self, tag, count):
        return self.spawn("noop", tag, count)

    def probe(self, tag):
        return self.spawn("probe", tag, 100)

    def endless(self, tag):
        return self.spawn("noop", tag, 100_000, 1000)
