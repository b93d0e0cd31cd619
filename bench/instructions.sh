#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# instructions.sh [KERNEL]: how many instructions mmapsnoop adds to a call of mmap() that
# fails, and to a getppid(), with each backend. In a virtual machine whose clock counts
# instructions, so that the numbers are the same on any machine, busy or not: for finding out
# what a change costs. They say nothing of caches and of what an instruction takes; run.sh does.
set -euo pipefail
cd "$(dirname "$0")/.."

kernel=${1:-6.12}
payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
cargo build --quiet --locked --bin mmapsnoop
strip --strip-debug -o "$payload/mmapsnoop" "${CARGO_TARGET_DIR:-target}/debug/mmapsnoop"
for workload in mmap getppid; do
	"${CC:-cc}" -O2 -o "$payload/$workload" "bench/workload/$workload.c"
done
cat >"$payload/run" <<'END'
#!/bin/sh
cd /payload
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null

first() { echo "${1%%.*}"; }
measure() {
    mmap=$(first "$(./mmap fail 20000)")
    getppid=$(first "$(./getppid 20000)")
}
measure
bare_mmap=$mmap bare_getppid=$getppid
echo "Linux $(uname -r): mmap() $mmap instructions, getppid() $getppid"
printf '%-11s %-16s %7s %9s\n' BACKEND FLAGS 'mmap()' 'getppid()'
for backend in fexit tracepoint tp_btf; do
    for flags in '' '--pid 1' '--min-size 1M' '--summary 100'; do
        ./mmapsnoop --backend $backend $flags >/dev/null 2>/tmp/said &
        tool=$!
        sleep 3
        if ! kill -0 $tool 2>/dev/null; then
            echo "$backend: $(head -n 1 /tmp/said)"
            break
        fi
        measure
        printf '%-11s %-16s %+7d %+9d\n' $backend "$flags" \
            $((mmap - bare_mmap)) $((getppid - bare_getppid))
        kill -INT $tool
        wait $tool
    done
done
END
chmod +x "$payload/run"
tests/vm/run.sh --kernel "$kernel" --icount --timeout 900 "$payload"
