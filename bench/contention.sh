#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# contention.sh [--calls N] [--rounds N]: what CPUs pay that send events at the same time. On 1, 2,
# 4, … CPUs of this machine, a program calls mmap() in a loop, with calls that fail with EINVAL,
# which are the cheapest. It prints how many nanoseconds mmapsnoop adds to each call, with 1, 2,
# 4, … ring buffers: the median over the rounds of the mean over the CPUs. The tool is stopped
# meanwhile, and its buffers have room for all events, so that the CPUs wait for nobody but each
# other.
set -euo pipefail
cd "$(dirname "$0")/.."

calls=20000 rounds=5
while (($#)); do
	case $1 in
	--calls) calls=${2:?how many?} ;;
	--rounds) rounds=${2:?how many?} ;;
	*)
		sed -n 's/^# \{0,1\}//; 4,10p' "$0" >&2
		exit 2
		;;
	esac
	shift 2
done

((EUID == 0)) || exec sudo -- "$0" --calls "$calls" --rounds "$rounds"
tool=${CARGO_TARGET_DIR:-target}/release/mmapsnoop
[[ -x $tool ]] || {
	echo "contention.sh: no $tool: make build first" >&2
	exit 1
}
work=$(mktemp -d)
tool_pid=
clean_up() {
	[[ ! $tool_pid ]] || kill -KILL "$tool_pid" 2>/dev/null || true
	rm -rf "$work"
}
trap clean_up EXIT
"${CC:-cc}" -O2 -o "$work/mmap" bench/workload/mmap.c

# cpus COUNT: the numbers of so many CPUs that this process may use, spread over all of them.
cpus() {
	local list=() range
	for range in $(taskset -pc $$ | sed 's/.*: //; s/,/ /g'); do
		mapfile -t -O ${#list[@]} list < <(seq "${range%-*}" "${range#*-}")
	done
	local index
	for ((index = 0; index < $1; index++)); do
		echo "${list[index * ${#list[@]} / $1]}"
	done
}

# calls_on COUNT: nanoseconds that a call takes on so many CPUs at the same time.
calls_on() {
	local cpu index=0 pids=()
	for cpu in $(cpus "$1"); do
		taskset -c "$cpu" "$work/mmap" fail "$calls" >"$work/ns.$index" &
		pids+=($!) index=$((index + 1))
	done
	wait "${pids[@]}"
	cat "$work"/ns.* | awk '{ sum += $2 } END { printf "%.0f\n", sum / NR }'
	rm "$work"/ns.*
}

# start RINGS PRODUCERS: a tool with room for all events of one round.
start() {
	local shares=$(($1 > $2 ? $1 : $2)) # a ring has a CPU, or some of them
	local bytes=$((shares * (128 * calls * 2 + 65536)))
	"$tool" --comm mmap --rings "$1" --buffer-size "$bytes" -v >/dev/null 2>"$work/said" &
	tool_pid=$!
	until grep -qE ': backend .* buffers?$' "$work/said"; do
		kill -0 "$tool_pid" 2>/dev/null || {
			cat "$work/said" >&2
			exit 1
		}
		sleep 0.1
	done
	kill -STOP "$tool_pid"
}

# Ends the tool, which must have had room for all.
stop() {
	kill -CONT "$tool_pid"
	kill -INT "$tool_pid"
	wait "$tool_pid" || true
	tool_pid=
	grep -q ', 0 lost$' "$work/said" || echo "contention.sh: $(tail -n 1 "$work/said")" >&2
}

median() { sort -n | sed -n "$((rounds / 2 + 1))p"; }

# powers UP_TO: 1 2 4 … and the number itself
powers() {
	local number
	for ((number = 1; number < $1; number *= 2)); do echo "$number"; done
	echo "$1"
}

most=$(nproc)
most_rings=$((most < 64 ? most : 64))
echo "$most CPUs, Linux $(uname -r): nanoseconds that mmapsnoop adds to a call"
printf '%9s %9s' producers untraced
for rings in $(powers "$most_rings"); do printf ' %9s' "$rings ring$( ((rings == 1)) || echo s)"; done
echo
for producers in $(powers "$most"); do
	for ((round = 0; round < rounds; round++)); do
		bare=$(calls_on "$producers")
		echo "$bare" >>"$work/bare"
		for rings in $(powers "$most_rings"); do
			start "$rings" "$producers"
			traced=$(calls_on "$producers")
			stop
			echo $((traced - bare)) >>"$work/added.$rings"
		done
	done
	printf '%9s %9s' "$producers" "$(median <"$work/bare")"
	for rings in $(powers "$most_rings"); do printf ' %+9d' "$(median <"$work/added.$rings")"; done
	echo
	rm "$work"/bare "$work"/added.*
done
