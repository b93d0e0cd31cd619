#!/usr/bin/env bash
# unit.sh [FOLDER]: packaging/systemd under a real systemd, with the programs of FOLDER (default:
# those of the tarball in target/packages), in a virtual machine: first start, events, reload, restart, a kill, the watchdog, a full
# disk, the journal, a reboot, rsyslog. Needs root, debootstrap and what tests/vm needs.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
tools=${1:+$(realpath "$1")}
suite=bookworm kernel=6.1 # Debian 12, and its kernel
# shellcheck source=tests/vm/mirror.sh
. tests/vm/mirror.sh
# shellcheck source=tests/packages/clean-debian.sh
. tests/packages/clean-debian.sh

work=$(mktemp -d "$PWD/target/unit-test.XXXXXX")
trap 'rm -rf "$work"' EXIT

say() { printf 'unit test: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}
main() {
    ((EUID == 0)) || die 'needs root'
    local cache=$PWD/target/debian-$suite-systemd-rsyslog.tar
    debian_with "$suite" "$work" "$cache" systemd procps libelf1 zlib1g rsyslog rsyslog-relp
    local payload=$work/payload
    mkdir -p "$payload/files/bin"
    if [[ ! $tools ]]; then
        tools=$work/tarball/bin
        mkdir "$work/tarball"
        tar --extract --directory "$work/tarball" --strip-components 1 \
            --file "$(echo target/packages/*-linux.tar.gz)"
    fi
    cp "$cache" "$payload/root.tar"
    install -s "$tools/execsnoop" "$tools/killsnoop" "$payload/files/bin/"
    # (No ELF files in the folder itself: run.sh would look for their libraries.)
    tar --create --directory "$payload/files" --file "$payload/bin.tar" bin
    rm -r "$payload/files"
    cp packaging/systemd/{snoop@.service,journal.conf,journald.conf,ship.conf} "$payload/"
    cp packaging/fleet/rsyslog-{client,server}.conf "$payload/"
    cp tests/packages/unit-guest.sh "$payload/run"
    tests/vm/run.sh --kernel "$kernel" --timeout 1200 "$payload"
    say 'passed'
}

main
