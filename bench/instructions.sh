#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# instructions.sh [--tool mmapsnoop|tcpconnect] [KERNEL]: the instructions that the tool adds,
# with each backend, to its cheapest event (mmapsnoop: a call of mmap() that fails;
# tcpconnect: an attempt to connect that this machine refuses, with its socket() and close()),
# and to a getppid(), also in a thread with a seccomp filter; and the same for the floor (floor.bpf.c):
# programs on the same hooks that do nothing, or send a record with nothing in it but the time; for
# mmapsnoop also those that ask who calls, and with which arguments. It uses a virtual machine whose
# clock counts instructions, so that the numbers are the same on any machine, busy or not, and show the
# cost of a change. They say nothing about caches and about the time of an instruction; run.sh does.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=mmapsnoop
if [[ ${1:-} == --tool ]]; then
	tool=${2:?which tool?}
	shift 2
fi
kernel=${1:-6.12}

# The workload; which of its two numbers counts; the name of the unit.
cases=() # a backend and flags, or `floor:` and a level; a floor goes before what is compared with it
case $tool in
mmapsnoop)
	workload='mmap fail 20000' number=1 unit='mmap()'
	for backend in fexit tracepoint tp_btf; do
		cases+=("$backend floor:empty" "$backend floor:record")
		cases+=("$backend floor:who" "$backend floor:whose")
		cases+=("$backend" "$backend --pid 1" "$backend --min-size 1M" "$backend --summary 100")
	done
	# The chain in that machine is short: init, sh, sh.
	cases+=('tp_btf --login' 'tp_btf --ancestors' 'tp_btf --ancestor nobody')
	;;
tcpconnect)
	# The median: nothing else runs during such an attempt, not even the tracer.
	workload='connect 127.1 20000' number=2 unit=attempt
	for backend in fexit tp_btf raw_tp; do
		[[ $backend != tp_btf ]] || cases+=("$backend floor:empty" "$backend floor:record")
		cases+=("$backend" "$backend --pid 1" "$backend --port 2" "$backend --summary 100")
	done
	cases+=('fexit --sync-errors' 'tracepoint --sync-errors' 'raw_tp --sync-errors')
	;;
*)
	echo "instructions.sh: no workload for '$tool'" >&2
	exit 2
	;;
esac

payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
cargo build --quiet --locked --bin "$tool" --bin bpfrun
for program in "$tool" bpfrun; do
	strip --strip-debug -o "$payload/$program" "${CARGO_TARGET_DIR:-target}/debug/$program"
done
bench/floor.sh debug "$payload/floor.bpf.o"
for program in "${workload%% *}" getppid; do
	"${CC:-cc}" -O2 -o "$payload/$program" "bench/workload/$program.c"
done
printf '%s\n' "${cases[@]}" >"$payload/cases"
printf "%s='%s'\n" tool "$tool" workload "$workload" number "$number" unit "$unit" >"$payload/settings"
cat >"$payload/run" <<'END'
#!/bin/sh
cd /payload
. ./settings
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null

nth() { shift "$1"; echo "${1%%.*}"; }
measure() {
    work=$(nth "$number" $(./$workload))
    getppid=$(nth 1 $(./getppid 20000))
    filtered=$(nth 1 $(./getppid 20000 filtered))
}
measure
bare_work=$work bare_getppid=$getppid bare_filtered=$filtered refused=
echo "Linux $(uname -r): $unit $work instructions, getppid() $getppid, filtered $filtered"
printf '%-11s %-16s %7s %9s %9s %8s\n' BACKEND FLAGS "$unit" 'to floor' 'getppid()' filtered
while read -r backend flags; do
    [ "$backend" = "$refused" ] && continue
    case $flags in
        # Not only the best program of a hook. Its buffer has room for all records.
        floor:*) set -- ./bpfrun floor.bpf.o floor_nothing --all-variants \
            --prog "${tool}_$backend*_${flags#floor:}" ;;
        *) set -- "./$tool" --backend "$backend" $flags ;;
    esac
    "$@" >/dev/null 2>/tmp/said </dev/null &
    tracer=$!
    sleep 3
    if ! kill -0 $tracer 2>/dev/null; then
        echo "$backend $flags: $(tail -n 1 /tmp/said)"
        case $flags in floor:*) ;; *) refused=$backend ;; esac
        continue
    fi
    measure
    added=$((work - bare_work))
    # What shows the call is compared with a record, what filters it out with nothing; or with those
    # floors that ask as well.
    case $flags in
        floor:empty | floor:who) empty=$added floors_of=$backend compared='' ;;
        floor:record | floor:whose) record=$added compared='' ;;
        --pid* | --min-size* | --port*) compared=${empty-} ;;
        --summary*) compared='' ;;
        *) compared=${record-} ;;
    esac
    [ "$backend" = "${floors_of-}" ] || compared=''
    ratio=-
    [ -z "$compared" ] || ratio=$(awk "BEGIN { printf \"%.2f\", $added / $compared }")
    printf '%-11s %-16s %+7d %9s %+9d %+8d\n' $backend "$flags" \
        $added $ratio $((getppid - bare_getppid)) $((filtered - bare_filtered))
    kill -INT $tracer
    wait $tracer
done <cases
END
chmod +x "$payload/run"
tests/vm/run.sh --kernel "$kernel" --icount --timeout 1800 "$payload"
