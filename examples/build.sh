#!/bin/sh
# Compiles the examples: build.sh FOLDER INCLUDE, where INCLUDE has libbpf's headers, as
# cargo unpacks them. `make examples` knows both. Or others: build.sh FOLDER INCLUDE FILE...
# CROSS_TARGET: Rust's name of another architecture.
set -eu
out=$1
case $2 in
/*) include=$2 ;;
*) include=$PWD/$2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
machine=${CROSS_TARGET:-$(uname -m)}
target=bpfel
case ${machine%%-*} in
x86_64) arch=x86 machine=x86_64 ;;
aarch64) arch=arm64 machine=aarch64 ;;
riscv64*) arch=riscv machine=riscv64 ;;
s390x) arch=s390 machine=s390x target=bpfeb ;;
powerpc64le | ppc64le) arch=powerpc machine=powerpc64 ;;
*) arch=$machine ;;
esac
shift 2
[ $# -gt 0 ] || set -- "$here"/*.bpf.c
mkdir -p "$out"
out=$(cd "$out" && pwd)
for source; do
	name=$(basename "$source" .c)
	# -g: types and lines, by which bpfrun knows what events look like. From the source's own
	# folder, so that the object has lines of the source, and no paths of this machine.
	(cd "$(dirname "$source")" &&
		"${CLANG:-clang}" -g -O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
			"--target=$target" -mcpu=v3 "-D__TARGET_ARCH_$arch" \
			-fms-extensions -Wno-microsoft-anon-tag -fdebug-compilation-dir=. \
			-isystem "$here/../vmlinux/$machine" -isystem "$include" \
			-c "$name.c" -o "$out/$name.o")
done
