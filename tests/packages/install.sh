#!/usr/bin/env bash
# install.sh [FOLDER]: installs the .deb of FOLDER (default: target/packages) on a clean Debian,
# runs each tool from there in a virtual machine, as root and with two capabilities only, and
# removes the package again. The tarball's programs run in the same machine from an empty root.
# Needs root, debootstrap and what tests/vm needs.

set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
packages=$(realpath "${1:-target/packages}")
suite=bookworm kernel=6.1 # Debian 12, and its kernel
# shellcheck source=tests/vm/mirror.sh
. tests/vm/mirror.sh
# shellcheck source=tests/packages/clean-debian.sh
. tests/packages/clean-debian.sh

work=$(mktemp -d "$PWD/target/install-test.XXXXXX")
root=$work/root
trap 'rm -rf "$work"' EXIT
deb=$(echo "$packages"/*.deb)
tarball=$(echo "$packages"/*-linux.tar.gz)

say() { printf 'install test: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

main() {
    ((EUID == 0)) || die 'needs root'
    clean_debian
    cp "$deb" "$root/tmp/"

    say 'installing it, with what it depends on'
    in_root apt-get -qq update
    in_root apt-get -qq install -y --no-install-recommends "/tmp/${deb##*/}" >/dev/null
    in_root dpkg --list snoop-tools | tail -n 1
    guest

    say 'beside libbpf-tools, and removing it again'
    in_root apt-get -qq install -y --no-install-recommends libbpf-tools >/dev/null
    local program
    for program in execsnoop tcpconnect; do
        [[ $(in_root dpkg -S "/usr/sbin/$program") == libbpf-tools:* ]] || die "no other $program"
        [[ $(in_root dpkg -S "/usr/bin/$program") == snoop-tools:* ]] || die "no $program of ours"
    done
    leaves_nothing
    say 'passed'
}

in_root() { DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }

# A minimal Debian; kept, packed, for the next time.
clean_debian() {
    local cache=$PWD/target/debian-$suite.tar
    if [[ ! -f $cache ]]; then
        bootstrap "$suite" "$work/new" "$work/log"
        tar --create --directory "$work/new" --file "$cache.new" .
        mv "$cache.new" "$cache"
        rm -rf "$work/new"
    fi
    mkdir "$root"
    tar --extract --directory "$root" --file "$cache"
    reach_mirror "$root"
}

# All files but those that dpkg and apt keep for themselves.
files() {
    (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp \
        -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \) \
        -prune -o -printf '%p %y %m %u %g %l\n' | sort)
}

# Removing and installing again change exactly the package's own files.
leaves_nothing() {
    files >"$work/installed"
    in_root dpkg --purge snoop-tools >/dev/null
    files >"$work/removed"
    in_root dpkg --install "/tmp/${deb##*/}" >/dev/null
    diff "$work/installed" <(files) || die 'installed again it differs'
    in_root dpkg -L snoop-tools | sort >"$work/owned"
    comm -23 "$work/installed" "$work/removed" | sed 's/^\.//; s/ .*//' | sort >"$work/gone"
    [[ -s $work/gone ]] || die 'nothing was removed'
    comm -13 "$work/owned" "$work/gone" | grep . && die 'removed, but not of the package'
    in_root dpkg --purge snoop-tools >/dev/null
    diff "$work/removed" <(files) || die 'removed again it leaves something'
    # What is left of its list are folders that others have too.
    local path
    while read -r path; do
        [[ ! -e $root$path || -n $(in_root dpkg -S "$path" 2>/dev/null) ]] || die "left behind: $path"
    done <"$work/owned"
    ! grep -i 'snoop-tools\|procsnoop\|mmapsnoop' "$work/removed" || die 'traces of it'
}

# The virtual machine, with what is installed now, and the static programs.
guest() {
    local payload=$work/payload
    mkdir -p "$payload/static"
    # (No ELF files in the folder itself: run.sh would look for their libraries.)
    tar --create --directory "$root" --file "$payload/root.tar" --exclude=./usr/share/locale \
        --exclude=./usr/share/man --exclude=./var/cache --exclude=./var/lib/apt .
    cp "$tarball" "$payload/static.tar.gz"
    cp "$here/guest.sh" "$payload/run"
    cp "$here/each-tool.sh" "$payload/"
    # libbpf's headers, as the programs' build has unpacked them.
    local include=(target/*/dist/build/snoop-tools-*/out/include)
    examples/build.sh "$payload/lesson" "${include[0]}" "$PWD/examples/07-ring-buffer.bpf.c"
    tests/vm/run.sh --kernel "$kernel" --timeout 1200 "$payload"
}

main
