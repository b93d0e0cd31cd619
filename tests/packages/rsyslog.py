#!/usr/bin/env python3
"""Two rsyslogds on loopback with the configurations of packaging/fleet:
rsyslog.py ship|load TOOLS RSYSLOGD MODULES.

ship: all that tools write to their files arrives, though the receiver is away for 20 seconds, the sender
is restarted, and the files are rotated all the time.
load: the streams of 200 machines, 1,000 lines a second each, into one receiver."""

import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging/fleet"
AWAY_SECONDS = 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def replace(text, changes):
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Rsyslog:
    """A daemon with its own configuration and folder; `changes` make a shipped file fit for here."""

    def __init__(self, name, folder, program, modules, shipped, changes):
        self.name, self.command = name, [program, "-n", "-iNONE", "-M", modules]
        state = folder / name
        state.mkdir()
        self.own_words = state / "messages"
        own = state / "shipped.conf"
        own.write_text(replace((PACKAGING / shipped).read_text(), changes))
        main = state / "rsyslog.conf"
        main.write_text(f'global(workDirectory="{state}")\ninclude(file="{own}")\n'
                        f'action(type="omfile" file="{self.own_words}")\n')
        self.command += ["-f", main]
        checked = subprocess.run([*self.command, "-N1"], capture_output=True, text=True)
        assert checked.returncode == 0 and "rror" not in checked.stderr, checked.stderr
        self.process = None

    def start(self):
        with open(self.own_words, "ab") as own_words:
            self.process = subprocess.Popen(self.command, stdout=own_words, stderr=own_words)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def server(folder, program, modules, port):
    (folder / "srv").mkdir()
    return Rsyslog("server", folder, program, modules, "rsyslog-server.conf", {
        'port="2514"': f'port="{port}" address="127.0.0.1"', "/srv/snoop": str(folder / "srv")})


def client(folder, program, modules, port):
    return Rsyslog("client", folder, program, modules, "rsyslog-client.conf", {
        'port="2514"': f'port="{port}"', "collector.example.org": "127.0.0.1",
        "/var/log/snoop": str(folder / "log"),
        'resumeInterval="5"': 'resumeInterval="1"'})


def wait_until(seconds, what, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.1)


def lines_of(files):
    return [line for file in files for line in file.read_bytes().splitlines()]


def is_event(line):
    return b'"event":{"name":"trace.' not in line


# --- ship -----------------------------------------------------------------------------------


def written(log, tool):
    """All lines of files that are complete."""
    return lines_of(log.glob(f"{tool}.jsonl.*"))


def received(folder, tool):
    return lines_of(sorted(folder.glob(f"srv/host=*/day=*/{tool}.jsonl")))


def compare(tool, sent, got):
    """Nothing is lost, nothing is changed. RELP may send again what was under way when the receiver
    stopped; since no two lines of a run are the same, whoever reads them can tell."""
    assert len(set(sent)) == len(sent), f"{tool}: lines that are the same"
    for what, lines in (("lost", set(sent) - set(got)), ("never written", set(got) - set(sent))):
        for line in list(lines)[:3]:
            print(f"ship: {tool}: {what}: {line[:200]!r}", file=sys.stderr)
        assert not lines, f"{tool}: {len(lines)} lines {what}"
    again = len(got) - len(sent)
    # Not more than are under way at once.
    assert again <= 200, f"{tool}: {again} lines twice"
    events = sum(map(is_event, sent))
    print(f"ship: {tool}: {len(sent)} lines, {events} of them events: none lost, none changed, {again} sent again")
    return events


def ship(tools, program, modules):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        log = folder / "log"
        # As systemd does it for DynamicUser.
        (folder / "private").mkdir()
        log.symlink_to("private")
        port = free_port()
        collector, sender = server(folder, program, modules, port), client(folder, program, modules, port)
        running = []
        try:
            collector.start()
            sender.start()
            def begin(tool, size, *flags):
                return subprocess.Popen([tools / tool, "--json", "--output", log / f"{tool}.jsonl",
                                         "--status", "1", "--rotate", f"{size}/1s,10000", *flags])
            # One at a speed that no disk is rotated at, the other each second.
            sizes = {"execsnoop": "64K", "killsnoop": "16M"}
            running = [begin(*item) for item in sizes.items()]
            wait_until(60, "the tools", lambda: len(list(log.glob("*.jsonl"))) == 2)
            # On a machine where nothing happens, they have a status to send.
            wait_until(60, "the first lines", lambda: all(received(folder, tool) for tool in sizes))
            go_through(collector, sender)
            for tool in running:
                tool.send_signal(signal.SIGINT)
                assert tool.wait(60) == 0
            # What the last file of a run has comes with the next run.
            running = [begin(*item, "--duration", "2") for item in sizes.items()]
            for tool in running:
                assert tool.wait(60) == 0
            arrive(folder, log)
            for tool in "execsnoop", "killsnoop":
                assert compare(tool, written(log, tool), received(folder, tool)) > 100
            files = len(list(log.glob("execsnoop.jsonl.*")))
            assert files >= 5, files
            print(f"ship: through {files} rotations, {AWAY_SECONDS} s without a receiver, and a restart of the sender")
        except BaseException:
            for daemon in collector, sender:
                if daemon.own_words.exists():
                    print(daemon.name, daemon.own_words.read_text()[-2000:], file=sys.stderr)
            raise
        finally:
            for tool in running:
                tool.kill()
            sender.stop()
            collector.stop()


def go_through(collector, sender):
    """Work for the tools, and what may happen meanwhile."""
    loop = 'while :; do /bin/true "$(/bin/echo é)" "$0"; kill -CONT $$; done'
    work = subprocess.Popen(["/bin/sh", "-c", loop, "x" * 1000])
    try:
        time.sleep(3)
        collector.stop()
        time.sleep(AWAY_SECONDS)
        collector.start()
        time.sleep(3)
        sender.stop()
        time.sleep(2)
        sender.start()
        time.sleep(1)
    finally:
        work.kill()
        work.wait()


def arrive(folder, log):
    """Waits until nothing more comes."""
    def count():
        return sum(len(received(folder, tool)) for tool in ("execsnoop", "killsnoop"))
    total = sum(len(written(log, tool)) for tool in ("execsnoop", "killsnoop"))
    last, since = count(), time.monotonic()
    while last < total and time.monotonic() < since + 15:
        time.sleep(0.2)
        now = count()
        if now != last:
            last, since = now, time.monotonic()
    time.sleep(2)  # what comes twice would come now


# --- load -----------------------------------------------------------------------------------

HOSTS, RATE, LOAD_SECONDS, WINDOW = 200, 1000, 10, 1000
LINE = ('{"timestamp":"2026-01-31T12:00:00.%09dZ","event":{"name":"process.exec"},"process":{"pid":31366,'
        '"creation":{"time":"2026-01-31T11:59:59.669832410Z"},"start_boot_ns":15249853921286,"parent_pid":2581,'
        '"parent":{"creation":{"time":"2026-01-31T11:00:00.396784851Z"}},"parent_start_boot_ns":15110580873727,'
        '"comm":"true","user":{"id":0},"real_user":{"id":0},"linux":{"cgroup":"/"},'
        '"executable":{"path":"/usr/bin/true"},"command_args":["/bin/true"],"args_count":1},'
        '"thread":{"name":"true","id":31366},"exec":{"filename":"/bin/true"}}').encode()
LINE_BYTES = len(LINE % 0)


class Stream:
    """One machine: RELP frames with numbered lines, at most WINDOW of them not acknowledged."""

    def __init__(self, number, port):
        self.name = f"host{number:03}"
        head = f"<134>1 2026-01-31T12:00:00Z {self.name} execsnoop - - - ".encode()
        self.frame = b"%%d syslog %d %s%s\n" % (len(head) + LINE_BYTES, head, LINE)
        self.made = self.acknowledged = 0
        self.waiting = self.partial = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        offer = b"relp_version=0\nrelp_software=test\ncommands=syslog"
        self.socket.sendall(b"1 open %d %s\n" % (len(offer), offer))
        assert b"200 OK" in self.socket.recv(4096)
        self.socket.setblocking(False)

    def send(self, due):
        """Makes what is due, and sends what the socket takes."""
        until = min(due, self.acknowledged + WINDOW)
        if self.made < until and not self.waiting:
            self.waiting = b"".join([self.frame % (n + 2, n) for n in range(self.made, until)])
            self.made = until
        if self.waiting:
            try:
                self.waiting = self.waiting[self.socket.send(self.waiting):]
            except BlockingIOError:
                pass

    def receive(self):
        data = self.partial + self.socket.recv(1 << 16)
        end = data.rfind(b"\n") + 1
        assert data[:end].count(b"\n") == data[:end].count(b" rsp 6 200 OK\n"), data[:200]
        self.acknowledged += data[:end].count(b"\n")
        self.partial = data[end:]

    def done(self):
        return self.acknowledged == self.made and not self.waiting


def load(_tools, program, modules):
    with tempfile.TemporaryDirectory() as name:
        folder, port = pathlib.Path(name), free_port()
        collector = server(folder, program, modules, port)
        collector.start()
        try:
            wait_until(10, "the port", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            streams = [Stream(number, port) for number in range(HOSTS)]
            seconds = run_streams(streams)
            cpu = collector.cpu_seconds()
        finally:
            collector.stop()
        for stream in streams:
            check_stream(folder, stream)
        total = sum(stream.made for stream in streams)
        wanted = HOSTS * RATE
        print(f"load: {HOSTS} streams, {total} lines of {LINE_BYTES} bytes sent and stored, each once, in order")
        print(f"load: {total / seconds:.0f} lines a second of {wanted} asked for, "
              f"{cpu / total * 1e6:.1f} µs of rsyslogd's CPU time a line")
        assert total / seconds > wanted / 100, "hardly any"


def run_streams(streams):
    """All of them, for LOAD_SECONDS and until all is acknowledged; seconds that it took."""
    selector = selectors.DefaultSelector()
    for stream in streams:
        selector.register(stream.socket, selectors.EVENT_READ, stream)
    began = time.monotonic()
    sending = True
    while sending or not all(stream.done() for stream in streams):
        elapsed = time.monotonic() - began
        assert elapsed < LOAD_SECONDS * 3, "not acknowledged in time"
        sending = elapsed < LOAD_SECONDS
        due = int(elapsed * 10) * RATE // 10 if sending else 0
        for stream in streams:
            stream.send(due)
        for key, _ in selector.select(0.02):
            key.data.receive()
    return time.monotonic() - began


def check_stream(folder, stream):
    (file,) = folder.glob(f"srv/host={stream.name}/day=2026-01-31/execsnoop.jsonl")
    size = LINE_BYTES + 1
    assert file.stat().st_size == stream.made * size, f"{stream.name}: {file.stat().st_size / size} of {stream.made}"
    data = file.read_bytes()
    at = LINE.index(b"%09d")
    numbers = [int(data[start + at:start + at + 9]) for start in range(0, len(data), size)]
    assert numbers == list(range(stream.made)), stream.name


def main():
    what, tools, program, modules = sys.argv[1:]
    {"ship": ship, "load": load}[what](pathlib.Path(tools), program, modules)


main()
