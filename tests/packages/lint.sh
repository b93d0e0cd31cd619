#!/usr/bin/env bash
# lint.sh [FOLDER]: checks the form of what dist.sh has made in FOLDER (default: target/packages):
# lintian, rpmlint, manual pages, completions, SBOM, checksums, static programs, the systemd unit.
# ARCH=arm64: of packages for that architecture, whose programs qemu runs.

# shellcheck disable=SC2317 # the functions are called through `check`

set -uo pipefail
cd "$(dirname "$0")/../.." || exit
packages=$(realpath "${1:-target/packages}")
share=target/stage/share
status=0

# check NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@"; then
        echo "lint: $name: good"
    else
        echo "lint: $name: BAD"
        status=1
    fi
}

# No remark but those that packaging/deb/lintian-overrides explains. Whether a BPF object looks like
# misspelt words is chance: the override for that need not be used.
deb() {
    local output
    output=$(lintian --allow-root --fail-on none --display-info "$packages"/*.deb) || return
    ! grep '^[EWI]:' <<<"$output" | grep -v 'unused-override spelling-error-in-binary '
}

rpm_file() {
    local output
    output=$(rpmlint --config packaging/rpmlint.toml "$packages"/*.rpm 2>&1) || true
    grep -q '^ 1 packages .* 0 errors, 0 warnings' <<<"$output" || { echo "$output" && return 1; }
}

manual() {
    local page output program
    for program in target/stage/bin/*; do
        [[ -f $share/man/man8/${program##*/}.8.gz ]] || { echo "no page for $program" && return 1; }
    done
    for page in "$share"/man/man8/*.8.gz; do
        output=$(zcat "$page" | mandoc -T lint -W warning) || { echo "$page: $output" && return 1; }
    done
}

completions() {
    local file
    for file in "$share"/bash-completion/completions/*; do bash -n "$file" || return; done
    for file in "$share"/zsh/site-functions/*; do zsh -n "$file" || return; done
    for file in "$share"/fish/vendor_completions.d/*; do fish --no-execute "$file" || return; done
}

sbom() {
    local file
    file=$(echo "$packages"/*.cdx.json)
    jq -e '.bomFormat == "CycloneDX" and .metadata.component.name == "snoop-tools"
        and ([.components[].name] | contains(["libbpf", "elfutils", "zlib", "clap"]))' "$file" >/dev/null &&
        ! grep -q "$PWD" "$file"
}

checksums() { (cd "$packages" && sha256sum --quiet --check ./*.sha256); }

# Nothing to load at run time, loadable at any address, and none of this machine's paths inside.
static() {
    local folder file bad=0
    folder=$(mktemp -d)
    tar -xzf "$packages"/*-linux.tar.gz -C "$folder"
    for file in "$folder"/*/bin/*; do
        if ! is_static "$file"; then
            echo "$file"
            bad=1
        fi
    done
    rm -rf "$folder"
    return "$bad"
}

is_static() {
    local run=() type=DYN
    # Rust links static programs of arm64 for one address only.
    [[ ${ARCH:-} != arm64 ]] || run=(qemu-aarch64) type=EXEC
    [[ $(readelf -lW "$1") != *INTERP* && $(readelf -dW "$1") != *NEEDED* ]] &&
        [[ $(readelf -hW "$1") == *Type:*"$type"* ]] &&
        ! grep -qaF -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" "$1" &&
        "${run[@]}" "$1" --version >/dev/null
}

unit() {
    local dropin
    one_unit && for dropin in packaging/systemd/{journal,ship}.conf; do one_unit "$dropin" || return; done
}

# one_unit [DROP-IN]
one_unit() {
    local folder unit
    folder=$(mktemp -d)
    unit=$folder/snoop@execsnoop.service
    # (The program and its manual page need not be installed here.)
    sed 's#/usr/bin/%i#/bin/true#; /^Documentation=/d' packaging/systemd/snoop@.service >"$unit"
    if [[ ${1-} ]]; then
        mkdir "$unit.d"
        sed 's#/usr/bin/%i#/bin/true#' "$1" >"$unit.d/${1##*/}"
    fi
    systemd-analyze verify "$unit" &&
        systemd-analyze security --offline=true --threshold=15 "$unit" | tail -n 1
    set -- $?
    rm -rf "$folder"
    return "$1"
}

check '.deb' deb
check '.rpm' rpm_file
check 'manual pages' manual
check 'completions' completions
check 'SBOM' sbom
check 'checksums' checksums
check 'static programs' static
check 'systemd unit' unit
exit $status
