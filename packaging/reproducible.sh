#!/usr/bin/env bash
# reproducible.sh [PACKAGES] [SOURCES]: builds the packages a second time, and compares them to what
# dist.sh has made in PACKAGES (default: target/packages), byte by byte. The second time they come from
# the tarballs that packaging/source.sh has made in SOURCES (default: target/sources, made if it is not
# there), without a network, in a folder of another name, with other settings. With FULL=1 all of it;
# else one of the programs is compiled again, dynamic only, and packed with the others, which takes a
# quarter of the time. Needs root, to be without a network.

set -euo pipefail
cd "$(dirname "$0")/.."
first=$(realpath "${1:-target/packages}")
sources=$(realpath -m "${2:-target/sources}")
[[ -d $first ]] || { echo "reproducible: no $first: make dist first" >&2 && exit 1; }
[[ -e $(echo "$sources"/*.orig.tar.gz) ]] || packaging/source.sh "$sources"

copy=$(mktemp -d "${TMPDIR:-/tmp}/another-name.XXXXXX")
trap 'rm -rf "$copy"' EXIT
tar --extract --file "$sources"/*.orig.tar.gz --directory "$copy" --strip-components=1
tar --extract --file "$sources"/*.orig-vendor.tar.xz --directory "$copy"
mkdir -p "$copy/.cargo"
cat >>"$copy/.cargo/config.toml" <<'END'
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "vendor"
END
SOURCE_DATE_EPOCH=$(cat "$first/../stage/source-date")
export SOURCE_DATE_EPOCH

export PATH="$PWD/target/tools/bin:$PATH"
(
    # Settings that must not matter.
    umask 077
    unset CARGO_TARGET_DIR
    export CCACHE_DISABLE=1 # nothing of the first build
    export TZ=Asia/Tokyo LC_ALL=C.UTF-8 USER=somebody HOSTNAME=elsewhere CARGO_BUILD_JOBS=3
    flags=()
    [[ ${FULL:-} ]] || flags=(--dynamic --only mmapsnoop "$first/../stage")
    unshare --net "$copy/packaging/dist.sh" "${flags[@]}" >&2
)

files() { # FOLDER: the names of what is compared
    if [[ ${FULL:-} ]]; then ls "$1"; else ls --ignore='*.tar.gz*' "$1"; fi
}
status=0
for file in $(files "$first"); do
    file=$first/$file
    if cmp "$file" "$copy/target/packages/${file##*/}"; then
        echo "reproducible: ${file##*/}: the same"
    else
        status=1
    fi
done
[[ $(files "$first") == $(files "$copy/target/packages") ]] || { echo 'other files' >&2 && status=1; }
exit $status
