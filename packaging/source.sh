#!/usr/bin/env bash
# source.sh [OUT]: makes the sources from which distributions build, in OUT (default: target/sources):
#
#   snoop-tools_VERSION.orig.tar.gz         this tree, without what is only for its development
#   snoop-tools_VERSION.orig-vendor.tar.xz  the crates in Cargo.lock, so that a build needs no network
#   snoop-tools_VERSION-1.dsc               Debian's source package of these two, and its debian.tar.xz
#   snoop-tools.spec, PKGBUILD, APKBUILD    the recipes of other distributions, for the same tarballs
#
# Same sources, same bytes. Crates that no Linux architecture needs are emptied: cargo wants each
# crate of Cargo.lock to be there, and some for Windows hold compiled libraries.

set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${HOME-}/.cargo/bin" LC_ALL=C TZ=UTC
umask 022
cargo=${CARGO:-cargo}
out=$(realpath -m "${1:-target/sources}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The architectures that Debian's package is built for.
platforms=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu s390x-unknown-linux-gnu
    powerpc64le-unknown-linux-gnu riscv64gc-unknown-linux-gnu)

say() { printf 'source: %s\n' "$*" >&2; }

main() {
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
    export SOURCE_DATE_EPOCH
    version=$("$cargo" metadata --locked --no-deps --format-version 1 |
        jq -r '.packages[] | select(.name == "snoop-tools").version')
    rm -rf "$out"
    mkdir -p "$out"
    tree
    vendor
    debian
    recipes
    (cd "$out" && sha256sum -- *) >&2
}

# The tree, as anybody has it who unpacks a release.
tree() {
    local name=snoop-tools-$version
    {
        git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
            find . -path ./target -prune -o -path ./vendor -prune -o -type f -print0
    } | xargs -0 cp --parents -t "$(mkdir -p "$work/$name" && echo "$work/$name")"
    rm -rf "$work/$name/.ci"
    pack "$name" "$out/snoop-tools_$version.orig.tar.gz" 'gzip -9n'
}

vendor() {
    say 'collects the crates'
    "$cargo" vendor --locked --versioned-dirs --quiet "$work/vendor" >/dev/null
    local crate
    for crate in "$work"/vendor/*; do
        ! grep -qxF "${crate##*/}" <(wanted) && emptied "$crate"
    done
    pack vendor "$out/snoop-tools_$version.orig-vendor.tar.xz" 'xz -9 --threads=1'
}

# The folders of the crates that some Linux architecture takes.
wanted() {
    [[ -s $work/wanted ]] || for platform in "${platforms[@]}"; do
        "$cargo" metadata --locked --all-features --format-version 1 --filter-platform "$platform" |
            jq -r '[.resolve.nodes[].id] as $ids | .packages[] | select(.id | IN($ids[])) | "\(.name)-\(.version)"'
    done | sort -u >"$work/wanted"
    cat "$work/wanted"
}

# A crate without contents, of which cargo needs only the name, version and features.
emptied() {
    find "$1" -mindepth 1 -maxdepth 1 ! -name Cargo.toml ! -name .cargo-checksum.json -exec rm -rf {} +
    # Nothing of what the manifest may name is there any more.
    awk '/^\[\[?(lib|bin|example|test|bench)\]?\]/ { skip = 1; next } /^\[/ { skip = 0 }
        !skip && !/^(auto[a-z]+|build|links|readme|license-file) = /' "$1/Cargo.toml" >"$work/manifest"
    mv "$work/manifest" "$1/Cargo.toml"
    mkdir "$1/src"
    : >"$1/src/lib.rs"
    jq -c '.files = {}' "$1/.cargo-checksum.json" >"$work/sums"
    mv "$work/sums" "$1/.cargo-checksum.json"
}

# Debian's package: the two tarballs, and debian/ with what belongs to just these crates.
debian() {
    local tree=$work/snoop-tools-$version
    cp -R packaging/debian "$tree/debian"
    cp -R "$work/vendor" "$tree/vendor"
    cat >"$tree/debian/changelog" <<END
snoop-tools ($version-1) unstable; urgency=medium

  * Package of version $version; CHANGELOG.md says what is new.

 -- $(sed -n 's/^Maintainer: //p' packaging/debian/control)  $(date -R -d "@$SOURCE_DATE_EPOCH")
END
    "$cargo" run --quiet --locked --package xtask -- copyright --vendor "$work/vendor" \
        >>"$tree/debian/copyright"
    find "$tree/debian" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
    (cd "$out" && dpkg-source --build "$tree" >"$work/log" 2>&1) || { cat "$work/log" >&2 && exit 1; }
}

# The other distributions' recipes, with the version and the sums of these tarballs.
recipes() {
    local file sum512 sum256
    sum512=$(cd "$out" && sha512sum snoop-tools_*.orig.* snoop-tools_*.orig-*)
    sum256=$(cd "$out" && sha256sum snoop-tools_*.orig.* snoop-tools_*.orig-* | cut -d ' ' -f 1)
    for file in rpm/snoop-tools.spec arch/PKGBUILD alpine/APKBUILD nix/default.nix; do
        VERSION=$version SHA512=$sum512 SHA256=$sum256 DATE=$(date -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y') \
            perl -pe 's/\@(VERSION|SHA512|SHA256|DATE)\@/$ENV{$1}/g' "packaging/$file" >"$out/${file#*/}"
    done
}

# pack FOLDER FILE COMPRESSOR: a tarball of a folder in the work folder.
pack() {
    # shellcheck disable=SC2086 # the compressor's flags
    tar --create --directory "$work" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" "$1" | $3 >"$2"
}

main
exit
