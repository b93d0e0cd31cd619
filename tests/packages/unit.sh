#!/usr/bin/env bash
# unit.sh [FOLDER]: packaging/systemd under a real systemd, with the programs of FOLDER (default:
# target/debug), in a virtual machine: first start, events, reload, restart, a kill, the watchdog, a full
# disk, a reboot. Needs root, debootstrap and what tests/vm needs.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
tools=$(realpath "${1:-target/debug}")
suite=bookworm kernel=6.1 # Debian 12, and its kernel
# shellcheck source=tests/vm/mirror.sh
. tests/vm/mirror.sh
# shellcheck source=tests/packages/clean-debian.sh
. tests/packages/clean-debian.sh

work=$(mktemp -d "$PWD/target/unit-test.XXXXXX")
root=$work/root
trap 'rm -rf "$work"' EXIT

say() { printf 'unit test: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}
in_root() { DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }

main() {
    ((EUID == 0)) || die 'needs root'
    local cache=$PWD/target/debian-$suite-systemd.tar
    if [[ ! -f $cache ]]; then
        bootstrap "$suite" "$root" "$work/log"
        reach_mirror "$root"
        in_root apt-get -qq update
        in_root apt-get -qq install -y --no-install-recommends systemd procps libelf1 zlib1g >/dev/null
        tar --create --directory "$root" --file "$cache.new" --exclude=./usr/share/locale \
            --exclude=./usr/share/man --exclude=./usr/share/doc --exclude=./var/cache \
            --exclude=./var/lib/apt .
        mv "$cache.new" "$cache"
        rm -rf "$root"
    fi
    local payload=$work/payload
    mkdir -p "$payload/files/bin"
    cp "$cache" "$payload/root.tar"
    install -s "$tools/execsnoop" "$tools/killsnoop" "$payload/files/bin/"
    # (No ELF files in the folder itself: run.sh would look for their libraries.)
    tar --create --directory "$payload/files" --file "$payload/bin.tar" bin
    rm -r "$payload/files"
    cp packaging/systemd/snoop@.service "$payload/"
    cp tests/packages/unit-guest.sh "$payload/run"
    tests/vm/run.sh --kernel "$kernel" --timeout 1200 "$payload"
    say 'passed'
}

main
