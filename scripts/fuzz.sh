#!/usr/bin/env bash
# Fuzzing with libFuzzer, inside one process and led by coverage, with the stable compiler: the flags
# are those that cargo-fuzz gives, without the sanitizers, which need nightly, and for our own code only:
# other crates come from the build of the tests. All targets share the time. What makes one crash, hang or take too much memory stays in target/fuzz/found.
#
# usage: fuzz.sh [MINUTES] [TARGET...]        (default: 1, all targets)

set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${HOME-}/.cargo/bin"
minutes=${1:-1}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(inspect schemas described embedded relocations
    values records recorded dns proc arguments filter)

# What one input may take. An input has at most 64 KiB, and is one of many in the same process. The
# time is against hanging: programs with all checks are slow, and machines busy.
seconds=120 megabytes=768

say() { printf 'fuzz: %s\n' "$*" >&2; }
if ! command -v "${CXX:-c++}" >/dev/null; then
    say "libFuzzer is C++, and there is no compiler: install g++, or set CXX"
    exit 1
fi
if [[ ! $minutes =~ ^[0-9]+$ || $minutes == 0 ]]; then
    say "MINUTES is a whole number from 1 up, not '$minutes'"
    exit 2
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# For a minute it is not worth while to optimise what then tries more inputs.
quick=()
((minutes > 1)) || quick=(--config 'profile.dev.package.snoop-tools.opt-level=0')
CARGO_INCREMENTAL=0 RUSTC_WRAPPER=$PWD/fuzz/rustc.sh \
    "${CARGO:-cargo}" build --quiet --locked --manifest-path fuzz/Cargo.toml ${quick[@]+"${quick[@]}"}
program=$CARGO_TARGET_DIR/debug/snoop-fuzz

each=$((minutes * 60 / ${#targets[@]}))
failed=()
mkdir -p target/fuzz/found
for target in "${targets[@]}"; do
    corpus=target/fuzz/corpus/$target
    log=target/fuzz/$target.log
    mkdir -p "$corpus"
    status=0
    SNOOP_FUZZ=$target SNOOP_SEEDS=$corpus "$program" "$corpus" \
        -max_total_time=$((each > 0 ? each : 1)) -max_len=65536 -timeout=$seconds \
        -rss_limit_mb=$megabytes -malloc_limit_mb=256 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/found/$target-" >/dev/null 2>"$log" || status=$?
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    printf '%-12s %9s inputs, peak %s MiB\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat peak_rss_mb)"
    if ((status)); then
        failed+=("$target")
        grep -E 'panicked|ERROR|Test unit written|assert' "$log" >&2 || tail -n 20 "$log" >&2
    fi
done
if ((${#failed[@]})); then
    say "found something: ${failed[*]} (the inputs are in target/fuzz/found)"
    exit 1
fi
