#!/usr/bin/env bash
# All checks, as CI runs them. Goes on after a failure, to show all of them, and ends with
# one line that says what passed. With CI=true nothing is skipped: what cannot be run fails.

set -uo pipefail
cd "$(dirname "$0")/.." || exit
export PATH="$PATH:${HOME-}/.cargo/bin"
cargo=${CARGO:-cargo}

passed=() failed=() skipped=()

# step NAME COMMAND [ARG...]
step() {
    local name=$1 began=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed+=("$name")
        printf '== %s: passed (%d s)\n' "$name" $((SECONDS - began))
    else
        failed+=("$name")
        printf '== %s: FAILED\n' "$name"
    fi
}

# step_if TOOL NAME COMMAND...: a step that can be done where TOOL is there
step_if() {
    if command -v "$1" >/dev/null || [[ ${CI:-} == true ]]; then
        step "${@:2}"
    else
        skipped+=("$2 (no $1)")
    fi
}

format_c() {
    local files=()
    mapfile -t files < <(git_files 'src/bpf/*.[ch]' 'tests/fixtures/*.c' 'tests/fixtures/bpf/*.c' \
        'tests/elf/sources/*.c' 'examples/*.c' \
        'bench/workload/*.c' 'tests/vm/connect-peers/*.c')
    clang-format --dry-run -Werror "${files[@]}"
}

lint_shell() {
    local files=()
    mapfile -t files < <(git_files '*.sh' .ci/run tests/vm/init tests/vm/connect-peers/run)
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

# Unit tests, and everything in tests/ but `live`, which needs root.
test_here() {
    local file name targets=()
    for file in tests/*.rs tests/*/main.rs; do
        name=${file#tests/}
        name=${name%/main.rs}
        name=${name%.rs}
        [[ -e $file && $name != live ]] && targets+=(--test "$name")
    done
    "$cargo" test --locked --lib --bins "${targets[@]}" && "$cargo" test --locked -p xtask && "$cargo" test --locked --doc
}

# Built as the user who runs this; only the test program gets more rights.
test_live() {
    local host root='' runner
    ((EUID == 0)) || root='sudo --preserve-env=SNOOP_BACKENDS -- '
    # Every machine on which CI runs has these; fexit is for the virtual machines.
    [[ ${CI:-} != true ]] || export SNOOP_BACKENDS=${SNOOP_BACKENDS:-tp_btf raw_tp tracepoint}
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    # They take some minutes. One that waits for what never comes must not take the day.
    runner="${root}timeout --foreground 1800 unshare --mount $PWD/scripts/with-tracefs.sh"
    env "CARGO_TARGET_${host}_RUNNER=$runner" \
        "$cargo" test --locked --test live
}

# Packages take as long as all the rest: only where they are asked for, as in CI.
packages=${PACKAGES:-}
groups=(build test vm ${packages:+dist packages})

if ! scripts/install-deps.sh "${groups[@]}"; then
    # Without what a build needs there is nothing to test; the rest is skipped, or fails in CI.
    if [[ ${CI:-} == true ]] || ! scripts/install-deps.sh build; then exit 1; fi
fi

step 'Rust format' "$cargo" fmt --all --check
step_if clang-format 'C format' format_c
step_if shellcheck 'shell lints' lint_shell
step 'Rust lints' lint_rust
step_if jq 'minimum Rust of all crates' scripts/check-msrv.sh
step 'unit and command-line tests' test_here
if ((EUID == 0)) || command -v sudo >/dev/null || [[ ${CI:-} == true ]]; then
    step "live tests on Linux $(uname -r)" test_live
else
    skipped+=('live tests (neither root nor sudo)')
fi
step_if qemu-system-x86_64 'live tests in virtual machines' \
    tests/vm/matrix.sh ${FULL:+--full} --jobs 2

test_packages() {
    step 'from source, as distributions build' tests/packages/from-source.sh
    step 'packages' packaging/dist.sh
    step 'form of the packages' tests/packages/lint.sh
    step 'SQL over JSON Lines' tests/packages/fleet.sh
    step 'packages, installed and removed' tests/packages/install.sh
    step 'packages, built again' packaging/reproducible.sh
    step 'licences and sources of the crates' \
        target/tools/bin/cargo-deny --workspace check licenses bans sources
    advisories
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

if [[ ! $packages ]]; then
    skipped+=('packages (PACKAGES=1 make test)')
elif ((EUID == 0)); then
    test_packages
else
    step 'packages (need root)' false
fi

join() {
    local text
    printf -v text '%s, ' "$@"
    printf '%s' "${text%, }"
}
echo
((${#skipped[@]} == 0)) || echo "make test: skipped: $(join "${skipped[@]}")"
if ((${#failed[@]})); then
    echo "make test: FAILED: $(join "${failed[@]}") (passed: $(join "${passed[@]:-nothing}"))"
    exit 1
fi
echo "make test: all ${#passed[@]} passed in $((SECONDS / 60)) min $((SECONDS % 60)) s: $(join "${passed[@]}")"
