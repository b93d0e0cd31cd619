#!/usr/bin/env python3
"""Reads a trace of procsnoop --perfetto with Perfetto's own definitions, and holds it against the
Chrome trace of the same run: traces.py FOLDER-WITH-TOOLS. Needs root, and perfetto from PyPI.

Its trace processor is a program that the package would download; the definitions are in it."""

import json
import pathlib
import subprocess
import sys
import tempfile

from perfetto.protos.perfetto.trace import perfetto_trace_pb2

SCRIPT = "/bin/true one; (exit 3); sh -c 'kill -KILL $$'; /bin/true two & wait"
PATH = "critical path"


def run(tool, folder):
    """The packets of the one trace, and the slices of the other."""
    binary, chrome = folder / "trace.pftrace", folder / "trace.json"
    command = [tool, "-q", "--perfetto", binary, "--chrome-trace", chrome, "--", "sh", "-c", SCRIPT]
    subprocess.run(command, check=True, capture_output=True)
    trace = perfetto_trace_pb2.Trace()
    trace.ParseFromString(binary.read_bytes())
    events = json.loads(chrome.read_text())["traceEvents"]
    return trace.packet, [event for event in events if event["ph"] == "X"]


def unknown(message, path=""):
    """Members that the definitions do not have, or that have another type there."""
    from google.protobuf import unknown_fields

    for field in unknown_fields.UnknownFieldSet(message):
        yield f"{path}: {field.field_number}"
    for descriptor, value in message.ListFields():
        if descriptor.message_type:
            values = value if hasattr(value, "__len__") else [value]
            for one in values:
                yield from unknown(one, f"{path}.{descriptor.name}")


def slices(packets):
    """By row, its slices in order: begin, end, event. Each end has its begin."""
    rows, last = {}, 0
    for packet in packets:
        if not packet.HasField("track_event"):
            continue
        event = packet.track_event
        assert packet.timestamp >= last, "in the order of time"
        last = packet.timestamp
        row = rows.setdefault(event.track_uuid, {"open": [], "slices": [], "instants": []})
        if event.type == event.TYPE_SLICE_BEGIN:
            row["open"].append((packet.timestamp, event))
        elif event.type == event.TYPE_SLICE_END:
            begin, opened = row["open"].pop()
            row["slices"].append((begin, packet.timestamp, opened))
        else:
            assert event.type == event.TYPE_INSTANT, event
            assert row["open"], "a birth is in the life of the parent"
            row["instants"].append(event)
    assert not any(row["open"] for row in rows.values())
    return rows


def details(event):
    values = {}
    for one in event.debug_annotations:
        values[one.name] = getattr(one, one.WhichOneof("value"))
    return values


def main():
    tool = pathlib.Path(sys.argv[1]) / "procsnoop"
    with tempfile.TemporaryDirectory() as folder:
        packets, chrome = run(tool, pathlib.Path(folder))
    strange = [what for packet in packets for what in unknown(packet)]
    assert not strange, strange
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in packets if p.HasField("track_descriptor")}
    rows = slices(packets)
    assert set(rows) <= set(tracks)
    family = [uuid for uuid, track in tracks.items() if not track.HasField("parent_uuid")]
    assert len(family) == 1 and tracks[family[0]].name.startswith("sh -c "), tracks
    lives = [one for uuid, row in rows.items() if tracks[uuid].name != PATH for one in row["slices"]]
    path = [one for uuid, row in rows.items() if tracks[uuid].name == PATH for one in row["slices"]]

    # The same lives as in the other trace, with the same times and details.
    def ours(one):
        values = details(one[2])
        return values["pid"], values["command"], values["status"], round((one[1] - one[0]) / 1000, 3)

    def theirs(one):
        args = one["args"]
        return args["pid"], args["command"], args["status"], round(one["dur"], 3)

    assert sorted(map(ours, lives)) == sorted(map(theirs, chrome)), (lives, chrome)
    failed = [one[2] for one in lives if "failed" in one[2].categories]
    assert all(event.name.startswith("✗ ") for event in failed)
    assert sorted(details(event)["status"] for event in failed) == ["3", "SIGKILL"], failed
    # Arrows from each parent to its child.
    born = [flow for row in rows.values() for event in row["instants"] for flow in event.flow_ids]
    children = [flow for one in lives for flow in one[2].terminating_flow_ids]
    assert sorted(born) == sorted(children) and len(children) == len(lives) - 1, (born, children)
    # The critical path is without gaps from the beginning to the end of the first process.
    first = min(lives, key=lambda one: one[0])
    assert (path[0][0], path[-1][1]) == (first[0], first[1]), path
    assert all(one[1] == next_one[0] for one, next_one in zip(path, path[1:])), path
    print(f"{len(packets)} packets, {len(lives)} lives, {len(path)} steps: as they should be")


main()
