#!/usr/bin/env bash
# run.sh TOOL [ARG...]: runs a tool that was built, with sudo where that is needed.
# Without ARGs it shows what the tool can do: ten seconds of this machine, with a small
# workload besides. WORKLOAD=1 runs the workload with ARGs too.

set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=scripts/demo.sh
. "$scripts/demo.sh"

tool=$1
shift
name=${tool##*/}
[[ -x $tool ]] || {
    echo "run.sh: there is no $tool" >&2
    exit 1
}
workload=${WORKLOAD:-}
if (($# == 0)); then
    mapfile -t arguments < <(demo_arguments "$tool")
    set -- "${arguments[@]}"
    workload=1
    echo "$name $*    (this machine for ten seconds, with a small workload; Ctrl-C ends it)" >&2
fi

root=()
# Capabilities are enough for the tool; without them and without sudo it says what it lacks.
if ((EUID != 0)) && command -v sudo >/dev/null; then
    sudo -v # ask for the password before anything else runs
    root=(sudo --)
fi

workload_pid=
if [[ $workload && $workload != 0 ]]; then
    "$scripts/workload.sh" </dev/null >/dev/null 2>&1 &
    workload_pid=$!
fi
trap : INT # Ctrl-C is for the tool, which then prints its totals
status=0
"${root[@]}" "$tool" "$@" || status=$?
[[ ! $workload_pid ]] || kill "$workload_pid" 2>/dev/null || true
exit "$status"
