#!/usr/bin/env python3
"""Runs the SQL of packaging/fleet with the real engines on JSON Lines of the tools, and holds the
results against a count in Python: fleet.py FOLDER-WITH-TOOLS. Needs root, chdb, duckdb."""

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


def duckdb_of(files):
    """DuckDB with the views of duckdb.sql over `files`, and its queries by their titles."""
    connection, queries = duckdb.connect(), {}
    connection.execute("SET TimeZone = 'UTC'")
    for title, code in statements("duckdb.sql"):
        if title:
            queries[title] = code
        elif code.startswith("SET VARIABLE"):
            assert "'/var/log/snoop/*.jsonl*'" in code
            connection.execute(f"SET VARIABLE snoop_files = '{files}'")
        else:
            connection.execute(code)
    return connection, queries


def run_duckdb(folder):
    """Rows of each query of duckdb.sql by its title."""
    connection, queries = duckdb_of(folder / "*.jsonl*")
    rows = {title: [list(row) for row in connection.execute(code).fetchall()]
            for title, code in queries.items()}
    (rows["time"],) = connection.execute(
        "SELECT max(epoch_ns(time)) FROM snoop WHERE event.name = 'trace.end'").fetchone()
    return rows


def check_command_line(records, folder):
    """`duckdb -init`, as the page on fleets has it: what it prints is one table for each query."""
    text = (PACKAGING / "fleet/duckdb.sql").read_text()
    assert text.count("'/var/log/snoop/*.jsonl*'") == 1
    init = folder / "init.sql"
    init.write_text(text.replace("/var/log/snoop/*.jsonl*", f"{folder}/*.jsonl*"))
    duckdb_cli = pathlib.Path(sys.executable).with_name("duckdb")
    command = [duckdb_cli, "-init", init, "-csv", "-c", "SELECT count(*) AS all_records FROM snoop"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.rstrip().endswith(f"all_records\n{len(records)}"), ran
    queries = [title for title, _ in statements("duckdb.sql") if title]
    assert ran.stdout.count("┌") == len(queries), ran
    print(f"fleet: duckdb -init: {len(records)} records")


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

    # (procsnoop and execsnoop ran one after the other, so no process is in the files of both: those
    # of check_identity are.)
    assert duck["lives"] == []
    birth = lambda record: (record["process"]["pid"], record["process"]["start_boot_ns"])
    ended = {birth(record) for _, record in of("process.exit")}
    lives = collections.Counter(
        record["process"]["comm"] for _, record in of("process.exec") if birth(record) in ended)
    expect("lives, ClickHouse", numbers(row[:3] for row in click["lives"]),
           [[host, *item] for item in lives.items()])

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
    files = {name: folder / f"identity/{name}.jsonl" for name in names}
    (folder / "identity").mkdir()
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
    connection, queries = duckdb_of(folder / "identity/*.jsonl*")
    joined = """SELECT count(*) FROM snoop e JOIN snoop k ON {0} JOIN snoop p ON {1}
        WHERE e.process.pid = ? AND e.tool = 'execsnoop' AND e.event.name = 'process.exec'
        AND k.event.name = 'signal.sent' AND p.tool = 'procsnoop' AND p.event.name = 'process.exit'"""
    on_id = ("e.process.pid = k.process.pid", "e.process.pid = p.process.pid")
    births = (" AND e.process.start_boot_ns = k.process.start_boot_ns",
              " AND e.process.start_boot_ns = p.process.start_boot_ns")
    by_id = connection.execute(joined.format(*on_id), [pid]).fetchone()
    by_both = connection.execute(joined.format(*map("".join, zip(on_id, births))), [pid]).fetchone()
    assert (by_id, by_both) == ((8,), (2,)), (by_id, by_both)
    lives = connection.execute(queries["lives"]).fetchall()
    assert ("sh", 2) in [row[1:3] for row in lives], lives
    print("fleet: processes with one id are two")


def check_rotated(tools, folder):
    """Files that --rotate has renamed and compressed are read like others."""
    (folder / "rotated").mkdir()
    file = folder / "rotated/execsnoop.jsonl"
    command = [tools / "execsnoop", "--json", "--output", file, "--rotate", "4K,100,zstd", "--",
               "sh", "-c", "for n in $(seq 200); do /bin/true $n; done; exit 0"]
    subprocess.run(command, check=True)
    connection, _ = duckdb_of(folder / "rotated/*.jsonl*")
    rows, hosts = connection.execute(
        "SELECT count(*), count(DISTINCT host) FROM snoop WHERE event.name = 'process.exec'").fetchone()
    names = [path.name for path in folder.glob("rotated/*")]
    assert sum(name.endswith(".zst") for name in names) >= 5, names
    assert (rows, hosts) == (202, 1), (rows, hosts)
    print(f"fleet: {rows} rows of {len(names)} files, old ones and compressed ones")


HOSTS, DAYS = 50, 10


def collect(records, folder):
    """What many machines have sent in ten days, each the same, and some of it twice."""
    lines = collections.defaultdict(list)
    for tool, _, record in records:
        time = record["timestamp"].index("T")
        lines[tool].append((record["timestamp"][time:], record))
    for host in range(HOSTS):
        for day in range(1, DAYS + 1):
            place = folder / f"host=machine{host}/day=2026-01-{day:02}"
            place.mkdir(parents=True)
            for tool, of_tool in lines.items():
                text = [json.dumps({**record, "timestamp": f"2026-01-{day:02}{time}"}) for time, record in of_tool]
                # (This comes twice, as the connection broke.)
                (place / f"{tool}.jsonl").write_text("\n".join([*text, text[-1], text[0]]) + "\n")
    return HOSTS * DAYS * len(lines)


def check_collected(records, folder):
    """Thousands of files by host and day: both engines count each line once, and read what they need."""
    files = collect(records, folder / "srv")
    began = time.monotonic()
    connection, _ = duckdb_of(folder / "srv/host=*/day=*/*.jsonl*")
    by_place = connection.execute("SELECT host, day, count(*) FROM snoop GROUP BY ALL").fetchall()
    assert len(by_place) == HOSTS * DAYS and {row[2] for row in by_place} == {len(records)}, by_place[:3]
    print(f"fleet: DuckDB: {files} files in {time.monotonic() - began:.1f} s")
    plan = connection.execute("""EXPLAIN ANALYZE SELECT count(*) FROM snoop
        WHERE host_of_path = 'machine7' AND day = '2026-01-03'""").fetchone()[1]
    read = re.search(r"Scanning Files: (\d+)/(\d+)", plan)
    assert read and int(read[1]) * HOSTS * DAYS == int(read[2]) == files, plan

    began = time.monotonic()
    session = chdb.session.Session(str(folder / "clickhouse-collected"))
    (table,) = [code for title, code in statements("clickhouse.sql") if not title]
    session.query(table)
    ((_, load),) = statements("clickhouse-load.sql")
    assert "/srv/snoop/" in load and "2026-01-31" in load
    session.query(load.replace("/srv/snoop", str(folder / "srv")).replace("2026-01-31", "*"))
    got = session.query("""SELECT count() AS n, uniqExact(record.host.name), uniqExact(toDate(record.timestamp))
        FROM snoop""", "JSONCompactEachRow").bytes().decode()
    assert numbers([json.loads(got)]) == [[HOSTS * DAYS * len(records), HOSTS, DAYS]], got
    parts = session.query("SELECT uniqExact(partition) FROM system.parts WHERE table = 'snoop'", "TabSeparated")
    assert int(parts.bytes()) == DAYS, parts
    place = folder / "srv/host=machine7/day=2026-01-03/execsnoop.jsonl"
    place.write_text(place.read_text() + '{"timestamp":"2026-01-03T')
    (torn,) = connection.execute("SELECT count(*) FROM snoop WHERE event IS NULL").fetchone()
    (whole,) = connection.execute("SELECT count(*) FROM snoop WHERE event IS NOT NULL").fetchone()
    assert (torn, whole) == (1, HOSTS * DAYS * len(records)), (torn, whole)
    print(f"fleet: ClickHouse: {files} files in {time.monotonic() - began:.1f} s, partitioned by day")


def main():
    tools = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        trace(tools, folder)
        records = read(folder)
        check(records, run_duckdb(folder), run_clickhouse(records, folder))
        check_command_line(records, folder)
        check_identity(tools, folder)
        check_rotated(tools, folder)
        check_collected(records, folder)


os.environ.setdefault("TZ", "UTC")
main()
