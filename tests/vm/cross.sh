#!/usr/bin/env bash
# cross.sh ARCH COMMAND...: runs COMMAND with what compiles programs for another architecture, as
# Debian calls it. Nothing is installed: Debian's packages are unpacked in target/cross.
#
# There are then: CC, a compiler and linker for static programs; CC_DYNAMIC, the same for others, with
# the folder of their libraries, LIBRARIES_DYNAMIC; CC32, for static 32-bit programs without a C
# library, if the architecture runs such; CROSS_RUN, what runs programs here (qemu's for users, which
# is not unpacked); CROSS_TARGET, Rust's name of the
# architecture; CROSS_ROOT, the folder with what belongs to it, busybox too; CARGO and RUSTC, and the
# variables by which they compile static programs for CROSS_TARGET.
#
# rustc is Debian 12's, or Debian 13's for riscv64, which Debian 12 does not have: distributions have the
# standard library for each of their architectures, and only that of their own rustc fits.

set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/vm/mirror.sh
. "$here/mirror.sh"

suite=bookworm
packages_here=(rustc-web libstd-rust-web-dev libstd-rust-web-1.85 libllvm19 libz3-4 libedit2 libbsd0
    libmd0)
packages_there=(libstd-rust-web-dev libc6-dev linux-libc-dev libgcc-12-dev libelf-dev zlib1g-dev
    libc6 libgcc-s1 libelf1 zlib1g busybox-static)
packages_besides=()

say() { printf 'cross.sh: %s\n' "$*" >&2; }

main() {
    (($# >= 2)) || { say 'usage: cross.sh ARCH COMMAND...' && exit 2; }
    arch=$1 c32='' newer=''
    case $arch in
        arm64) rust=aarch64 qemu=aarch64 c32=arm-linux-gnueabihf ;;
        s390x) rust=s390x qemu=s390x ;;
        ppc64el) rust=powerpc64le qemu=ppc64le ;;
        riscv64) rust=riscv64 qemu=riscv64 ;;
        *) say "no way to compile for $arch" && exit 2 ;;
    esac
    c=$rust-linux-gnu rust=$rust-unknown-linux-gnu
    cross=${SNOOP_CROSS:-$(realpath -m "$here/../../target/cross")}
    tools=$cross/here rustc=$cross/here/usr/bin/rustc
    linker=lld-14 ld=$tools/usr/bin/ld.lld-14
    case $arch in
        # lld 14 does not know s390x,
        s390x) linker=binutils-$c ld=$tools/usr/bin/$c-ld ;;
        # and not all that Debian 13's objects for riscv64 ask of a linker.
        riscv64) newer_debian ;;
    esac
    mkdir -p "$cross"
    (
        flock 9
        [[ -e $cross/$arch/ready && -e $cross/$arch/cc-dynamic ]] || unpack
    ) 9>"$cross/lock"
    export_all
    exec "${@:2}"
}

# Debian 13, whose programs need libraries that are newer than those of this system may be.
newer_debian() {
    suite=trixie newer=1 rust=riscv64gc-unknown-linux-gnu
    tools=$cross/here-$suite rustc=$tools/rustc
    linker=binutils-$c ld=$tools/ld
    packages_here=(rustc libstd-rust-dev libstd-rust-1.85 libllvm19 libz3-4 libedit2 libbsd0 libmd0
        libc6 libgcc-s1 libstdc++6 zlib1g libzstd1 libxml2 libffi8 libtinfo6 liblzma5 libicu76
        libjansson4 libsframe1 libctf-nobfd0 libbinutils)
    packages_there=(libstd-rust-dev libc6-dev libgcc-14-dev zlib1g-dev libzstd-dev
        libc6 libgcc-s1 libelf1t64 zlib1g libzstd1 busybox-static)
    # All architectures have the same headers. The static libelf of Debian 13 lacks two functions.
    packages_besides=(linux-libc-dev:all "libelf-dev:$arch/sid")
}

# --- packages -------------------------------------------------------------------------------

unpack() {
    local work=$cross/apt there deb
    say "unpacking Debian's packages for $arch in $cross"
    prepare_apt "$work"
    there=("${packages_there[@]/%/:$arch}")
    there+=("${packages_besides[@]}")
    mkdir -p "$work/here" "$work/there"
    download "$work/here" "${packages_here[@]/%/:amd64}" "$linker:amd64"
    download "$work/there" "${there[@]}"
    rm -rf "${cross:?}/$arch"
    mkdir -p "$tools" "$cross/$arch/libraries"
    for deb in "$work"/here/*.deb; do dpkg-deb --extract "$deb" "$tools"; done
    for deb in "$work"/there/*.deb; do dpkg-deb --extract "$deb" "$cross/$arch"; done
    rm -rf "$work" "${tools:?}/usr/share" "${cross:?}/$arch/usr/share"
    if [[ $newer ]]; then
        # Its packages have all files below /usr.
        ln -sfn usr/lib "$cross/$arch/lib"
        ln -sfn usr/bin "$cross/$arch/bin"
        write_runner "$rustc" "$tools/usr/bin/rustc" --sysroot "$tools/usr"
        write_runner "$ld" "$tools/usr/bin/$c-ld"
    fi
    # rustc looks for all standard libraries in one place.
    rm -rf "$tools/usr/lib/rustlib/$rust"
    mv "$cross/$arch/usr/lib/rustlib/$rust" "$tools/usr/lib/rustlib/$rust"
    # Only static ones, so that the linker takes these.
    cp "$cross/$arch/usr/lib/$c"/lib{elf,z}*.a "$cross/$arch/libraries"
    write_compiler "$cross/$arch/cc" "$c" -static --sysroot="$cross/$arch"
    write_compiler "$cross/$arch/cc-dynamic" "$c" --sysroot="$cross/$arch"
    inside "$cross/$arch"
    [[ ! $c32 ]] || write_compiler "$cross/$arch/cc32" "$c32" -static -nostdlib
    touch "$cross/$arch/ready"
}

# inside ROOT: its libraries' absolute links lead to files of this machine, and not of ROOT.
inside() {
    local link target
    find "$1" -type l -name '*.so' -lname '/*' | while read -r link; do
        target=$1$(readlink "$link")
        ln --symbolic --force --relative "$target" "$link"
    done
}

# write_runner FILE PROGRAM FLAG...: a program of a newer Debian, with the C library and all else of that.
write_runner() {
    local libraries=$tools/usr/lib/x86_64-linux-gnu
    cat >"$1" <<END
#!/bin/sh
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries ${*:2} "\$@"
END
    chmod +x "$1"
}

# write_compiler FILE TARGET FLAG...
write_compiler() {
    cat >"$1" <<END
#!/bin/sh
exec "\${CLANG:-clang}" --target=$2 --ld-path=$ld ${*:3} \\
    -Wno-unused-command-line-argument "\$@"
END
    chmod +x "$1"
}

# A configuration that lies over the machine's own: see index_by_apt in run.sh.
prepare_apt() {
    local mirror keyring name signed=
    read -r mirror keyring <<<"$(debian_mirror)"
    [[ $keyring == - ]] || signed="signed-by=$keyring"
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    : >"$1/status"
    for name in "$suite" ${newer:+sid}; do # sid: see newer_debian
        printf 'deb [arch=amd64,%s %s] %s %s main\n' "$arch" "$signed" "$mirror" "$name"
    done >"$1/sources.list"
    cat >"$1/apt.conf" <<END
Dir::State "$1";
Dir::State::lists "$1/lists";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Default-Release "$suite";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "$arch"; };
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
    apt-get -c "$1/apt.conf" -qq update >&2
}

# download FOLDER PACKAGE:ARCH...
download() {
    (cd "$1" && apt-get -c "$cross/apt/apt.conf" -qq download "${@:2}")
}

# --- variables ------------------------------------------------------------------------------

export_all() {
    local name=${rust//-/_} libraries=$tools/usr/lib
    export CROSS_TARGET=$rust CROSS_ROOT=$cross/$arch CC=$cross/$arch/cc CC32=
    export CROSS_RUN="qemu-$qemu -L $cross/$arch"
    export CC_DYNAMIC=$cross/$arch/cc-dynamic LIBRARIES_DYNAMIC=$cross/$arch/usr/lib/$c
    [[ ! $c32 ]] || CC32=$cross/$arch/cc32
    export "CARGO_TARGET_${name^^}_LINKER=$CC"
    # Debian 13's libelf needs libzstd.
    export "CARGO_TARGET_${name^^}_RUSTFLAGS=-C target-feature=+crt-static${newer:+ -C link-arg=-lzstd}"
    export "CC_$name=$CC" "LIBBPF_SYS_LIBRARY_PATH_$name=$cross/$arch/libraries"
    # What is compiled for this machine, such as build.rs, has this machine's compiler.
    export HOST_CC=cc
    # rustup's cargo would take rustup's rustc.
    CARGO=$(rustup which cargo 2>/dev/null || command -v cargo)
    export CARGO RUSTC=$rustc CARGO_TARGET_DIR=$cross/build
    [[ $newer ]] || export LD_LIBRARY_PATH=$libraries/x86_64-linux-gnu:$libraries/llvm-19/lib
    # The programs go into guests: without debugging information.
    export CARGO_PROFILE_DEV_DEBUG=0
}

main "$@"
