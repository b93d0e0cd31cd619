#!/bin/bash
# Runs each program of the package once, in the installed system: it describes itself, and shows
# what it is made for.
set -eu

out=$(mktemp)
# shows EVENT PROGRAM FLAG... -- COMMAND...
shows() {
    local event=$1
    shift
    "$@" >"$out"
    grep -q "\"name\":\"$event\"" "$out" || {
        head -n 5 "$out"
        echo "$1: no $event"
        return 1
    }
    tail -n 1 "$out" | grep -q '"lost":0' || {
        tail -n 1 "$out"
        echo "$1: events lost"
        return 1
    }
    echo "$1: shows $event"
}

for program in $(dpkg -L snoop-tools | grep '^/usr/bin/.'); do
    "$program" --version
    "$program" --help >"$out"
    grep -q '^Usage: ' "$out"
    case ${program##*/} in
        execsnoop) shows process.exec "$program" --json -- /bin/true ;;
        mmapsnoop) shows memory.map "$program" --json -- /bin/true ;;
        procsnoop) shows process.exit "$program" --json -- /bin/true ;;
        tcpconnect)
            shows network.connect "$program" --json -- \
                bash -c ': </dev/tcp/127.0.0.1/1 || true' 2>/dev/null
            ;;
        # A lesson of examples/ that sends its own events.
        bpfrun) shows bpf.event "$program" --json /tmp/07-ring-buffer.bpf.o -- /bin/true ;;
        *)
            echo "$program: not tried"
            exit 1
            ;;
    esac
done
