#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# floor.sh PROFILE OUT: compiles floor.bpf.c with the kernel's types that the tools of that profile
# of cargo (debug, release) are built with.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=$1 out=$2

include=$(find "${CARGO_TARGET_DIR:-target}/$profile/build" -path '*/snoop-tools-*/out/include' \
	-printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
"${CLANG:-clang}" -g -O2 -Wall -Wextra -Werror --target=bpf -mcpu=v3 -D__TARGET_ARCH_x86 \
	-isystem "vmlinux/$(uname -m)" -isystem "$include" -I src/bpf -I src/bpf/lib \
	-c bench/floor.bpf.c -o "$out"
