#!/usr/bin/env bash
# dist.sh [--dynamic] [--only PROGRAM STAGE] [OUT]: builds the release, into OUT (default:
# target/packages): a .deb, an .rpm, a tarball with static programs, an SBOM, and a .sha256 for each
# of them. README.md beside this file lists their contents. With --dynamic no static programs are
# compiled. With --only the other programs come from STAGE, the stage of another run. With SNOOP_QUICK=1
# the programs are not optimised, and packed less tightly: that takes a fraction of the time. With
# ARCH=arm64, for that architecture, by the compilers of tests/vm/cross.sh.
#
# Same sources, same bytes: no path, name or time of this machine gets in. The time
# is that of the last commit, or SOURCE_DATE_EPOCH.

set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH:${HOME-}/.cargo/bin"
export LC_ALL=C TZ=UTC
umask 022

if [[ ${ARCH:-} && ${ARCH} != "$(dpkg --print-architecture)" && ! ${CROSS_TARGET:-} ]]; then
    exec tests/vm/cross.sh "$ARCH" "$0" "$@"
fi
static=1 only='' rest=''
while [[ ${1:-} == --* ]]; do
    case $1 in
        --dynamic) static='' ;;
        --only)
            only=$2 rest=$(realpath "$3")
            shift 2
            ;;
        *) exit 2 ;;
    esac
    shift
done
cargo=${CARGO:-cargo}
out=$(realpath -m "${1:-target/packages${CROSS_TARGET:+-$ARCH}}")
stage=$PWD/target/stage # the same as in Cargo.toml
version=$("$cargo" metadata --locked --no-deps --format-version 1 |
    jq -r '.packages[] | select(.name == "snoop-tools").version')
platform=${CROSS_TARGET:-$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')}
arch=${platform%%-*}

say() { printf 'dist: %s\n' "$*" >&2; }

main() {
    # Flags of C compilers are split at blanks.
    [[ $PWD != *[[:space:]]* ]] || { say "the folder's name has a blank: $PWD" && exit 1; }
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(source_date)}
    export SOURCE_DATE_EPOCH
    rm -rf "$stage" "$out"
    mkdir -p "$stage" "$out"
    echo "$SOURCE_DATE_EPOCH" >"$stage/source-date"

    [[ ! ${SNOOP_QUICK:-} ]] || export CARGO_PROFILE_DIST_LTO=off CARGO_PROFILE_DIST_OPT_LEVEL=0
    say "compiling the programs for $platform"
    if [[ ${CROSS_TARGET:-} ]]; then
        link_by "$CC_DYNAMIC"
    fi
    if [[ $only ]]; then
        build build --workspace --bin "$only" --bin xtask
    else
        build build --workspace --bins
    fi
    programs=$(for source in src/bin/*.rs; do basename "$source" .rs; done)
    stage_files
    say 'packing .deb and .rpm'
    # Both take the programs from the stage.
    cargo-deb --no-build --no-strip --no-dbgsym --quiet --target "$platform" --profile dist \
        ${CROSS_TARGET:+--variant cross} ${SNOOP_QUICK:+--fast} --output "$out/"
    [[ ! ${CROSS_TARGET:-} ]] || check_depends
    cargo-generate-rpm --target "$platform" --profile dist --auto-req find-requires \
        ${SNOOP_QUICK:+--payload-compress gzip} --output "$out/"

    if [[ $static ]]; then
        say 'compiling static programs'
        [[ ! ${CROSS_TARGET:-} ]] || link_by "$CC"
        # With flags for what links only: so most crates are those that were compiled above.
        local program
        for program in $programs; do
            build rustc --bin "$program" --features static -- -C target-feature=+crt-static
        done
        tarball
    fi
    sbom
    checksums
    say "made in $out:"
    ls "$out" >&2
}

# The time of the last change to the sources.
source_date() {
    git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md
}

# build SUBCOMMAND FLAG...: cargo's, optimised, and without paths of this machine.
build() {
    local command=$1 home=${CARGO_HOME:-$HOME/.cargo} from to rust=()
    local c='-O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong' # as Debian hardens its own
    shift
    # Of several matches rustc takes the last one. Crates come from a registry, or from vendor/.
    while read -r from to; do
        rust+=("--remap-path-prefix=$from=$to")
        c+=" -ffile-prefix-map=$from=$to"
    done <<END
$home /cargo
$(printf '%s /crates\n' "$home"/registry/src/*)
$PWD /snoop-tools
$PWD/vendor /crates
$(realpath -m "${CARGO_TARGET_DIR:-target}") /snoop-tools/target
END
    local IFS=$'\x1f'
    # With --target, build scripts and macros are compiled once, without these flags.
    CARGO_ENCODED_RUSTFLAGS="${rust[*]}" CFLAGS="$c" \
        "$cargo" "$command" --locked --profile dist --target "$platform" "$@"
}

# link_by LINKER: for another architecture. Libraries in C are built as on this one: their `configure`
# wants a compiler that links dynamically.
link_by() {
    local name=${platform//-/_}
    export "CARGO_TARGET_${name^^}_LINKER=$1" "CC_$name=$CC_DYNAMIC"
    export "LIBBPF_SYS_LIBRARY_PATH_$name=$LIBRARIES_DYNAMIC"
}

# install_program NAME FOLDER: without the compilers' names, which are useless there.
install_program() {
    install -m 755 "$(built "$1")" "$2/"
    "${CROSS_TARGET:+llvm-}strip" --strip-all --remove-section=.comment "$2/$1"
}

built() { printf '%s/%s/dist/%s' "${CARGO_TARGET_DIR:-target}" "$platform" "$1"; }

# (What runs programs of another architecture may be several words.)
# shellcheck disable=SC2086
xtask() { CARGO="$cargo" ${CROSS_RUN:-} "$(built xtask)" "$@"; }

# dpkg-shlibdeps knows only libraries that are installed. So the variant `cross` of Cargo.toml says which
# ones the programs need, and this whether that is so.
check_depends() {
    local needed versions
    needed=$(llvm-readelf --needed-libs "$stage"/bin/* | sed -n 's/^ *\(.*\.so[^ ]*\)$/\1/p' | sort -u | xargs)
    versions=$(llvm-readelf --version-info "$stage"/bin/* | grep -o 'Name: GLIBC_[0-9.]*' | cut -d _ -f 2 |
        sort -uV | tail -n 1)
    say "the programs need $needed, and glibc $versions"
    [[ $needed == 'ld-linux-aarch64.so.1 libc.so.6 libelf.so.1 libgcc_s.so.1 libm.so.6 libz.so.1' ]]
    [[ $(printf '%s\n' "$versions" 2.36 | sort -V | tail -n 1) == 2.36 ]]
}

# Everything that a package installs, in target/stage.
stage_files() {
    local program
    mkdir -p "$stage"/{bin,doc/docs,deb,licences}
    for program in $programs; do
        if [[ $only && $only != "$program" ]]; then
            install -m 755 "$rest/bin/$program" "$stage/bin/"
        else
            install_program "$program" "$stage/bin"
        fi
    done
    RUN=${CROSS_RUN:-} packaging/share.sh "$stage/bin" "$stage/share"
    find "$stage/share/man" -name '*.8' -exec gzip -9n {} +

    cp README.md "$stage/doc/"
    cp -R docs/*.md docs/pictures "$stage/doc/docs/"
    cp -R packaging/systemd packaging/container packaging/fleet "$stage/doc/"
    xtask licences --target "$platform" >"$stage/doc/THIRD-PARTY"

    gzip -9n <CHANGELOG.md >"$stage/deb/changelog.gz"
    debian_changelog >"$stage/deb/changelog.Debian"
    cp LICENSE* "$stage/licences/"
    touch_all "$stage"
}

debian_changelog() {
    cat <<END
snoop-tools ($version-1) unstable; urgency=medium

  * Package of version $version; changelog.gz says what is new.

 -- $(sed -n 's/^Maintainer: //p' packaging/debian/control)  $(date -R -d "@$SOURCE_DATE_EPOCH")
END
}

touch_all() { find "$1" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +; }

# The same files with static programs, in one folder.
tarball() {
    local name=snoop-tools-$version-$arch-linux root=$stage/tarball program
    mkdir -p "$root/$name/bin"
    for program in $programs; do
        install_program "$program" "$root/$name/bin"
    done
    cp -R "$stage/share" "$stage"/doc/* LICENSE* CHANGELOG.md "$root/$name/"
    xtask licences --target "$platform" --features static >"$root/$name/THIRD-PARTY"
    chmod -R u=rwX,go=rX "$root"
    touch_all "$root"
    tar --create --directory "$root" --format=gnu --sort=name --owner=0 --group=0 \
        --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" "$name" | gzip -9n >"$out/$name.tar.gz"
}

# The components of the programs: crates and C libraries.
sbom() {
    local file=snoop-tools-$version.cdx.json
    # It writes one SBOM for each member of the workspace, beside its Cargo.toml.
    trap 'rm -f sbom.json xtask/sbom.json' RETURN
    cargo-cyclonedx cyclonedx --quiet --format json --spec-version 1.5 --features static \
        --target "$platform" --no-build-deps --override-filename sbom
    c_libraries >"$stage/libraries.json"
    # (Members of the workspace are named by their paths.)
    jq --arg root "$PWD" --slurpfile libraries "$stage/libraries.json" '
        del(.serialNumber)
        | .components += $libraries
        | walk(if type == "string" then split("file://" + $root) | join("file:///snoop-tools") else . end)
    ' sbom.json >"$out/$file"
}

# The C libraries that come with a crate, as components of an SBOM.
c_libraries() {
    local folder
    folder=$("$cargo" metadata --locked --format-version 1 | jq -r '
        .packages[] | select(.name == "libbpf-sys").manifest_path | rtrimstr("/Cargo.toml")')
    library() { # NAME LICENCE VERSION
        [[ $3 ]] || { say "no version of $1 found in $folder" && return 1; }
        jq -n --arg name "$1" --arg licence "$2" --arg version "$3" '{type: "library",
            "bom-ref": "c:\($name)", $name, $version, licenses: [{expression: $licence}]}'
    }
    library libbpf 'LGPL-2.1-only OR BSD-2-Clause' \
        "$(sed -n 's/.*+v\([0-9.]*\)$/\1/p' <<<"$folder")"
    library elfutils 'GPL-2.0-or-later OR LGPL-3.0-or-later' \
        "$(sed -n 's/^AC_INIT(\[elfutils\],\[\([^]]*\)\].*/\1/p' "$folder/elfutils/configure.ac")"
    library zlib Zlib "$(sed -n 's/^#define ZLIB_VERSION "\(.*\)"/\1/p' "$folder/zlib/zlib.h")"
}

# FILE.sha256, for sha256sum --check.
checksums() {
    local file
    for file in "$out"/*; do
        (cd "$out" && sha256sum "${file##*/}") >"$file.sha256"
    done
}

main
exit
