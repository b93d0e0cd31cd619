#!/usr/bin/env bash
# What `bpfrun inspect` takes for files of 16 MiB that make the most of themselves: the worst time of
# the processor and memory of each kind of file, over all ways to look at it. For docs/reliability.md.

set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cargo" build --release --locked --bin bpfrun
SNOOP_HOSTILE=$work "$cargo" test --locked --test elf -- --ignored files_of_16_mib >/dev/null
ways=('' '--disasm --types --schema' '--json' '--json --disasm --types --schema')
printf '%-36s %8s %8s %10s\n' file seconds MiB 'output MiB'
for file in "$work"/*.bpf.o; do
    for way in "${ways[@]}"; do
        # shellcheck disable=SC2086 # several words
        /usr/bin/time -f '%U %S %M' -o "$work/time" \
            target/release/bpfrun inspect "$file" $way 2>/dev/null | wc -c >"$work/bytes" || true
        tail -n 1 "$work/time" | tr '\n' ' '
        cat "$work/bytes"
    done | awk -v name="$(basename "$file" .bpf.o)" '
        { if ($1 + $2 > s) s = $1 + $2; if ($3 > m) m = $3; if ($4 > b) b = $4 }
        END { printf "%-36s %8.1f %8d %10d\n", name, s, m / 1024, b / 1048576 }'
done
