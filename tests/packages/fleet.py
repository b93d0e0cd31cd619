#!/usr/bin/env python3
"""Runs the SQL of packaging/fleet with the real engines on JSON Lines of the tools, and holds the
results against a count in Python: fleet.py FOLDER-WITH-TOOLS. Needs root, chdb, duckdb, PyYAML."""

import collections
import ctypes
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import chdb.session
import duckdb
import yaml

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"
CONTAINER = "c0ffee" + "0123456789" * 5 + "01234567"
# Something for each tool: executions that fail and succeed, connections that are refused, ends of
# two bad kinds, memory that is writable and executable.
WORK = f"""
true; /bin/true; /bin/true; env no-such-program; (exit 3)
sh -c 'kill -KILL $$'
{sys.executable} -c 'import mmap, socket
mmap.mmap(-1, 8192, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
for port in 1, 1, 2: print(socket.socket().connect_ex(("127.0.0.1", port)))'
exit 0
"""
FLAGS = {"execsnoop": ["-x", "--all"]}


def demo(program):
    """What a program tells of itself: an event, a command that makes it happen, an object."""
    lines = subprocess.run([program, "--generate", "demo"], capture_output=True, check=True, text=True)
    return dict(line.split("=", 1) for line in lines.stdout.splitlines())


def trace(tools, folder):
    """Runs each tracer; its lines go to FOLDER/TOOL.jsonl, as a fleet would collect them."""
    for tool in sorted(tools.iterdir()):
        own = demo(tool)
        if own["object"]:
            continue
        work = f"exec >/dev/null 2>&1; {own['command']}; {WORK}"
        command = [tool, "--json", *FLAGS.get(tool.name, []), "--", "sh", "-c", work]
        with open(folder / f"{tool.name}.jsonl", "wb") as out:
            subprocess.run(command, stdout=out, check=True)


def read(folder):
    """All records, each with its file's host, and some as if they had run in a container."""
    records = []
    for file in sorted(folder.glob("*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        host = lines[0]["host"]["name"]
        for line in lines:
            if line["event"]["name"] == "process.exec" and line["process"]["comm"] == "true":
                line["container"] = {"id": CONTAINER}
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        records += [(file.stem, host, line) for line in lines]
    return records


def statements(name):
    """The statements of a file, each with the word that its comment begins with, or None."""
    text = (PACKAGING / "fleet" / name).read_text()
    for statement in text.split(";\n"):
        title = re.search(r"^-- (\w+): ", statement, re.MULTILINE)
        code = re.sub(r"^\s*--.*$", "", statement, flags=re.MULTILINE).strip()
        if code:
            yield title and title.group(1), code


def run_duckdb(folder):
    """Rows of each query of duckdb.sql by its title."""
    rows = {}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for title, code in statements("duckdb.sql"):
        code = code.replace("/var/log/snoop", str(folder))
        result = connection.execute(code)
        if title:
            rows[title] = [list(row) for row in result.fetchall()]
    (rows["time"],) = connection.execute(
        "SELECT max(epoch_ns(time)) FROM snoop WHERE event.name = 'trace.end'").fetchone()
    return rows


def run_clickhouse(records, folder):
    """Likewise of clickhouse.sql. host.name is in each record, as vector.yaml puts it there."""
    lines = folder / "all.ndjson"
    with open(lines, "w", encoding="utf-8") as out:
        for _, host, record in records:
            out.write(json.dumps({**record, "host": {"name": host}}) + "\n")
    rows = {}
    session = chdb.session.Session(str(folder / "clickhouse"))
    for title, code in statements("clickhouse.sql"):
        if title == "complete":
            session.query(f"INSERT INTO snoop SELECT json FROM file('{lines}', 'JSONAsObject')")
        result = session.query(code, "JSONCompactEachRow")
        if title:
            rows[title] = [json.loads(line) for line in result.bytes().decode().splitlines()]
    rows["time"] = session.query(
        "SELECT max(record.timestamp) FROM snoop", "TabSeparated").bytes().decode().strip()
    return rows


def numbers(rows):
    """64-bit numbers come as strings from one of the engines."""
    return [[int(cell) if isinstance(cell, str) and cell.isdigit() else cell for cell in row]
            for row in rows]


def expect(title, got, expected):
    assert sorted(map(str, got)) == sorted(map(str, expected)), f"{title}:\n{got}\n{expected}"
    assert expected, f"{title}: nothing to compare"
    print(f"fleet: {title}: {len(expected)} rows")


def check(records, duck, click):
    """Both engines against the records themselves."""
    host = records[0][1]
    of = lambda name: [(tool, record) for tool, _, record in records if record["event"]["name"] == name]

    ends = [[host, tool, end["events"], end["lost"]] for tool, end in of("trace.end")]
    expect("complete, DuckDB", duck["complete"], ends)
    total = [[host, sum(end[2] for end in ends), sum(end[3] for end in ends)]]
    expect("complete, ClickHouse", numbers(click["complete"]), total)
    # (Rows beyond LIMIT 20 there are none of.)
    both = collections.Counter(record["process"]["comm"] for _, record in of("process.exec"))
    expect("programs, ClickHouse", numbers(click["programs"]), [[host, *item] for item in both.items()])
    one = collections.Counter(
        record["process"]["comm"] for tool, record in of("process.exec") if tool == "execsnoop")
    expect("programs, DuckDB", duck["programs"], [[host, *item] for item in one.items()])

    def count(title, key, name):
        keys = [key(record) for _, record in of(name)]
        counts = collections.Counter(key for key in keys if key)
        expected = [[*key, count] for key, count in counts.items()]
        width = len(expected[0])
        expect(f"{title}, DuckDB", [row[:width] for row in duck[title]], expected)
        expect(f"{title}, ClickHouse",
               numbers(row[:width] for row in click[title]), numbers(expected))

    count("failures", lambda r: (
        r["process"]["comm"], r["process"]["command_args"][0], r["error"]["type"]), "process.exec_failed")
    count("connects", lambda r: (
        r["network"]["peer"]["address"], r["network"]["peer"]["port"], r["connect"]["outcome"]),
        "network.connect")
    count("executable", lambda r: {"WRITE", "EXEC"} <= set(r["mmap"]["prot"]) and (
        r["process"]["comm"], r.get("file", {}).get("path", "anonymous")), "memory.map")

    def status(record):
        end = record["process"]["exit"]
        text = end.get("signal") or str(end["code"])
        return text != "0" and (record["process"]["comm"], text)
    count("ends", status, "process.exit")
    count("containers", lambda r: "container" in r and (host, r["container"]["id"]), "process.exec")

    last = [record["timestamp"] for _, _, record in records if record["event"]["name"] == "trace.end"]
    nanoseconds = int(re.search(r"\.(\d{9})Z", max(last)).group(1))
    assert duck["time"] % 10**9 == nanoseconds, f"{duck['time']}: {last}"
    assert click["time"].replace(" ", "T") + "Z" == max(last), f"{click['time']}: {last}"
    print("fleet: times are exact")


def run_twice(command):
    """Runs a command twice, both times in a process with the same id."""
    clone3, signal_child, pid = 435, 17, None
    for _ in range(2):
        # struct clone_args: exit_signal is the 5th member, set_tid and its size are 9th and 10th.
        args, tid = (ctypes.c_uint64 * 11)(), ctypes.c_int(pid or 0)
        args[4] = signal_child
        if pid:
            args[8], args[9] = ctypes.addressof(tid), 1
        pid = ctypes.CDLL(None, use_errno=True).syscall(clone3, args, ctypes.sizeof(args))
        if pid == 0:
            os.execv(command[0], command)
        assert pid > 0, os.strerror(ctypes.get_errno())
        os.waitpid(pid, 0)
    return pid


def check_identity(tools, folder):
    """Rows of three tools about two processes with one id: joined by id and birth, each finds its own."""
    names = ["execsnoop", "killsnoop", "procsnoop"]
    files = {name: folder / f"identity-{name}.json" for name in names}
    running = []
    for name, file in files.items():
        with open(file, "wb") as out:
            running.append(subprocess.Popen([tools / name, "--json", "--ppid", str(os.getpid())], stdout=out))
        while not file.read_bytes().endswith(b"\n"):
            time.sleep(0.01)
    pid = run_twice(["/bin/sh", "-c", "kill -CONT $$; exit 7"])
    time.sleep(1)
    for tool in running:
        tool.send_signal(signal.SIGINT)
        assert tool.wait() == 0
    connection = duckdb.connect()
    for name, file in files.items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_json('{file}', format = 'newline_delimited',"
                           " union_by_name = true, sample_size = -1) WHERE event.name NOT LIKE 'trace.%'")
    joined = """SELECT count(*) FROM execsnoop e JOIN killsnoop k ON {0} JOIN procsnoop p ON {1}
        WHERE e.process.pid = ? AND p.event.name = 'process.exit' AND k.signal.name = 'SIGCONT'"""
    on_id = ("e.process.pid = k.process.pid", "e.process.pid = p.process.pid")
    births = (" AND e.process.creation.time = k.process.creation.time",
              " AND e.process.creation.time = p.process.creation.time")
    by_id = connection.execute(joined.format(*on_id), [pid]).fetchone()
    by_both = connection.execute(joined.format(*map("".join, zip(on_id, births))), [pid]).fetchone()
    assert (by_id, by_both) == ((8,), (2,)), (by_id, by_both)
    print("fleet: processes with one id are two")


def check_yaml():
    """What no engine here can run is at least well-formed, and names files that exist."""
    for file in sorted(PACKAGING.glob("*/*.yaml")):
        assert isinstance(yaml.safe_load(file.read_text()), dict), file
    vector = yaml.safe_load((PACKAGING / "fleet/vector.yaml").read_text())
    table = vector["sinks"]["clickhouse"]["table"]
    assert f"CREATE TABLE IF NOT EXISTS {table}\n" in (PACKAGING / "fleet/clickhouse.sql").read_text()
    daemonset = yaml.safe_load((PACKAGING / "container/daemonset.yaml").read_text())
    pod = daemonset["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}
    assert security["readOnlyRootFilesystem"] and "volumes" not in pod
    print("fleet: YAML is well-formed")


def main():
    tools = pathlib.Path(sys.argv[1]).resolve()
    check_yaml()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        trace(tools, folder)
        records = read(folder)
        check(records, run_duckdb(folder), run_clickhouse(records, folder))
        check_identity(tools, folder)


os.environ.setdefault("TZ", "UTC")
main()
