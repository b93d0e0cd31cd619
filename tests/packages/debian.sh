#!/usr/bin/env bash
# debian.sh [SOURCES]: builds Debian's source package of SOURCES (default: target/sources, made by
# packaging/source.sh if it is not there) in a clean Debian, without a network once that has what
# the build depends on, and checks what comes out. ARCH=arm64: for that architecture. TWICE=1: builds it
# again, elsewhere, and compares the bytes. NOCHECK=1: without the package's own tests. The packages are left
# in target/debian-ARCH. Needs root and debootstrap.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
arch=${ARCH:-$(dpkg --print-architecture)}
# The first Debian with a Rust that is new enough.
suite=trixie
# shellcheck source=tests/vm/mirror.sh
. tests/vm/mirror.sh
# shellcheck source=tests/packages/clean-debian.sh
. tests/packages/clean-debian.sh

# The names by which dpkg leaves out, and asks for, what a cross build does.
profiles=
[[ $arch == $(dpkg --print-architecture) ]] || profiles=--build-profiles=cross,nocheck

sources=$(realpath -m "${1:-target/sources}")
out=$PWD/target/debian-$arch
mkdir -p target
work=$(mktemp -d "$PWD/target/debian-build.XXXXXX")
root=$work/root
trap 'rm -rf "$work"' EXIT

say() { printf 'debian: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

main() {
    ((EUID == 0)) || die 'needs root'
    [[ -e $(echo "$sources"/*.dsc) ]] || packaging/source.sh "$sources"
    clean_debian
    mkdir "$root/build"
    cp "$sources"/*.dsc "$sources"/*.tar.* "$root/build/"
    say "installs what the build for $arch needs"
    dependencies
    rm -rf "$out"
    mkdir -p "$out"
    build first "$out"
    if [[ ${TWICE:-} ]]; then
        mkdir "$work/again"
        NOCHECK=1 build another-place "$work/again"
        local file
        for file in "$out"/*.deb; do
            cmp "$file" "$work/again/${file##*/}" || die "${file##*/} is not the same"
        done
        say 'built again it is the same'
    fi
    lint
    ls -l "$out" >&2
}

in_root() { DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }

clean_debian() {
    bootstrap "$suite" "$root" "$work/log"
    reach_mirror "$root"
    mount --bind /proc "$root/proc"
    trap 'umount -l "$root/proc" "$root/dev/pts"; rm -rf "$work"' EXIT
    # Tests open terminals.
    mkdir -p "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -sf pts/ptmx "$root/dev/ptmx"
}

dependencies() {
    local cross=()
    if [[ $profiles ]]; then
        in_root dpkg --add-architecture "$arch"
        cross=(--host-architecture "$arch" "$profiles")
    fi
    in_root apt-get -qq update
    # Debian 13 has a newer Rust, too, for browsers. build-dep would take that, with the other one's
    # libraries for another architecture.
    in_root apt-get -qq install -y --no-install-recommends build-essential cargo lintian \
        ${cross[@]+"crossbuild-essential-$arch"} >/dev/null
    in_root sh -c "cd /build && apt-get -qq build-dep -y --no-install-recommends ${cross[*]} ./*.dsc" >/dev/null
    in_root useradd --create-home builder
    in_root chown builder /build
}

# build NAME OUT: unpacks and builds it in a folder of that name, as a user, without a network.
build() {
    say "builds for $arch, without a network"
    local began=$SECONDS
    unshare --net env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" su builder -c "
        cd /build && mkdir $1 && cd $1 && dpkg-source --no-check -x ../*.dsc snoop-tools >/dev/null &&
        cd snoop-tools && DEB_BUILD_OPTIONS=${NOCHECK:+nocheck} dpkg-buildpackage --build=binary \
            --host-arch=$arch $profiles --unsigned-changes --no-pre-clean" >"$work/build-log" 2>&1 ||
        { tail -n 40 "$work/build-log" >&2 && die 'the build failed'; }
    cp "$root/build/$1"/*.deb "$root/build/$1"/*.changes "$root/build/$1"/*.buildinfo "$2/"
    say "built in $((SECONDS - began)) s"
}

# Nothing that Debian's policy calls an error or warns of, but that no bug report asks for the package:
# it is not uploaded.
lint() {
    local lintian='lintian --fail-on error,warning --display-info --suppress-tags initial-upload-closes-no-bugs'
    in_root su builder -c "$lintian /build/first/*.changes" >&2 || die 'lintian complains'
    in_root su builder -c "$lintian /build/*.dsc" >&2 || die 'lintian complains of the sources'
}

main
exit
