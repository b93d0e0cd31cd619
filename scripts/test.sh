#!/usr/bin/env bash
# The checks, as CI runs them: test.sh [check]. With `check` only those that need neither root nor
# a virtual machine. Goes on after a failure, to show all of them; ends with the time that each
# step took, with the live tests that were skipped, with what failed, and with one line that says
# what passed. With CI=true no step is skipped: what cannot be run fails.

set -uo pipefail
cd "$(dirname "$0")/.." || exit
export PATH="$PATH:${HOME-}/.cargo/bin"
cargo=${CARGO:-cargo}

what=${1:-test}
[[ $what == test || $what == check ]] || {
    echo 'usage: test.sh [check]' >&2
    exit 2
}
work=$(mktemp -d)
besides=() logs=() # by process id: names of steps, and where their output goes
clean_up() {
    local pid
    {
        for pid in "${!besides[@]}"; do kill -TERM -- "-$pid"; done
        wait
    } 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# In CI everything is compiled from nothing, once.
[[ ${CI:-} != true ]] || export CARGO_INCREMENTAL=0
# Live tests that cannot run where they are add themselves, here and in virtual machines.
export SNOOP_SKIPPED=$work/skipped
: >"$SNOOP_SKIPPED"

passed=() failed=() skipped=() times=() reasons=()

# count_cpu: `cpu` is the seconds of a processor that this shell's ended children took. (Another
# shell, as of `$(...)`, would tell of its own.)
count_cpu() {
    local file=$work/times.$BASHPID
    times >"$file"
    cpu=$(awk -F '[ms ]+' 'NR == 2 { printf "%d", $1 * 60 + $2 + $3 * 60 + $4 }' "$file")
}

# Those that steps beside took which have ended: their time is not that of the step meanwhile.
cpu_of_ended() { cat "$work"/*.end 2>/dev/null | awk '{ sum += $3 } END { print sum + 0 }'; }

# step NAME COMMAND [ARG...]
step() {
    local began=$SECONDS status=0 cpu before
    count_cpu
    before=$((cpu - $(cpu_of_ended)))
    printf '\n== %s\n' "$1"
    if [[ -t 1 ]]; then # programs see that, and use colours
        "${@:2}" || status=$?
    else
        "${@:2}" 2>&1 | tee "$work/$1" || status=$?
    fi
    count_cpu
    ended "$1" "$status" $((SECONDS - began)) $((cpu - $(cpu_of_ended) - before))
}

# ended NAME STATUS SECONDS CPU_SECONDS
ended() {
    local result=FAILED
    if (($2 == 0)); then
        passed+=("$1 ($3 s)") result=passed
    else
        failed+=("$1 ($3 s)")
        [[ ! -e $work/$1 ]] || reasons+=("$(reasons_in "$work/$1" | sed "s/^/  $1: /")")
    fi
    printf '== %s: %s (%d s)\n' "$1" "$result" "$3"
    times+=("$(printf '%6d %6d  %s%s' "$3" "$4" "$1" "$( (($2)) && echo ': FAILED')")")
}

# reasons_in LOG: the lines that say what went wrong, or the last ones: those of the whole output
# that one wants to see first, and again at its end.
reasons_in() {
    local lines
    # What a test panicked with is on the next line.
    lines=$(awk '/panicked at/ && (getline why) > 0 { print $0 " " why; next } { print }' "$1" |
        grep -aE -e '^(error|WRONG|FAILED)' -e '^    [a-z0-9_]+(::[a-z0-9_]+)+$' \
            -e '^== .* failed: ' -e 'panicked at' -e 'Kernel panic' | sort -u | head -n 20)
    if [[ $lines ]]; then printf '%s\n' "$lines"; else tail -n 5 "$1"; fi | cut -c 1-200
}

# beside NAME COMMAND [ARG...]: a step that runs beside the next ones, for the core that they
# leave idle. What it prints comes when it is met.
beside() {
    local log=$work/$1
    printf '\n== %s: begins, beside the next steps\n' "$1"
    # Job control gives it a process group, so that `clean_up` reaches all of it.
    set -m
    {
        began=$SECONDS
        "${@:2}"
        status=$?
        count_cpu
        echo "$status $((SECONDS - began)) $cpu" >"$log.end"
    } >"$log" 2>&1 </dev/null &
    set +m
    besides[$!]=$1 logs[$!]=$log
}

# after NAME COMMAND [ARG...]: for `beside`; begins when that other step beside has ended.
after() {
    until [[ -e $work/$1.end ]]; do sleep 1; done
    began=$SECONDS
    "${@:2}"
}

# meet [NAME]: waits for this step, or for all that run beside.
meet() {
    local pid status seconds cpu
    for pid in "${!besides[@]}"; do
        [[ ! ${1:-} || ${besides[$pid]} == "$1" ]] || continue
        wait "$pid"
        printf '\n== %s\n' "${besides[$pid]}"
        cat "${logs[$pid]}"
        read -r status seconds cpu <"${logs[$pid]}.end"
        ended "${besides[$pid]}" "$status" "$seconds" "$cpu"
        unset "besides[$pid]"
    done
}

# step_if TOOL NAME COMMAND...: a step that can be done where TOOL is there
step_if() {
    if command -v "$1" >/dev/null || [[ ${CI:-} == true ]]; then
        step "${@:2}"
    else
        skipped+=("$2 (no $1)")
    fi
}

format_rust() {
    "$cargo" fmt --all --check && "$cargo" fmt --manifest-path fuzz/Cargo.toml --check
}

format_c() {
    local files=()
    mapfile -t files < <(git_files 'src/bpf/*.[ch]' 'tests/fixtures/*.[ch]' 'tests/fixtures/bpf/*.c' \
        'tests/elf/sources/*.c' 'examples/*.c' \
        'bench/*.c' 'bench/workload/*.c' 'tests/vm/connect-peers/*.c')
    clang-format --dry-run -Werror "${files[@]}"
}

lint_shell() {
    local files=()
    mapfile -t files < <(git_files '*.sh' .ci/run tests/vm/init tests/vm/connect-peers/run \
        tests/vm/rows/run)
    shellcheck "${files[@]}"
}

# git_files PATTERN...: those that exist, from a tarball too, which has no .git.
git_files() {
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard -- "$@"
    else
        local pattern
        for pattern in "$@"; do
            find . -path ./target -prune -o -path "./$pattern" -type f -print
        done
    fi
}

lint_rust() { "$cargo" clippy --locked --workspace --all-targets -- -D warnings; }

# Unit tests, and everything in tests/ but `live`, which needs root. With xtask: on its own it would
# have other features of the same crates, and compile all of them again. What only the unit tests use
# is not optimised, which takes half as long, running it included.
test_here() {
    local file name targets=() status=0
    for file in tests/*.rs tests/*/main.rs; do
        name=${file#tests/}
        name=${name%/main.rs}
        name=${name%.rs}
        [[ -e $file && $name != live ]] && targets+=(--test "$name")
    done
    local all=("$cargo" test --locked --no-fail-fast --workspace)
    "${all[@]}" --lib --config 'profile.dev.package.snoop-tools.opt-level=0' || status=1
    "${all[@]}" --bins "${targets[@]}" || status=1
    "$cargo" test --locked --doc || status=1
    return "$status"
}

# Built as the user who runs this; only the test program gets more rights.
test_live() {
    local host root='' runner
    ((EUID == 0)) || root='sudo --preserve-env=CI,SNOOP_BACKENDS,SNOOP_SKIPPED -- '
    # Every machine on which CI runs has these; fexit is for the virtual machines.
    [[ ${CI:-} != true ]] || export SNOOP_BACKENDS=${SNOOP_BACKENDS:-tp_btf raw_tp tracepoint}
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    # They take some minutes. One that waits for what never comes must not take the day.
    runner="${root}timeout --foreground 1800 unshare --mount $PWD/scripts/with-tracefs.sh"
    env "CARGO_TARGET_${host}_RUNNER=$runner" \
        "$cargo" test --locked --test live
}

# What needs no root, and what depends on no kernel.
check() {
    step 'Rust format' format_rust
    step_if clang-format 'C format' format_c
    step_if shellcheck 'shell lints' lint_shell
    step 'Rust lints' lint_rust
    step_if jq 'minimum Rust of all crates' scripts/check-msrv.sh
    step 'unit and command-line tests' test_here
}

# They take longer than all the rest, and all of both cores where the tests here wait. A bit nicer
# than compilers; much nicer they would stand still beside them, and run out of time.
guests() {
    local name='live tests in virtual machines'
    if command -v qemu-system-x86_64 >/dev/null || [[ ${CI:-} == true ]]; then
        beside "$name" nice -n 5 tests/vm/matrix.sh ${FULL:+--full} --jobs 2
    else
        skipped+=("$name (no qemu-system-x86_64)")
    fi
    # With FULL=1 there are more of them.
    if [[ ${CI:-} == true && ! ${FULL:-} ]]; then
        beside 'live tests on arm64' after "$name" arm64_guests
    fi
}

# Two kernels. (For half of the tests on each, compilers would take longer to optimise than it saves.)
arm64_guests() {
    # CI is ended after 90 minutes. A machine on which this one's kernels took half of that is too slow.
    if ((SECONDS > 45 * 60)); then
        echo "all on arm64: too slow a machine: $((SECONDS / 60)) minutes were gone" | tee -a "$SNOOP_SKIPPED"
        return
    fi
    local status=0
    export CARGO_PROFILE_DEV_OPT_LEVEL=0
    nice -n 5 tests/vm/matrix.sh --arch arm64 --kernel sid-arm64 --kernel 6.1-arm64 --jobs 2 || status=1
    # Its rustc is the oldest one that Cargo.toml allows, and compiles the unit tests, too.
    # shellcheck disable=SC2016 # cross.sh knows these
    nice -n 5 tests/vm/cross.sh arm64 sh -c '"$CARGO" test --locked --lib --no-run --target "$CROSS_TARGET"' || status=1
    return "$status"
}

# Other architectures: more than an hour of emulation, so only where everything is asked for. (That
# the BPF programs compile for all of them is a test of `check`.)
architectures() {
    local arch
    if [[ ! ${FULL:-} ]]; then
        skipped+=("other architectures${CI:+ than arm64} (FULL=1 make test, or make test-vm ARCH=s390x)")
        return
    fi
    step 'the same programs with all types of the kernels' scripts/vmlinux.sh --same
    for arch in arm64 s390x ppc64el; do
        step "live tests on $arch" nice -n 5 tests/vm/matrix.sh --arch "$arch" --full --jobs 2
    done
}

here() {
    if ((EUID == 0)) || command -v sudo >/dev/null || [[ ${CI:-} == true ]]; then
        step "live tests on Linux $(uname -r)" test_live
        step_if jq 'the lesson of CONTRIBUTING.md' tests/lesson.sh
    else
        skipped+=('live tests (neither root nor sudo)')
    fi
}

packages() {
    meet "$package_tools"
    # Programs as they are released are tried with FULL=1; the live tests ran optimised ones.
    [[ ${FULL:-} ]] || export SNOOP_QUICK=1
    step 'from source, as distributions build' tests/packages/from-source.sh
    distributions
    step 'packages' packaging/dist.sh
    step 'form of the packages' tests/packages/lint.sh
    # A guest keeps one core busy, and compilers do not keep two.
    beside 'packages, installed and removed' tests/packages/install.sh
    beside 'the unit, under systemd' tests/packages/unit.sh
    beside 'the container, with podman' tests/packages/container.sh
    step 'packages, built again' packaging/reproducible.sh
    step 'licences and sources of the crates' \
        target/tools/bin/cargo-deny --workspace check licenses bans sources
    advisories
    step 'engines over JSON Lines' tests/packages/fleet.sh
    step 'rsyslog, with an outage' tests/packages/rsyslog.sh ship
    step 'rsyslog, with 200 senders' tests/packages/rsyslog.sh load
    step 'traces, as Perfetto reads them' tests/packages/traces.sh
    step 'log records, as OpenTelemetry reads them' tests/packages/otlp.sh
    step 'metrics, as Prometheus scrapes them' tests/packages/metrics.sh
    # What was staged for this machine is not needed any more.
    if [[ ${FULL:-} ]]; then
        step 'packages for arm64' env ARCH=arm64 packaging/dist.sh
        step 'form of the packages for arm64' env ARCH=arm64 tests/packages/lint.sh target/packages-arm64
    else
        skipped+=('packages for arm64 (FULL=1 make test)')
    fi
}

# Sources as distributions get them; what they make of them takes two optimised builds and more.
distributions() {
    step 'sources for distributions' packaging/source.sh
    if [[ ! ${FULL:-} ]]; then
        skipped+=("builds of Debian's package and of recipes (FULL=1 make test)")
        return
    fi
    step "Debian's package, built twice" env TWICE=1 tests/packages/debian.sh
    step 'recipes of other distributions' tests/packages/recipes.sh
}

# The database comes from GitHub: where that cannot be reached there is nothing to check against.
advisories() {
    local url=https://github.com/RustSec/advisory-db
    if GIT_TERMINAL_PROMPT=0 timeout 60 git ls-remote --exit-code "$url" HEAD >/dev/null 2>&1; then
        step 'advisories on the crates' target/tools/bin/cargo-deny --workspace check advisories
    else
        skipped+=("advisories ($url cannot be reached)")
    fi
}

# install GROUP...: what the steps need. Without what a build needs there is nothing to test;
# without the rest steps are skipped, or fail in CI.
install() {
    scripts/install-deps.sh "$@" && return
    [[ ${CI:-} != true ]] && scripts/install-deps.sh build
}

# What is in C is compiled once, though each profile of cargo wants it: compilers are called through ccache.
share_c() {
    local name
    command -v ccache >/dev/null || return 0
    mkdir "$work/compilers"
    for name in cc gcc c++ g++ clang; do ln -s "$(command -v ccache)" "$work/compilers/$name"; done
    export PATH="$work/compilers:$PATH" CCACHE_DIR=$work/ccache
}

package_tools='tools that make packages'

all() {
    install build test vm ${FULL:+arch} ${CI:+ci fuzz} ${PACKAGES:+--without-tools dist packages} || exit
    [[ ${CI:-} != true ]] || share_c
    [[ ! ${PACKAGES:-} ]] || beside "$package_tools" scripts/install-deps.sh dist packages
    guests
    check
    here
    # Where the guests' kernels are there.
    step_if qemu-system-x86_64 'kernel types' scripts/vmlinux.sh --check x86_64
    architectures
    if [[ ${CI:-} == true ]]; then
        step 'a minute of fuzzing' scripts/fuzz.sh 1
    else
        skipped+=('fuzzing (make fuzz)')
    fi
    # Packages take as long as all the rest: only where they are asked for, as in CI.
    if [[ ! ${PACKAGES:-} ]]; then
        skipped+=('packages (PACKAGES=1 make test)')
    elif ((EUID == 0)); then
        packages
    else
        step 'packages (need root)' false
    fi
    meet
}

case $what in
    check)
        install build test || exit
        check
        ;;
    test) all ;;
esac

join() {
    local text
    printf -v text '%s, ' "$@"
    printf '%s' "${text%, }"
}
count_cpu
printf '\nmake %s: seconds by step, and of all processors, of %d and %d:\n' "$what" "$SECONDS" "$cpu"
printf '%s\n' "${times[@]}"
if [[ -s $SNOOP_SKIPPED ]]; then
    # By test and reason, each with the kernels of virtual machines that it was skipped in.
    sort -u -o "$SNOOP_SKIPPED" "$SNOOP_SKIPPED"
    printf 'make %s: %d live tests were skipped:\n' "$what" "$(wc -l <"$SNOOP_SKIPPED")"
    sed 's/^/  /' "$SNOOP_SKIPPED"
fi
((${#skipped[@]} == 0)) || echo "make $what: skipped: $(join "${skipped[@]}")"
if ((${#reasons[@]})); then
    echo "make $what: what failed:"
    printf '%s\n' "${reasons[@]}"
fi
if ((${#failed[@]})); then
    echo "make $what: FAILED: $(join "${failed[@]}") (passed: $(join "${passed[@]:-nothing}"))"
    exit 1
fi
echo "make $what: all ${#passed[@]} passed in $((SECONDS / 60)) min $((SECONDS % 60)) s: $(join "${passed[@]}")"
