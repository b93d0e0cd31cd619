#!/usr/bin/env bash
# Runs the live tests on the kernels of the file `kernels`, in virtual machines:
# matrix.sh [--full] [--arch ARCH] [OPTION of run.sh]... [-- [TEST]... [FLAG of the tests]...]
#
# With --arch, Debian's name of another architecture than this machine's, the programs are compiled
# for that (cross.sh), and its kernels run the tests that depend on architectures.
#
# The kernels share the work. The file `where` names the tests that do not depend on kernels,
# and says who has the others. A test goes one way, which is a backend and a transport, and
# another way on the next kernel. With --full each kernel has all tests, and each test goes all
# ways. Tests that are named, by a part of their names, go all ways on each kernel.
# SNOOP_BLESS=1 writes what the tests of refusals find to docs/refusals.md.
# SNOOP_SKIPPED=FILE: tests that were skipped in guests are added to it.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$here/../..
payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT

say() { printf 'matrix.sh: %s\n' "$*" >&2; }

main() {
    options=() full=0 named=() flags=() arch='' cross=() chosen=()
    while (($#)) && [[ $1 != -- ]]; do
        case $1 in
            --full) full=1 ;;
            --arch)
                arch=$2 cross=("$here/cross.sh" "$2")
                options+=("$1" "$2")
                shift
                ;;
            --kernel)
                chosen+=("$2")
                options+=("$1" "$2")
                shift
                ;;
            *) options+=("$1") ;;
        esac
        shift
    done
    (($#)) && shift # the --
    local word
    for word; do
        if [[ $word == -* ]]; then flags+=("$word"); else named+=("$word"); fi
    done

    all_ways=$((full || ${#named[@]} > 0))

    cd "$repo"
    build
    if [[ $arch ]]; then choose; else assign; fi
    make_run
    run
}

# Cargo's report of what it built; it knows best where its programs are.
cargo_messages() {
    local flags=(test --locked --no-run --test live --message-format=json)
    if [[ $arch ]]; then
        # shellcheck disable=SC2016 # cross.sh knows these
        "${cross[@]}" sh -c '"$CARGO" "$@" --target "$CROSS_TARGET"' sh "${flags[@]}"
    else
        "${CARGO:-cargo}" "${flags[@]}"
    fi
}

# The test program, the tools, and what the tests need, in the payload.
build() {
    local messages tool out_dir
    messages=$(cargo_messages)
    program() { # program KIND NAME: the path of what cargo built
        jq -r "select(.reason == \"compiler-artifact\" and .executable != null and
            .target.kind == [\"$1\"] and .target.name == \"$2\") | .executable" <<<"$messages"
    }
    mkdir "$payload/bin" "$payload/docs"
    pack "$(program test live)" "$payload/live"
    for tool in src/bin/*.rs; do
        tool=$(basename "$tool" .rs)
        pack "$(program bin "$tool")" "$payload/bin/$tool"
    done
    "${cross[@]}" tests/fixtures/build.sh "$payload/fixtures"
    out_dir=$(jq -r 'select(.reason == "build-script-executed" and
        (.package_id | contains("snoop-tools"))) | .out_dir' <<<"$messages")
    "${cross[@]}" examples/build.sh "$payload/objects" "$out_dir/include" \
        examples/*.bpf.c tests/fixtures/bpf/*.bpf.c
    cp docs/refusals.md "$payload/docs"
    # shellcheck disable=SC2016
    [[ ! $arch ]] || SNOOP_VM_BUSYBOX=$("${cross[@]}" sh -c 'echo "$CROSS_ROOT/bin/busybox"')
    [[ ! $arch ]] || export SNOOP_VM_BUSYBOX
}

# pack PROGRAM FILE: debugging information is most of them, and a guest has no use for it. (What is
# compiled for another architecture has none.)
pack() {
    if [[ $arch ]]; then cp "$1" "$2"; else strip --strip-debug -o "$2" "$1"; fi
}

# --- which tests each kernel has ------------------------------------------------------------

# Writes tests/KERNEL, the names of its tests, and share/KERNEL, see SNOOP_SHARE.
assign() {
    local all kernels shares name test number=0
    mapfile -t all < <("$payload/live" --list --format terse | sed -n 's/: test$//p')
    # By age: those called after a suite, such as sid, are the newest.
    mapfile -t kernels < <("$here/run.sh" --names | sort -V)
    mkdir "$payload/tests" "$payload/share"
    read_where
    count_shares
    for name in "${kernels[@]}"; do
        for test in "${all[@]}"; do
            ! has "$name" "$test" || printf '%s\n' "$test"
        done >"$payload/tests/$name"
        ((all_ways)) || echo "$number/${#kernels[@]}" >"$payload/share/$name"
        number=$((number + 1))
    done
    grep -q . "$payload/tests/"* || { say "no test is called ${named[*]}" && exit 2; }
}

# Writes tests/all, which tests kernels of another architecture have: flags of the test program,
# which does not run here.
choose() {
    local place tests filters=()
    while read -r place tests _; do
        case $place in
            host) filters+=(--skip "$tests") ;;
            once) ((${#named[@]})) || filters+=(--skip "$tests") ;;
            arch) ((${#named[@]})) || filters+=("$tests") ;;
        esac
    done <"$here/where"
    mkdir "$payload/tests" "$payload/share"
    printf '%s\n' "${filters[@]}" "${named[@]}" >"$payload/tests/all"
    ((all_ways)) || share_there
}

# Writes share/KERNEL for another architecture, whose kernels share the tests: those that run now.
share_there() {
    local number
    ((${#chosen[@]})) || mapfile -t chosen < <("$here/run.sh" --arch "$arch" --names)
    for number in "${!chosen[@]}"; do
        echo "$number/${#chosen[@]}" >"$payload/share/${chosen[number]}"
    done
}

# Fills place_of with the first word of the line that counts, by test.
read_where() {
    declare -gA place_of=()
    local place tests test found
    while read -r place tests _; do
        [[ $place && $place != '#'* ]] || continue
        [[ $place != arch ]] || continue # besides
        [[ " host once ${kernels[*]} " == *" $place "* ]] || { say "where: '$place'?" && exit 2; }
        found=
        for test in "${all[@]}"; do
            [[ $test == *"$tests"* ]] || continue
            found=1
            place_of[$test]=${place_of[$test]:-$place}
        done
        [[ $found ]] || { say "where: no test is called $tests" && exit 2; }
    done <"$here/where"
}

# has KERNEL TEST: whether this kernel runs it.
has() {
    case ${place_of[$2]:-each} in
        host) return 1 ;;
        once) ((all_ways)) || return ;;
        each) ((all_ways)) || is_share "$1" "$2" || return ;;
        "$1") ;;
        *) return 1 ;;
    esac
    is_named "$2"
}

# Each test runs on one kernel, besides this machine's own. Its name decides, by the CRC that POSIX
# defines: a test stays where it is.
is_share() {
    local hash
    read -r hash _ < <(printf %s "$2" | cksum)
    [[ ${shares[hash % ${#shares[@]}]} == "$1" ]]
}

# The kernels as often as they have shares: a kernel with tests of its own has one, others four.
count_shares() {
    local name
    shares=()
    for name in "${kernels[@]}"; do
        shares+=("$name")
        [[ " ${place_of[*]} " == *" $name "* ]] || shares+=("$name" "$name" "$name")
    done
}

is_named() {
    local word
    ((${#named[@]})) || return 0
    for word in "${named[@]}"; do
        [[ $1 != *"$word"* ]] || return 0
    done
    return 1
}

# --- in the guest ---------------------------------------------------------------------------

make_run() {
    [[ -z ${SNOOP_BLESS:-} ]] || touch "$payload/bless"
    cat >"$payload/run" <<'END'
#!/bin/sh
# init knows the kernel's name.
tests=/payload/tests/$vm_kernel share=/payload/share/$vm_kernel exact=--exact
[ ! -e /payload/tests/all ] || tests=/payload/tests/all exact=
if ! [ -s "$tests" ]; then
    echo "$vm_kernel has none of these tests"
    exit 0
fi
# What must work: everything but sys_exit + bpf_task_pt_regs() before 5.15.
# fexit: 6.4 and later on arm64; not on s390x, where memory for it is not within reach.
case $vm_kernel in
5.10*) export SNOOP_BACKENDS='tp_btf raw_tp fexit' ;;
6.1-arm64 | *s390x | *riscv64 | *ppc64el) export SNOOP_BACKENDS='tp_btf raw_tp tracepoint' ;;
*) export SNOOP_BACKENDS='tp_btf raw_tp fexit tracepoint' ;;
esac
# Debian has the compiler of BPF programs off there, without which most are refused.
case $vm_kernel in *riscv64) sysctl -q -w net.core.bpf_jit_enable=1 ;; esac
[ ! -e "$share" ] || export SNOOP_SHARE="$(cat "$share")"
# On another architecture only the test program itself knows its tests.
if [ -z "$exact" ] && [ -n "$SNOOP_SHARE" ]; then
    /payload/live --list --format terse $(cat "$tests") | sed -n 's/: test$//p' | while read -r test; do
        hash=0x$(printf %s "$test" | md5sum | cut -c 1-4) # busybox has no cksum
        [ $((hash % ${SNOOP_SHARE#*/})) != "${SNOOP_SHARE%/*}" ] || echo "$test"
    done >/tmp/tests
    [ -s /tmp/tests ] || { echo 'no test is chosen' && exit 1; }
    tests=/tmp/tests exact=--exact
fi
# libbpf wants to read the kernel's configuration, which is not in the guest.
mkdir -p /boot
[ -e "/boot/config-$(uname -r)" ] || echo '# not known' >"/boot/config-$(uname -r)"
if [ -e /payload/bless ]; then
    export SNOOP_BLESS=1
    set -- "$@" --nocapture
fi
export SNOOP_BIN_DIR=/payload/bin SNOOP_FIXTURES=/payload/fixtures
export SNOOP_OBJECTS=/payload/objects SNOOP_DOCS=/payload/docs
# The machine is slow, its own, and has what the tests need, or they fail.
export SNOOP_SCALE=20 SNOOP_VM=1 CI=true RUST_BACKTRACE=0
export SNOOP_SKIPPED=/tmp/skipped
: >/tmp/skipped
/payload/live --test-threads=1 $exact $(cat "$tests") "$@"
status=$?
sort -u /tmp/skipped | sed "s/^/skipped on $vm_kernel: /"
exit $status
END
    chmod +x "$payload/run"
}

run() {
    local status=0
    # Programs as security modules are not on in all of these kernels unless one says so.
    "$here/run.sh" --timeout $((full ? 3600 : 2400)) \
        --append 'lsm=landlock,lockdown,yama,apparmor,bpf' \
        ${options[@]+"${options[@]}"} "$payload" ${flags[@]+"${flags[@]}"} |
        tee "$payload/output" || status=$?
    [[ ! ${SNOOP_SKIPPED:-} ]] ||
        sed -n 's/^skipped on \([^ ]*\): \(.*\)/\2 (\1)/p' "$payload/output" >>"$SNOOP_SKIPPED"
    # What was found to be so is what the document says from now on, if that is wanted.
    if [[ ${SNOOP_BLESS:-} ]] && grep -q '^--- docs/refusals.md' "$payload/output"; then
        sed -n '/^--- docs\/refusals.md/,/^--- end/{//!p}' "$payload/output" >docs/refusals.md
    fi
    exit "$status"
}

main "$@"
