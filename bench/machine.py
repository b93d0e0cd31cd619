# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The machine on which this runs, its packages, and programs that print numbers."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path


def packaged(package, path):
    """The file of a Debian package that ends in `path`, or None."""
    if not shutil.which("dpkg"):
        return None
    files = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True).stdout
    return next((file for file in files.splitlines() if file.endswith(path)), None)


def version(package):
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout or "unknown version"


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


def output(command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def numbers(text):
    return tuple(float(word) for word in text.split()[-2:])
