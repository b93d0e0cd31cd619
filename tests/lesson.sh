#!/usr/bin/env bash
# Follows the lesson of CONTRIBUTING.md literally: in a copy of the sources without killsnoop, pastes
# the files of the lesson, builds them, and compares the events with the signals that were sent.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo=${CARGO:-cargo}
work=$PWD/target/lesson copy=$PWD/target/lesson/sources
files=(src/bpf/killsnoop.bpf.c src/bin/killsnoop.rs)

die() {
    echo "lesson: $*" >&2
    exit 1
}

# block FILE: the text below "`FILE`:"
block() {
    awk -v title="\`$1\`:" '$0 == title { found = 1 }
        found && /^```/ { if (inside) exit; inside = 1; next }
        inside' CONTRIBUTING.md
}

rm -rf "$copy"
mkdir -p "$copy"
if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard -z
else
    find . -path ./target -prune -o -type f -print0
fi | tar --create --null --files-from=- --ignore-failed-read 2>/dev/null | tar --extract --directory "$copy"
rm "${files[@]/#/$copy/}"
for file in "${files[@]}"; do
    block "$file" >"$copy/$file"
    diff "$file" "$copy/$file" || die "CONTRIBUTING.md does not have $file as it is"
    touch -r "$file" "$copy/$file" # nothing to compile if nothing has changed
done
lines=$(cd "$copy" && cat "${files[@]}" | wc -l)
((lines <= 150)) || die "$lines lines: more than 150"

# The crates of others, as far as they are compiled already.
if [[ ! -d $work/debug && -d target/debug/deps ]]; then
    mkdir -p "$work/debug"
    (cd target/debug && find build .fingerprint deps -type f \
        ! -path '*snoop*' ! -path '*xtask*' ! -path '*.rcgu.*' -print0) |
        tar --directory target/debug --create --null --files-from=- |
        tar --extract --directory "$work/debug"
fi
# Ours unoptimised, as it runs once: that is most of what compiling it takes.
(cd "$copy" && CARGO_TARGET_DIR=$work CARGO_INCREMENTAL=0 "$cargo" build --locked --bin killsnoop \
    --config 'profile.dev.package.snoop-tools.opt-level=0')

root=()
((EUID == 0)) || root=(sudo --)

# seen FLAG... -- COMMAND...: signals and their fates
seen() {
    "${root[@]}" "$work/debug/killsnoop" --json "$@" |
        jq -r 'select(.event.name == "signal.sent") | .signal | "\(.name) \(.result)"'
}

# expect LINES FLAG... -- COMMAND...
expect() {
    local lines
    lines=$(seen "${@:2}" | tr '\n' ';')
    [[ $lines == "$1" ]] || die "expected: $1 seen: $lines"
}

# shellcheck disable=SC2016 # the traced shell's own
expect 'SIGSTOP delivered;SIGCONT ignored;SIGTERM delivered;' -- sh -c '
    sleep 60 & kill -STOP $!; kill -CONT $!; kill -TERM $!; wait $! 2>/dev/null; true'
expect 'SIGWINCH ESRCH;' --failed -- sh -c 'kill -WINCH 2147483647 2>/dev/null; true'
echo "lesson: $lines lines, and its events are right"
