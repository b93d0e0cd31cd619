#!/usr/bin/env bash
# container.sh [FOLDER]: packaging/container with Debian's podman in a virtual machine: the image is
# built from the tarball of FOLDER (default: target/packages) without a network, and run as the comment
# of the Containerfile and the page of the lessons have it. Needs root, debootstrap and what
# tests/vm needs.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
packages=$(realpath "${1:-target/packages}")
suite=trixie kernel=6.12 # Debian 13, and its kernel: the seccomp profile of Debian 12 refuses CAP_BPF
# shellcheck source=tests/vm/mirror.sh
. tests/vm/mirror.sh
# shellcheck source=tests/packages/clean-debian.sh
. tests/packages/clean-debian.sh

work=$(mktemp -d "$PWD/target/container-test.XXXXXX")
trap 'rm -rf "$work"' EXIT

say() { printf 'container test: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# said FILE COMMAND: the arguments of a command, as FILE has it, on one line.
said() {
    local line
    line=$(sed -e ':a' -e '/\\$/N; s/ *\\\n *\(# *\)\{0,1\}/ /; ta' "$1" | sed -n "s/^[# ]*$2 //p")
    [[ $line && $line != *$'\n'* ]] || die "$1 has no '$2', or several"
    printf '%s\n' "$line"
}

main() {
    ((EUID == 0)) || die 'needs root'
    local cache=$PWD/target/debian-$suite-podman.tar payload=$work/payload
    debian_with "$suite" "$work" "$cache" podman crun
    mkdir -p "$payload"
    cp "$cache" "$payload/root.tar"
    cp "$packages"/*-linux.tar.gz "$payload/"
    # libbpf's headers, as the programs' build has unpacked them.
    local include=(target/*/dist/build/snoop-tools-*/out/include)
    [[ -d ${include[0]} ]] || include=(target/debug/build/snoop-tools-*/out/include)
    examples/build.sh "$work/target/examples" "${include[0]}"
    # (No ELF files in the folder itself: run.sh would look for their libraries.)
    tar --create --directory "$work" --file "$payload/lessons.tar" target
    {
        echo "build=$(printf %q "$(said packaging/container/Containerfile 'podman build')")"
        echo "run=$(printf %q "$(said packaging/container/Containerfile 'podman run')")"
        echo "run_lesson=$(printf %q "$(said examples/README.md 'sudo podman run')")"
    } >"$payload/said"
    cp tests/packages/container-guest.sh "$payload/run"
    # The page says that 08-lsm needs `bpf` in this list.
    tests/vm/run.sh --kernel "$kernel" --timeout 900 \
        --append lsm=landlock,lockdown,yama,integrity,bpf "$payload"
    say 'passed'
}

main
