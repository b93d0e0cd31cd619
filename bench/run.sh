#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs our tracers and their installed peers side by side: see README.md. Needs root, for
# everything here attaches BPF programs to the running kernel.
set -euo pipefail

usage() {
	cat <<'EOF'
usage: bench/run.sh [--rounds N] [--quick] [--check] [--unpinned] [--only PART]...
                    [--tool NAME]... [--before DIR] [--no-build] [--no-install]
       bench/run.sh --vm [KERNEL]...

  --rounds N    measure everything N times, interleaved [default: 7]
  --quick       a look at whether all runs: 2 short rounds, numbers mean little
  --check       exit with 1 if a target is missed
  --unpinned    let the workload move between CPUs
  --only PART   only this part of the driver of --tool, as it lists them (repeatable)
  --tool NAME   only this tool's measurements, bench/NAME.py (repeatable)
  --before DIR  measure the tools of this folder too, an earlier build, in the same rounds
  --no-build    use target/release as it is
  --no-install  compare with the peers that are there; install nothing
  --vm          only rows and outcomes of tcpconnect, beside peers that need kprobes, in
                virtual machines; needs no root
EOF
}

if [ "${1-}" = --vm ]; then
	shift
	cd "$(dirname "$0")/.."
	cargo build --quiet --release --bin tcpconnect
	exec tests/vm/connect-peers/compare.sh "$@"
fi

build=1
install=1
words=()
tools=()
arguments=("$@")
while (($#)); do
	word=$1
	shift
	case $word in
	--tool)
		tools+=("${1-}")
		(($# == 0)) || shift
		;;
	--before) # before the change of folders
		words+=("$word" "$(realpath -e -- "${1-}")")
		(($# == 0)) || shift
		;;
	--no-build) build= ;;
	--no-install) install= ;;
	-h | --help)
		usage
		exit
		;;
	*) words+=("$word") ;;
	esac
done

say() { echo "bench: $*" >&2; }

if [ "$(id -u)" != 0 ]; then
	say "needs root: sudo bench/run.sh"
	exit 1
fi
# Nobody else sees these mounts, and they are gone at the end.
if [ -z "${BENCH_UNSHARED-}" ]; then
	BENCH_UNSHARED=1 exec unshare --mount "$0" ${arguments[@]+"${arguments[@]}"}
fi
cd "$(dirname "$0")/.."

folder=
driver=
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	trap '' INT TERM
	# The driver leads a process group of its own, with all tracers in it.
	if [ -n "$driver" ] && kill -TERM -- "-$driver" 2>/dev/null; then
		wait "$driver" || true
		kill -KILL -- "-$driver" 2>/dev/null || true
	fi
	[ -z "$folder" ] || rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
folder=$(mktemp -d)

# One by one, so that a missing package does not stop the others; the driver names what is
# missing in the end.
packages=(libc6-dev python3 libbpf-tools bpftrace linux-perf strace)
command -v cc >/dev/null || packages+=(gcc)
if [ -n "$install" ] && command -v apt-get >/dev/null; then
	missing=()
	for package in "${packages[@]}"; do
		dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
	done
	if [ ${#missing[@]} -gt 0 ]; then
		say "installs ${missing[*]}"
		apt-get update -qq >"$folder/apt" 2>&1 || true
	fi
	for package in ${missing[@]+"${missing[@]}"}; do
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
			"$package" >"$folder/apt" 2>&1 ||
			say "cannot install $package: $(tail -n 1 "$folder/apt")"
	done
fi

target=${CARGO_TARGET_DIR:-target}
if [ -n "$build" ] && ! command -v cargo >/dev/null; then
	say "no cargo in root's PATH: takes $target/release as it is"
	build=
fi
if [ -n "$build" ]; then
	cargo build --quiet --release --bins
fi
if [ ${#tools[@]} = 0 ]; then
	for tool in src/bin/*.rs; do
		tool=$(basename "$tool" .rs)
		[ ! -e "bench/$tool.py" ] || tools+=("$tool")
	done
fi
for tool in "${tools[@]}"; do
	if ! [ -x "$target/release/$tool" ]; then
		say "no $target/release/$tool: cargo build --release"
		exit 1
	fi
done

# Static, so that no dynamic linker blurs the measurement.
for source in bench/workload/*.c; do
	name=$(basename "$source" .c)
	flags=(-O2 -static -pthread -Wall -Wextra -Werror)
	[ "$name" != noop ] || flags+=(-nostartfiles)
	cc "${flags[@]}" -o "$folder/bench-$name" "$source"
done

bench/floor.sh release "$folder/floor.bpf.o"

# The same under another name, to find out whether a tracer is at work.
cp "$folder/bench-noop" "$folder/bench-probe"

# Our classic tracepoints and the peers' are there.
if ! mountpoint -q /sys/kernel/tracing; then
	mount -t tracefs tracefs /sys/kernel/tracing ||
		say "no tracefs, so most peers cannot run"
fi

status=0
for tool in "${tools[@]}"; do
	setsid python3 -B "bench/$tool.py" --tool "$target/release/$tool" --folder "$folder" \
		${words[@]+"${words[@]}"} &
	driver=$!
	wait "$driver" || status=$?
	driver=
done
exit "$status"
