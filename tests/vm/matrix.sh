#!/usr/bin/env bash
# Runs the live tests on every kernel of the file `kernels`, in virtual machines:
# matrix.sh [--full] [OPTION of run.sh]... [-- ARG of the tests]...
#
# With --full, all tests on each kernel, over all backends and both transports. Without, the
# kernels share the work: a test goes one way on a kernel, and another one on the next. The
# oldest and the newest run all tests but those that are about the tools more than about
# kernels; the ones in between have half of all tests each. Tests that are named go all ways.
# SNOOP_BLESS=1 writes what the tests of refusals find to docs/refusals.md.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$here/../..
payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT

options=()
full=0
while (($#)) && [[ $1 != -- ]]; do
    if [[ $1 == --full ]]; then full=1; else options+=("$1"); fi
    shift
done
(($#)) && shift # the --

cd "$repo"
# Cargo knows best where its programs are.
messages=$(cargo test --locked --no-run --test live --message-format=json)
program() { # program KIND NAME: the path of what cargo built
    jq -r "select(.reason == \"compiler-artifact\" and .executable != null and
        .target.kind == [\"$1\"] and .target.name == \"$2\") | .executable" <<<"$messages"
}
mkdir "$payload/bin"
# Debugging information is most of them, and a guest has no use for it.
strip --strip-debug -o "$payload/live" "$(program test live)"
for tool in src/bin/*.rs; do
    tool=$(basename "$tool" .rs)
    strip --strip-debug -o "$payload/bin/$tool" "$(program bin "$tool")"
done
tests/fixtures/build.sh "$payload/fixtures"
out_dir=$(jq -r 'select(.reason == "build-script-executed" and
    (.package_id | contains("snoop-tools"))) | .out_dir' <<<"$messages")
examples/build.sh "$payload/objects" "$out_dir/include" \
    examples/*.bpf.c tests/fixtures/bpf/*.bpf.c

mkdir "$payload/docs"
cp docs/refusals.md "$payload/docs"

((!full)) || touch "$payload/full"
[[ -z ${SNOOP_BLESS:-} ]] || touch "$payload/bless"
cat >"$payload/run" <<'END'
#!/bin/sh
# What must work: everything but sys_exit + bpf_task_pt_regs() before 5.15.
backends='tp_btf raw_tp fexit tracepoint'
tools='::lifecycle:: ::command:: ::output:: ::rows:: ::pictures:: ::hostile::'
case $(uname -r) in
5.10.*) backends='tp_btf raw_tp fexit' share=0/4 elsewhere=$tools
    # It has no backend on tracepoints, and memory cgroups do not count what BPF takes.
    without='conditions::tracefs_ conditions::what_is_not_shown conditions::a_small_memory' ;;
6.1.*) share=1/4 elsewhere='::filters:: ::command:: ::output:: ::pictures::
    execsnoop::failure:: mmapsnoop::calls:: mmapsnoop::files:: procsnoop::ends::
    tcpconnect::outcomes:: tcpconnect::network:: bpfrun::places::' ;;
6.12.*) share=2/4 elsewhere='::filters:: ::lifecycle:: ::rows:: ::hostile::
    ::accounting:: execsnoop::success:: mmapsnoop::summary:: mmapsnoop::stacks:: mmapsnoop::wx::
    procsnoop::usage:: procsnoop::killers:: tcpconnect::errors:: bpfrun::examples::' ;;
*) share=3/4 elsewhere=$tools ;;
esac
if ! [ -e /payload/full ] && [ $# = 0 ]; then
    export SNOOP_SHARE=$share
    for module in $elsewhere; do set -- "$@" --skip "$module"; done
fi
for test in ${without-}; do set -- "$@" --skip "$test"; done
# libbpf wants to read the kernel's configuration, which is not in the guest.
mkdir -p /boot
[ -e "/boot/config-$(uname -r)" ] || echo '# not known' >"/boot/config-$(uname -r)"
# About the tools, not about kernels: one is enough, if it is not asked for.
case "$(uname -r) $*" in
6.12.* | *refusals::*) ;;
*) set -- "$@" --skip refusals:: ;;
esac
if [ -e /payload/bless ]; then
    export SNOOP_BLESS=1
    set -- "$@" --nocapture
fi
export SNOOP_BACKENDS="$backends" SNOOP_BIN_DIR=/payload/bin SNOOP_FIXTURES=/payload/fixtures
export SNOOP_OBJECTS=/payload/objects SNOOP_DOCS=/payload/docs
# The machine is slow, and its own.
export SNOOP_SCALE=20 SNOOP_VM=1 RUST_BACKTRACE=0
exec /payload/live --test-threads=1 --include-ignored "$@"
END
chmod +x "$payload/run"

# Programs as security modules are not on in all of these kernels unless one says so.
status=0
"$here/run.sh" --timeout $((full ? 3600 : 2400)) \
    --append 'lsm=landlock,lockdown,yama,apparmor,bpf' \
    ${options[@]+"${options[@]}"} "$payload" "$@" | tee "$payload/output" || status=$?
# What was found to be so is what the document says from now on, if that is wanted.
if [[ ${SNOOP_BLESS:-} ]] && grep -q '^--- docs/refusals.md' "$payload/output"; then
    sed -n '/^--- docs\/refusals.md/,/^--- end/{//!p}' "$payload/output" >docs/refusals.md
fi
exit "$status"
