#!/usr/bin/env bash
# compare.sh ARCH [OUT]: whether the tools print the same rows for the same work on another
# architecture, as Debian calls it, as here; both in virtual machines with Debian's newest kernel.
# OUT: where the rows of both go, as they are (here, there) and as they are compared.

set -euo pipefail
cd "$(dirname "$0")/../../.."
arch=$1
out=${2:-$(mktemp -d)}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cross=(tests/vm/cross.sh "$arch")

# payload FOLDER PREFIX...: the tools and what they trace, compiled by commands with that prefix.
payload() {
    local folder=$1 messages out_dir
    shift
    mkdir -p "$folder/bin"
    # shellcheck disable=SC2016 # cross.sh knows these
    messages=$("$@" sh -c '"${CARGO:-cargo}" build --locked --bins --message-format=json \
        ${CROSS_TARGET:+--target "$CROSS_TARGET"}')
    jq -r 'select(.reason == "compiler-artifact" and .executable != null).executable' \
        <<<"$messages" | xargs cp -t "$folder/bin"
    out_dir=$(jq -r 'select(.reason == "build-script-executed" and
        (.package_id | contains("snoop-tools"))) | .out_dir' <<<"$messages")
    "$@" tests/fixtures/build.sh "$folder/fixtures"
    "$@" examples/build.sh "$folder/objects" "$out_dir/include" \
        examples/0[17]-*.bpf.c
    cp tests/vm/rows/run "$folder/run"
}

# Ids, times, addresses and amounts of memory and time are each machine's own; so are how a C library
# begins and ends, and the kernel's name. Rows of two CPUs have no fixed order.
same() {
    sed -E -e '/"timestamp"/s/[0-9]+(\.[0-9]+)?/N/g' -e 's/0x[0-9a-f]+/ADDRESS/g' \
        -e 's/^[0-9:]+\.[0-9]+ /TIME /' -e 's/-[0-9]+:/-N:/' \
        -e '/"timestamp"/!s/[0-9]+\.[0-9]{3}/TIME/g' -e '/"timestamp"/!s/ +[0-9]+/ N/g' \
        -e '/"timestamp"/!s/^[0-9]+ /N /' -e 's/ +/ /g' -e 's/"kernel":"[^"]*"/"kernel":"K"/' "$1" | sort
}

payload "$work/here" env
payload "$work/there" "${cross[@]}"
tests/vm/run.sh --kernel sid --timeout 600 "$work/here" >"$out/here"
# shellcheck disable=SC2016
SNOOP_VM_BUSYBOX=$("${cross[@]}" sh -c 'echo "$CROSS_ROOT/bin/busybox"') \
    tests/vm/run.sh --arch "$arch" --kernel "sid-$arch" --timeout 600 "$work/there" >"$out/there"
for side in here there; do same "$out/$side" >"$out/$side.same"; done
diff -u "$out/here.same" "$out/there.same" && echo "rows: the same, $(wc -l <"$out/here") lines"
