#!/usr/bin/env python3
"""Lines of --json=otlp, parsed by OpenTelemetry's own definitions: otlp.py FOLDER-WITH-TOOLS. Each
must say what the line of --json for the same event says, and use the names of the registry. Needs
root, opentelemetry-proto, opentelemetry-semantic-conventions, PyYAML."""

import base64
import datetime
import importlib
import json
import os
import pathlib
import pkgutil
import subprocess
import sys
import tempfile

import opentelemetry.semconv._incubating.attributes as registry
import yaml
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.semconv.schemas import Schemas

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGING, EXAMPLES = TOP / "packaging", TOP / "examples"
# Something for each tool: names and arguments that are not UTF-8, failures, ends of bad kinds.
WORK = f"""
true; /bin/true "$(printf 'a\\377b')"; env no-such-program; (exit 3)
sh -c 'kill -KILL $$'
{sys.executable} -c 'import mmap, socket
mmap.mmap(-1, 8192, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
for port in 1, 1, 2: print(socket.socket().connect_ex(("127.0.0.1", port)))'
exit 0
"""
FLAGS = {
    "execsnoop": ["-x", "--all", "--env", "--ancestors", "--login"],
    "mmapsnoop": ["--all", "--vma", "--latency", "--stacks"],
    "procsnoop": ["--fork", "--threads", "--ancestors"],
    "tcpconnect": ["--sync-errors"],
    "killsnoop": ["--kernel"],
}
# Other rows of recordings than those that were recorded, and what is recorded for them.
SUMMARIES = {"tcpconnect": [["--count", "--per-process"], ["--summary", "1"]], "mmapsnoop": [["--summary", "1"]]}
TEMPLATES = ("container.label", "k8s.pod.label", "process.environment_variable")
WHOLE = ("data", "key", "maps", "object", "stacks", "value", "values")
OF_RESOURCE = {"tool": "service.name", "version": "service.version", "host.name": "host.name", "host.id": "host.id",
               "host.arch": "host.arch", "host.boot.id": "snoop.host.boot.id"}
BODIES = {"bpf.printk": "message", "bpf.iterator": "line"}


def registered():
    """The names that the registry has, without those that are deprecated there."""
    names = set()
    for module in pkgutil.iter_modules(registry.__path__):
        attributes = importlib.import_module(f"{registry.__name__}.{module.name}")
        names |= {value for name, value in vars(attributes).items() if name.isupper() and isinstance(value, str)}
    return names


NAMES = registered()


def name_of(path):
    """The attribute of a member."""
    templates = [template for template in TEMPLATES if path.startswith(template + ".")]
    known = path in NAMES or templates
    return path if known else "snoop." + path


def value_of(value, of_others=False, exact=False):
    """A value of JSON as protobuf has it."""
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if value < 1 << 63 else str(value)
    if isinstance(value, str):
        return base64.b64decode(value, validate=True) if exact else value
    if isinstance(value, list):
        return [value_of(item, of_others, exact) for item in value]
    members = {}
    for key, item in value.items():
        is_exact = key.endswith("_base64") and not of_others
        members[key[:-7] + "_raw" if is_exact else key] = value_of(item, of_others, is_exact)
    return members


def attributes_of(value, path, within=False):
    """Members of JSON as attributes."""
    if isinstance(value, dict) and path not in WHOLE:
        for key, item in value.items():
            below = f"{path}.{key}" if path else key
            yield from attributes_of(item, below, within or path in TEMPLATES)
    elif value is not None:
        exact = path.endswith("_base64") and not within
        name = f"snoop.{path[:-7]}_raw" if exact else name_of(path)
        yield name, value_of(value, path in WHOLE, exact)


def decoded(any_value):
    """A value of protobuf."""
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [decoded(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return members_of(any_value.kvlist_value.values)
    return kind and getattr(any_value, kind)


def members_of(pairs):
    members = {pair.key: decoded(pair.value) for pair in pairs}
    assert len(members) == len(pairs) and all(members), pairs
    return members


def nanoseconds(timestamp):
    whole, fraction = timestamp.rstrip("Z").split(".")
    seconds = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(seconds) * 10**9 + int(fraction)


def parse(line):
    """The only record of a line, and its resource. Members that nobody knows are an error."""
    data = json_format.Parse(line, LogsData(), ignore_unknown_fields=False)
    (logs,) = data.resource_logs
    (scope,) = logs.scope_logs
    (record,) = scope.log_records
    assert scope.scope.name == "snoop-tools" and scope.scope.version, scope
    assert logs.schema_url == scope.schema_url == Schemas.V1_44_0.value, logs.schema_url
    assert record.observed_time_unix_nano and record.event_name.startswith("snoop."), record
    assert (record.severity_number, record.severity_text) in [(9, "INFO"), (13, "WARN")], record
    return record, members_of(logs.resource.attributes)


def check_names(name, attributes):
    for key in attributes:
        templates = any(key.startswith(template + ".") for template in TEMPLATES)
        assert key.startswith("snoop.") or key in NAMES or templates, f"{name}: {key} is nobody's"
        assert not key.startswith("snoop.") or key[6:] not in NAMES, f"{name}: {key} is the registry's"


def check(plain, otlp):
    """Lines of --json, and those of --json=otlp for the same events. Returns how many there are."""
    plain, otlp = plain.splitlines(), otlp.splitlines()
    assert len(plain) == len(otlp), (len(plain), len(otlp))
    for text, line in zip(plain, otlp):
        row, (record, resource) = json.loads(text), parse(line)
        name = row.pop("event")["name"]
        assert record.event_name == f"snoop.{name}", (record.event_name, name)
        timestamp = row.pop("timestamp")
        assert record.time_unix_nano == nanoseconds(timestamp), (record.time_unix_nano, timestamp)
        body = row.pop(BODIES[name]) if name in BODIES and BODIES[name] in row else None
        assert decoded(record.body) == body
        expected = dict(attributes_of(row, ""))
        if name == "trace.start":
            machine = {ours: expected.pop(name_of(key)) for key, ours in OF_RESOURCE.items()}
            machine["os.type"] = "linux"
        assert resource == machine, (resource, machine)
        got = members_of(record.attributes)
        assert got == expected, f"{text}\n{line}\n{got}\n{expected}"
        types = {key: (type(got[key]), type(expected[key])) for key in got}
        assert all(one == other for one, other in types.values()), types
        check_names(name, got)
        failure = row.get("error") or row.get("process", {}).get("exit", {}).get("signal")
        superseded = row.get("connect", {}).get("superseded")
        assert not failure or superseded or record.severity_text == "WARN", line
    return len(plain)


def run(command):
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def check_tool(tool, own, folder):
    """What a tracer has recorded, in both forms; then what it writes itself."""
    plain = folder / f"{tool.name}.jsonl"
    work = f"exec >/dev/null 2>&1; {own['command']}; {WORK}"
    subprocess.run([tool, "--json", "--output", plain, *FLAGS.get(tool.name, []), "--", "sh", "-c", work], check=True)
    flags = FLAGS.get(tool.name, [])
    rows = 0
    for more in [flags, *SUMMARIES.get(tool.name, [])]:
        # A table of addresses needs no flags; all others are those of the recording.
        again = [run([tool, "--from", plain, form, *more]) for form in ("--json", "--json=otlp")]
        rows += check(*again)
    live = folder / f"{tool.name}.otlp.jsonl"
    subprocess.run([tool, "--json=otlp", "--output", live, "--rotate", "32K", "--redact", *flags,
                    "--", "sh", "-c", work], check=True)
    files = sorted(folder.glob(f"{live.name}.*")) + [live]
    records = [parse(line)[0] for file in files for line in file.read_text().splitlines()]
    names = [record.event_name for record in records]
    assert names[0] == "snoop.trace.start" and names[-1] == "snoop.trace.end"
    assert names.count("snoop.trace.start") == len(files) == names.count("snoop.trace.continued") + 1
    others = ("snoop.trace.", "snoop.events.lost")
    shown = sum(not name.startswith(others) for name in names)
    told = members_of(records[-1].attributes)["snoop.events"]
    assert shown >= told > 0, (shown, told)
    bytes_each = sum(file.stat().st_size for file in files) / len(records)
    print(f"otlp: {tool.name}: {rows} records as in --json, {shown} live in {len(files)} files, {bytes_each:.0f} bytes each")


def check_bpfrun(tool, own, folder):
    """Its objects have values of any kind; it reads no recordings."""
    # libbpf's headers, as the programs' build has unpacked them.
    headers = next(TOP.glob("target/**/build/snoop-tools-*/out/include"))
    source = EXAMPLES / own["object"].replace(".bpf.o", ".bpf.c")
    subprocess.run([EXAMPLES / "build.sh", folder, headers, source], check=True)
    command = [tool, folder / own["object"], "--json=otlp", "--duration", "2", "--", "sh", "-c", own["command"]]
    lines = run(command).splitlines()
    records = [parse(line)[0] for line in lines]
    for record in records:
        check_names(record.event_name, members_of(record.attributes))
    assert any(record.event_name.startswith("snoop.bpf.") for record in records), lines
    print(f"otlp: bpfrun: {len(records)} records")


def check_collector():
    """The shipped configuration names the receiver for these lines, and changes none of them."""
    config = yaml.safe_load((PACKAGING / "fleet/otel-collector.yaml").read_text())
    assert list(config["receivers"]) == ["otlpjsonfile"]
    logs = config["service"]["pipelines"]["logs"]
    assert logs["receivers"] == ["otlpjsonfile"]
    assert set(logs["processors"]) <= set(config["processors"]) and set(logs["exporters"]) <= set(config["exporters"])


def main():
    tools = pathlib.Path(sys.argv[1]).resolve()
    check_collector()
    with tempfile.TemporaryDirectory() as name:
        for tool in sorted(tools.iterdir()):
            demo = subprocess.run([tool, "--generate", "demo"], capture_output=True, check=True, text=True)
            own = dict(line.split("=", 1) for line in demo.stdout.splitlines())
            if own["object"]:
                check_bpfrun(tool, own, pathlib.Path(name))
            else:
                check_tool(tool, own, pathlib.Path(name))


os.environ.setdefault("TZ", "UTC")
main()
