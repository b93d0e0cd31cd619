# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The floor below the cost of a tracer: programs on the same hooks that do next to nothing."""

import ctypes
import mmap
import os
import re
import struct
import subprocess
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tracers import Tracer

OBJECT, BUFFER, NOTHING = "floor.bpf.o", "floor_records", "floor_nothing"
SAMPLES = "floor_samples"
EMPTY, RECORD = "floor: empty", "floor: a record"
# For mmapsnoop: with what no program can know without a call into the kernel.
WHO, WHAT, WHOSE = "floor: who", "floor: who, what", "floor: who, what, a record"
SAMPLE = "floor: who, what, by perf buffer"
SUFFIXES = {
    EMPTY: "empty",
    RECORD: "record",
    WHO: "who",
    WHAT: "what",
    WHOSE: "whose",
    SAMPLE: "sample",
}

SYS_BPF = {"x86_64": 321, "aarch64": 280, "s390x": 351, "riscv64": 280, "ppc64le": 361}
BPF_MAP_GET_FD_BY_ID = 14
BPF_MAP_TYPE_RINGBUF = 27
DRAIN_SECONDS = 0.002


def backend_of(tool, *flags):
    """The backend that it takes with these flags on this machine."""
    command = [tool, *flags, "--verbose", "--duration", "0.1"]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    found = re.search(r"\bbackend (\w+), \w+ buffer", said)
    return found[1] if found else None


def floor(level, backend):
    """The name of a floor."""
    return f"{level} ({backend})"


def floors(tool, folder, *backends, levels=(EMPTY, RECORD)):
    """
    The floors of the tool with each of the backends: those that do nothing, and those that send
    records. None of them shows anything.
    """
    bpfrun = Path(tool).with_name("bpfrun")
    for backend in backends:
        for level in levels:
            programs = f"{Path(tool).name}_{backend}*_{SUFFIXES[level]}"
            # Not only the best program of a hook.
            every = ("--all-variants", "--prog", programs)
            buffer, beside = (SAMPLES, nullcontext) if level == SAMPLE else (NOTHING, drained)
            command = (str(bpfrun), f"{folder}/{OBJECT}", buffer, *every)
            yield Tracer(floor(level, backend), command, shows=False, beside=beside, is_floor=True)


@contextmanager
def drained(running):
    """Empties the buffer meanwhile, without a look at it."""
    done = threading.Event()
    thread = threading.Thread(target=drain, args=(running, done))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def drain(running, done):
    page = mmap.PAGESIZE
    ring = None
    while ring is None and not done.wait(DRAIN_SECONDS):
        ring = open_ring(running)
    if ring is None:
        return
    consumer = mmap.mmap(ring, page)
    producer = mmap.mmap(ring, page, prot=mmap.PROT_READ, offset=page)
    os.close(ring)
    while not done.wait(DRAIN_SECONDS):
        consumer[:8] = producer[:8]


def open_ring(running):
    """A descriptor of the buffer of a tracer. None: it has none yet."""
    for info in running.fdinfo():
        if int(info.get("map_type", 0)) == BPF_MAP_TYPE_RINGBUF and int(info["max_entries"]) > 4096:
            attributes = ctypes.create_string_buffer(struct.pack("=III", int(info["map_id"]), 0, 0))
            number = SYS_BPF[os.uname().machine]
            libc = ctypes.CDLL(None, use_errno=True)
            ring = libc.syscall(number, BPF_MAP_GET_FD_BY_ID, attributes, 12)
            if ring < 0:
                raise OSError(ctypes.get_errno(), "BPF_MAP_GET_FD_BY_ID")
            return ring
    return None
