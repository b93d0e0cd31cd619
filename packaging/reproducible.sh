#!/usr/bin/env bash
# reproducible.sh [FOLDER]: builds the packages a second time, from a copy of the sources in a
# folder of another name, with other settings, and compares them to what dist.sh has made in
# FOLDER (default: target/packages), byte by byte. With FULL=1 all of it; else one of the programs
# is compiled again, dynamic only, and packed with the others, which takes a quarter of the time.

set -euo pipefail
cd "$(dirname "$0")/.."
first=$(realpath "${1:-target/packages}")
[[ -d $first ]] || { echo "reproducible: no $first: make dist first" >&2 && exit 1; }

copy=$(mktemp -d "${TMPDIR:-/tmp}/another-name.XXXXXX")
trap 'rm -rf "$copy"' EXIT
{
    git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
        find . -path ./target -prune -o -type f -print0
} | xargs -0 cp --parents -t "$copy"
SOURCE_DATE_EPOCH=$(cat "$first/../stage/source-date")
export SOURCE_DATE_EPOCH

export PATH="$PWD/target/tools/bin:$PATH"
(
    # Settings that must not matter.
    umask 077
    unset CARGO_TARGET_DIR
    export TZ=Asia/Tokyo LC_ALL=C.UTF-8 USER=somebody HOSTNAME=elsewhere CARGO_BUILD_JOBS=3
    flags=()
    [[ ${FULL:-} ]] || flags=(--dynamic --only mmapsnoop "$first/../stage")
    "$copy/packaging/dist.sh" "${flags[@]}" >&2
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
