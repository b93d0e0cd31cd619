#!/usr/bin/env bash
# recipes.sh [SOURCES]: the recipes of other distributions in SOURCES (default: target/sources, made by
# packaging/source.sh if it is not there), in a Debian 13 without a network: rpmlint and rpmbuild for the
# spec, shellcheck and makepkg for PKGBUILD, shellcheck for APKBUILD, nix-instantiate for default.nix. What
# is built links Debian's libraries, under the names that both have. LINT=1: nothing is built. The packages
# are left in target/recipes. Needs root and debootstrap.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
suite=trixie
# shellcheck source=tests/vm/mirror.sh
. tests/vm/mirror.sh
# shellcheck source=tests/packages/clean-debian.sh
. tests/packages/clean-debian.sh

sources=$(realpath -m "${1:-target/sources}")
out=$PWD/target/recipes
mkdir -p target
work=$(mktemp -d "$PWD/target/recipes-test.XXXXXX")
root=$work/root
# Tests ran when Debian's package was built; CHECK=1: here too.
check=--nocheck
[[ ! ${CHECK:-} ]] || check=
trap 'rm -rf "$work"' EXIT

say() { printf 'recipes: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

main() {
    ((EUID == 0)) || die 'needs root'
    [[ -e $sources/PKGBUILD ]] || packaging/source.sh "$sources"
    debian_with "$suite" "$work" "$PWD/target/debian-$suite-recipes.tar" build-essential cargo clang elfutils file \
        jq libarchive-tools libbpf-dev libelf-dev libzstd-dev makepkg nix-bin \
        pacman-package-manager pkgconf rpm rpmlint rustc shellcheck \
        zlib1g-dev
    mkdir "$root"
    tar --extract --directory "$root" --file "$PWD/target/debian-$suite-recipes.tar"
    mount --bind /proc "$root/proc"
    trap 'umount -l "$root/proc"; rm -rf "$work"' EXIT
    chroot "$root" useradd --create-home builder
    mkdir "$root/build"
    cp "$sources"/* packaging/rpmlint.toml "$root/build/"
    chroot "$root" chown -R builder /build

    lint
    [[ ! ${LINT:-} ]] || return 0
    rm -rf "$out"
    mkdir -p "$out"
    build_rpm
    build_arch
    ls -l "$out" >&2
}

# here COMMAND: as a user of the other system, in the folder with the sources, without a network.
here() {
    unshare --net env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$root" su builder -c "cd /build && $1"
}

lint() {
    say 'spec: rpmlint'
    here 'rpmlint --config rpmlint.toml snoop-tools.spec' >"$work/log" 2>&1 || true
    grep -q ' 0 errors, 0 warnings' "$work/log" || { cat "$work/log" && die 'rpmlint complains'; }
    say 'PKGBUILD: shellcheck, makepkg'
    # (makepkg sets and reads these, and ends where a command fails.)
    here 'shellcheck --shell=bash --exclude=SC2034,SC2154,SC2164 PKGBUILD && makepkg --printsrcinfo' \
        >"$work/log" || { cat "$work/log" && die 'PKGBUILD is wrong'; }
    say 'APKBUILD: shellcheck'
    here 'shellcheck --shell=dash --exclude=SC2034,SC2154,SC3043 APKBUILD' || die 'APKBUILD is wrong'
    here 'grep -E "^[0-9a-f]{128}  " APKBUILD | sha512sum --quiet --check' || die 'APKBUILD has wrong sums'
    say 'default.nix: nix-instantiate'
    # Names of nixpkgs that the expression asks for; their values do not matter.
    local name='(import ./default.nix { pkgs = {
        stdenv.mkDerivation = all: all; lib.licenses = { gpl2Only = 1; bsd2 = 2; }; lib.platforms.linux = 3;
        llvmPackages.clang-unwrapped = "/clang"; cargo = 4; rustc = 5; pkg-config = 6; libbpf = 7; elfutils = 8;
        zlib = 9; zstd = 10; }; })'
    here "nix-instantiate --readonly-mode --store dummy:// --eval --strict --expr '$name'" >"$work/log" ||
        die 'default.nix is wrong'
}

# build NAME COMMAND
build() {
    local began=$SECONDS
    say "$1: builds"
    here "$2" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2 && die "$1: the build failed"; }
    say "$1: built in $((SECONDS - began)) s"
}

build_rpm() {
    # (The package's requirements are named as on Debian, which knows no others.)
    build spec "rpmbuild -ba --nodeps $check --define '_topdir /build/rpm' \
        --define '_sourcedir /build' snoop-tools.spec"
    cp "$root"/build/rpm/RPMS/*/*.rpm "$root"/build/rpm/SRPMS/*.rpm "$out/"
    here 'rpmlint --config rpmlint.toml rpm/RPMS/*/snoop-tools-[0-9]*.rpm' >&2 || true
    [[ $(rpm -qpl "$out"/snoop-tools-[0-9]*.*.rpm | grep -c '^/usr/bin/') -ge 6 ]] || die 'programs are missing'
}

build_arch() {
    build PKGBUILD "makepkg --nodeps $check"
    ! grep -a 'WARNING' "$work/log" | grep -v 'Skipping dependency checks' >&2 || die 'makepkg warns'
    cp "$root"/build/*.pkg.tar* "$out/"
    [[ $(tar -tf "$out"/*.pkg.tar* | grep -c '^usr/bin/.') -ge 6 ]] || die 'programs are missing'
}

main
exit
