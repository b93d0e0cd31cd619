#!/usr/bin/env python3
"""Measures what docs/fleet.md calculates with: bytes of an event, plain, compressed, and in the engines; time
to load and to query. bench/fleet.py TOOLS, as root, with the packages of tests/packages/fleet.sh."""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import chdb.session
import duckdb

FLEET = pathlib.Path(__file__).resolve().parents[1] / "packaging/fleet"
TOOLS = ["execsnoop", "procsnoop", "tcpconnect", "killsnoop", "mmapsnoop"]
COPIES = 40
# What scripts do: pipelines of small programs over many files, some of which fail, and connections.
WORK = """
for file in $(find /usr/share/doc /usr/lib/python3 -type f | head -n 400); do
    cat "$file" | grep -c "$(basename "$file")" | sed 's/$/ lines/' >/dev/null
    test -e "$file.bak" || stat --format=%s "$file" >/dev/null
    sort "$file" 2>/dev/null | head -n 1 >/dev/null
    (: </dev/tcp/127.0.0.1/$((RANDOM % 100 + 1))) 2>/dev/null
done
"""


def record(tools, folder):
    """Files of all tools, plain and compressed, of the same work; events by tool."""
    running = []
    for tool in TOOLS:
        for suffix in "", ".zst":
            file = folder / f"{tool}.jsonl{suffix}"
            running.append(subprocess.Popen([tools / tool, "--json", "--redact", "--output", file]))
            while not file.exists() or not suffix and not file.read_bytes():
                time.sleep(0.1)
    time.sleep(1)
    subprocess.run(["bash", "-c", WORK], check=False)
    for process in running:
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    events = {}
    for tool in TOOLS:
        lines = (folder / f"{tool}.jsonl").read_bytes().splitlines()
        events[tool] = json.loads(lines[-1])["events"]
    return events


def statements(name):
    text = (FLEET / name).read_text()
    return [code for code in text.split(";\n") if "CREATE" in code or "INSERT" in code]


def collect(folder, tool, machines):
    """A day of some machines, of one tool; all bytes."""
    subprocess.run(["rm", "-rf", folder / "srv"], check=True)
    data = (folder / f"{tool}.jsonl").read_bytes()
    for number in range(machines):
        place = folder / f"srv/host=m{number}/day=2026-01-31"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{tool}.jsonl").write_bytes(data)
    return len(data) * machines


def duck(folder):
    connection = duckdb.connect()
    connection.execute(f"SET VARIABLE snoop_files = '{folder}/srv/host=*/day=*/*.jsonl*'")
    for code in statements("duckdb.sql"):
        connection.execute(code)
    began = time.monotonic()
    connection.execute("SELECT host, process.comm, count(*) FROM snoop WHERE event.name = 'process.exec' GROUP BY ALL")
    query = time.monotonic() - began
    connection.execute(f"COPY (SELECT * FROM snoop) TO '{folder}/all.parquet' (COMPRESSION zstd)")
    return query, (folder / "all.parquet").stat().st_size


def click(folder, name):
    session = chdb.session.Session(str(folder / name))
    session.query(statements("clickhouse.sql")[0])
    began = time.monotonic()
    session.query(statements("clickhouse-load.sql")[0].replace("/srv/snoop", str(folder / "srv")))
    load = time.monotonic() - began
    session.query("OPTIMIZE TABLE snoop FINAL")
    size = session.query("SELECT sum(data_compressed_bytes) FROM system.parts WHERE table = 'snoop' AND active",
                         "TabSeparated")
    session.query("DROP TABLE snoop")
    session.close()
    return load, int(size.bytes())


def main():
    tools = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        events = record(tools, folder)
        print("bytes an event: tool, events, plain, zstd, Parquet, ClickHouse")
        for tool, count in events.items():
            plain, small = ((folder / f"{tool}.jsonl{suffix}").stat().st_size / count for suffix in ("", ".zst"))
            collect(folder, tool, 1)
            parquet, stored = duck(folder)[1], click(folder, f"ch-{tool}")[1]
            print(f"{tool} {count} {plain:.0f} {small:.1f} {parquet / count:.1f} {stored / count:.1f}", flush=True)
        size = collect(folder, "execsnoop", COPIES)
        query, load = duck(folder)[0], click(folder, "ch-speed")[0]
        print(f"execsnoop, {COPIES} machines: DuckDB reads {size / query / 1e6:.0f} MB/s, "
              f"ClickHouse loads {size / load / 1e6:.0f} MB/s")


main()
