# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is done while tracers look on: the programs that run.sh has compiled."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tracers import Running


class NotTracing(Exception):
    """A tracer that does not get to work."""


class Workload:
    """A program to run. What is measured, a driver says."""

    # What it does is called, one of it and as a participle
    unit = done = ""
    # The program that does it, as rows name it
    program_name = ""
    # The two numbers of nanoseconds per unit that it prints
    prints = ("mean", "median")
    # In what they are shown, and how many nanoseconds that is
    scale, scale_name = 1000, "µs"
    # How much more than it is asked for a run does
    besides = 0

    def __init__(self, args):
        self.folder = args.folder
        self.tags = 0
        # On one CPU, since where the scheduler puts a child costs more than a tracer
        # adds. The tracer itself may run anywhere.
        cpu = max(os.sched_getaffinity(0))
        self.pin = () if args.unpinned else ("taskset", "-c", str(cpu))

    def program(self, name):
        return f"{self.folder}/bench-{name}"

    def as_probe(self, name):
        """The same program as bench-probe, where only the name tells rows of it apart."""
        probe = Path(self.folder, name, "bench-probe")
        probe.parent.mkdir(exist_ok=True)
        if not probe.exists():
            probe.symlink_to(self.program(name))
        return str(probe)

    def tag(self):
        """One that no earlier row of the same tracer has."""
        self.tags += 1
        return f"bench{os.getpid()}x{self.tags}"

    def run(self, tag, count):
        """The command that is measured, unpinned."""
        raise NotImplementedError

    def probe(self, tag):
        """A command, by programs called bench-probe, that makes any tracer show something."""
        raise NotImplementedError

    def endless(self, tag):
        """What goes on all the time. Bounded, should nobody be left to stop it."""
        raise NotImplementedError

    def timed(self, tracer, tag, count):
        """run(), on the CPU that suits this tracer or none."""
        # Pinned, each stop under strace may cost a whole tick: that would not be fair to it.
        pin = () if tracer and tracer.wraps else self.pin
        return (*pin, *self.run(tag, count))

    def rows(self, tracer, text, tag):
        return tracer.rows(text, tag, self.program_name)

    @contextmanager
    def traced(self, tracer):
        """The tracer, at work."""
        tag = self.tag()
        with Running(tracer, self.folder) as running:
            # Without the pin: it may be the tracer that needs that CPU to get ready.
            if not running.await_rows(tag, self.probe(tag)):
                raise NotTracing(f"{tracer.name} shows nothing here: {running.last_words()}")
            yield running

    @contextmanager
    def background(self, tag):
        """endless(), while something else is measured."""
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
