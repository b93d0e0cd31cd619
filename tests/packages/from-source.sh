#!/usr/bin/env bash
# from-source.sh: `cargo install --path .` works, against the distribution's own libbpf, as
# distributions build: it compiles, links that library and nothing else, and runs. Without the crates
# that distributions lack, which may be left out.

set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d "$PWD/target/from-source.XXXXXX")
trap 'rm -rf "$work"' EXIT

say() { printf 'from source: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

live=$("$cargo" test --quiet --locked --no-run --test live --message-format=json |
    jq -r 'select(.target.name == "live" and .executable != null).executable')

# Debian 12 has libbpf 1.1. Unpacked aside: the system stays as it is.
if command -v apt-get >/dev/null; then
    mkdir "$work/debs"
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download libbpf-dev libbpf1)
    for deb in "$work"/debs/*.deb; do dpkg-deb --extract "$deb" "$work/libbpf"; done
    triplet=$(cc -dumpmachine)
    export LIBBPF_SYS_LIBRARY_PATH=$work/link C_INCLUDE_PATH=$work/libbpf/usr/include
    mkdir "$work/link"
    cp -P "$work/libbpf/usr/lib/$triplet"/libbpf.so* "$work/link/"
    export LD_LIBRARY_PATH=$work/link
fi
say "against the distribution's libbpf: $(pkg-config --modversion libbpf 2>/dev/null || ls "$work"/debs 2>/dev/null)"
# (Unoptimised, where the tests are compiled: most of what they use is there. Cargo puts back what
# it finds replaced.)
"$cargo" install --quiet --locked --debug --config 'profile.dev.package.snoop-tools.opt-level=0' \
    --no-default-features --path . --root "$work" --no-track
for source in src/bin/*.rs; do
    program=$work/bin/$(basename "$source" .rs)
    [[ $(ldd "$program") == *libbpf.so.1* ]] || die "$program does not use the library"
    "$program" --version
done
[[ ! -e $work/bin/xtask ]] || die 'xtask is no program to install'

# And they do trace with it.
if ((EUID == 0)); then
    for source in src/bin/*.rs; do
        program=$work/bin/$(basename "$source" .rs)
        demo=$("$program" --generate demo)
        tells() { sed -n "s/^$1=//p" <<<"$demo"; }
        object=$(tells object)
        [[ ! $object ]] || examples/build.sh "$work/lesson" "${C_INCLUDE_PATH:-/usr/include}" \
            "$PWD/examples/${object%.o}.c"
        "$program" --json ${object:+"$work/lesson/$object"} -- sh -c "$(tells command); true" >"$work/out"
        tail -n 1 "$work/out" | grep '"trace.end".*"lost":0' || die "$program: no trace"
        grep -q "\"name\":\"$(tells event)\"" "$work/out" || die "$program: no $(tells event)"
    done
    # What was left out says so.
    ! "$work/bin/tcpconnect" --dns -- true 2>"$work/said" || die '--dns works'
    grep 'tcpconnect: --dns: this program was built without it' "$work/said"
    "$work/bin/mmapsnoop" --stacks -- true >/dev/null 2>"$work/said"
    grep 'mmapsnoop: not shown: names of functions: this program was built without them' "$work/said"
    # An older libbpf says things in other words.
    SNOOP_BIN_DIR=$work/bin unshare --mount scripts/with-tracefs.sh "$live" bpfrun::load
fi
