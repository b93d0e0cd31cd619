#!/bin/sh
# Compiles the examples: build.sh FOLDER INCLUDE, where INCLUDE has libbpf's headers, as
# cargo unpacks them. `make examples` knows both. Or others: build.sh FOLDER INCLUDE FILE...
set -eu
out=$1
include=$2
here=$(cd "$(dirname "$0")" && pwd)
machine=$(uname -m)
case $machine in
x86_64) arch=x86 ;;
aarch64) arch=arm64 ;;
riscv64) arch=riscv ;;
s390x) arch=s390 ;;
*) arch=$machine ;;
esac
shift 2
[ $# -gt 0 ] || set -- "$here"/*.bpf.c
mkdir -p "$out"
for source; do
	name=$(basename "$source" .c)
	# -g: types and lines, by which bpfrun knows what events look like.
	"${CLANG:-clang}" -g -O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
		--target=bpf -mcpu=v3 "-D__TARGET_ARCH_$arch" \
		-fms-extensions -Wno-microsoft-anon-tag \
		-fdebug-compilation-dir=. "-ffile-prefix-map=$(dirname "$source")=examples" \
		-isystem "$here/../vmlinux/$machine" -isystem "$include" \
		-c "$source" -o "$out/$name.o"
done
