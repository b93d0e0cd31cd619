#!/usr/bin/env bash
# vm.sh KERNEL TOOL [ARG...]: as run.sh, but in a virtual machine with that kernel (a name
# from tests/vm/kernels). Needs no root.

set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")

kernel=$1 tool=$2
shift 2
name=${tool##*/}
mkdir -p "$scripts/../target"
payload=$(mktemp -d "$scripts/../target/vm-payload.XXXXXX")
trap 'rm -rf "$payload"' EXIT

cp "$tool" "$scripts/workload.sh" "$scripts/demo.sh" "$payload/"
cat >"$payload/run" <<'END'
#!/bin/sh
# run TOOL [ARG...], in the guest
. /payload/demo.sh
tool=$1
shift
if [ $# = 0 ]; then
    set -- $(demo_arguments "/payload/$tool")
    echo "$tool $*    (this virtual machine for ten seconds, with a small workload)"
fi
/payload/workload.sh </dev/null >/dev/null 2>&1 &
workload=$!
trap : INT
"/payload/$tool" "$@"
status=$?
kill "$workload" 2>/dev/null
exit $status
END
chmod +x "$payload/run"
"$scripts/../tests/vm/run.sh" --kernel "$kernel" --interactive "$payload" "$name" "$@"
