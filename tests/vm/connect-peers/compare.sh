#!/usr/bin/env bash
# Rows and outcomes of tcpconnect beside those of libbpf-tools' tcpconnect and tcpconnlat, in
# virtual machines, whose kernels have the kprobes that those need: compare.sh [KERNEL]...
# Kernels: those of ../kernels; default: 6.1 and 6.12. Builds nothing but its workload.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$here/../../..
count=200
few=5 # each takes seconds
kernels=("$@")
((${#kernels[@]})) || kernels=(6.1 6.12)

say() { printf '%s\n' "connect-peers: $*" >&2; }

tool=${CARGO_TARGET_DIR:-$repo/target}/release/tcpconnect
if ! [[ -x $tool ]]; then
    say "no $tool: cargo build --release"
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
payload=$work/payload
mkdir "$payload"

# The installed programs, or those of the package, which is not installed for that.
get_peers() {
    local file folder
    mkdir "$payload/peers"
    for file in tcpconnect tcpconnlat; do
        file=$(dpkg -L libbpf-tools 2>/dev/null | grep "bin/$file\$") || break
        cp -L "$file" "$payload/peers/"
    done
    [[ ! -x $payload/peers/tcpconnlat ]] || return 0
    folder=$work/package
    mkdir "$folder"
    # APT reads the package as a user of its own.
    chmod 755 "$work"
    chmod 777 "$folder"
    if ! (cd "$folder" && apt-get -q download libbpf-tools && dpkg-deb -x ./*.deb .) >&2; then
        say 'no libbpf-tools: only ours is looked at'
    fi
    for file in tcpconnect tcpconnlat; do
        file=$(find "$folder" -path "*bin/$file" -print -quit)
        [[ ! $file ]] || cp -L "$file" "$payload/peers/"
    done
}

get_peers
cc -O2 -static -Wall -Wextra -Werror -o "$payload/attempts" "$here/attempts.c"
strip --strip-debug -o "$payload/tcpconnect" "$tool"
cp "$here/run" "$payload/run"

status=0
for kernel in "${kernels[@]}"; do
    if "$here/../run.sh" --kernel "$kernel" "$payload" "$count" "$few" >"$work/rows"; then
        python3 -B "$here/rows.py" "$kernel" "$count" "$few" <"$work/rows" || status=1
    else
        tail -n 20 "$work/rows" >&2
        status=1
    fi
done
exit "$status"
