#!/usr/bin/env bash
# Does run.sh report rightly what happens in a guest? Payloads that end in every way there
# is, under one kernel: `selftest.sh [KERNEL]`. Takes about a minute.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kernel=${1:-6.12}
wrong=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir "$folder/payload"
# A dynamic program of the host: works in the guest only with its libraries.
cp -L "$(command -v cpio)" "$folder/payload/dynamic"
# A megabyte of every byte there is, so that nothing on the way may change, eat or add one.
for ((i = 0; i < 256; i++)); do printf '%b' "\\x$(printf %x "$i")"; done >"$folder/bytes"
for ((i = 0; i < 4096; i++)); do cat "$folder/bytes"; done >"$folder/payload/megabyte"

cat >"$folder/payload/run" <<'END'
#!/bin/sh
case $1 in
    exit) exit "$2" ;;
    crash) kill -SEGV $$ ;;
    hang) sleep 1000 ;;
    panic) echo c >/proc/sysrq-trigger ;;
    complain) echo '<4>WARNING: as asked' >/dev/kmsg ;;
    megabyte) cat /payload/megabyte ;;
    leftover) sleep 1000 & ;;
    words) shift && printf '<%s>' "$@" ;;
    who) id -un ;;
    terminal) [ ! -t 1 ] && [ ! -t 0 ] ;;
    dynamic) /payload/dynamic --version | head -n 1 ;;
    features) [ -r /sys/kernel/btf/vmlinux ] && [ -e /sys/kernel/tracing/kprobe_events ] ;;
esac
END
chmod +x "$folder/payload/run"

# expect STATUS WORDS ARG...: run.sh's exit status, and words that must be in what it says.
expect() {
    local status=0 start=$SECONDS
    "$here/run.sh" --kernel "$kernel" --timeout 20 "${options[@]}" "$folder/payload" "${@:3}" \
        >"$folder/out" 2>"$folder/said" || status=$?
    if [[ $status == "$1" ]] && grep -qF -- "$2" "$folder/said"; then
        printf 'ok    %s (%d s)\n' "${*:3}" $((SECONDS - start))
    else
        printf 'WRONG %s: status %d, wanted %d and "%s"\n' "${*:3}" "$status" "$1" "$2"
        cat "$folder/said"
        wrong=1
    fi
}

# printed TEXT: exactly that was the last payload's output.
printed() {
    [[ $(cat "$folder/out") == "$1" ]] && return
    printf 'WRONG output: "%s", wanted "%s"\n' "$(head -c 1000 "$folder/out")" "$1"
    wrong=1
}

options=()
expect 0 '1 passed, 0 failed' exit 0
expect 1 'failed: exit status 1' exit 1
expect 1 'failed: exit status 42' exit 42
expect 1 'failed: exit status 139' crash
expect 1 'failed: no end within 20 s' hang
expect 1 'failed: kernel panic' panic
expect 1 'WARNING: as asked' complain
expect 0 passed megabyte
cmp "$folder/out" "$folder/payload/megabyte" || wrong=1
expect 0 passed leftover
# shellcheck disable=SC2016,SC1003 # hard words on purpose
expect 0 passed words "two words" "it's" '$HOME "\' ''
printed "<two words><it's><\$HOME \"\\><>"
expect 0 passed who
printed root
expect 0 passed terminal
expect 0 passed dynamic
printed "$(cpio --version | head -n 1)"
expect 0 passed features
options=(--user)
expect 0 passed who
printed nobody
options=(--append 'rdinit=/nothing')
expect 1 'failed: kernel panic' exit 0

# Stopped from outside: no guest may stay behind.
export SNOOP_VM_CACHE=${SNOOP_VM_CACHE:-$here/../../target/vm}
"$here/run.sh" --kernel "$kernel" "$folder/payload" hang >"$folder/out" 2>&1 &
sleep 4
kill -TERM $!
wait $! || true
sleep 1
if compgen -G "$SNOOP_VM_CACHE/run.*" || pgrep -f "initrd $(cd "$SNOOP_VM_CACHE" && pwd)/run"; then
    printf 'WRONG: something is left after SIGTERM\n'
    wrong=1
else
    printf 'ok    stopped by SIGTERM\n'
fi

exit "$wrong"
