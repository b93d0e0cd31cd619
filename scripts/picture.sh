#!/usr/bin/env bash
# picture.sh PROCSNOOP FILE: draws a build of this project's C sources, as procsnoop sees it. What it
# holds is the same on each machine but for the times: the sources are copied, and all paths are
# relative.

set -euo pipefail
tool=$(realpath "$1")
file=$(realpath -m "$2")
root=$(cd "$(dirname "$0")/.." && pwd)
# libbpf's headers, as cargo has unpacked them for a build.
headers=$(dirname "$tool")/build
headers=$(find "$headers" -path '*/snoop-tools-*/out/include' -prune | head -n 1)
[[ $headers ]] || { echo 'picture.sh: no headers of libbpf: build the tools first' >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
cp -r "$root/src/bpf" "$root/examples" "$root/tests/fixtures" "$work/"
cp -r "$root/vmlinux/$(uname -m)" "$work/vmlinux"
cp -r "$headers" "$work/include"
cat >"$work/Makefile" <<'END'
fixtures := argv ask execer dial hostile jit lives mapper refused
all: $(patsubst bpf/%.bpf.c,out/%.o,$(wildcard bpf/*.bpf.c)) \
	$(patsubst examples/%.bpf.c,out/%.o,$(wildcard examples/*.bpf.c)) $(fixtures:%=out/%)
	ls -l out
bpf_flags := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -fms-extensions \
	-Wno-microsoft-anon-tag -iquote bpf/lib -isystem vmlinux -isystem include
out/%.o: bpf/%.bpf.c
	clang $(bpf_flags) -c $< -o $@
out/%.o: examples/%.bpf.c
	clang $(bpf_flags) -c $< -o $@
out/%: fixtures/%.c
	gcc -std=gnu11 -O1 -Wall -static -pthread -o $@ $<
END
cd "$work"
export TMPDIR=.
sudo=()
((EUID == 0)) || sudo=(sudo --preserve-env=TMPDIR)
"${sudo[@]}" "$tool" -q --plot picture.svg --critical-path -- make -s -j2 >path
tail -n +1 path
cat picture.svg >"$file" # as the user who asked for it
