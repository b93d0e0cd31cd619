#!/bin/sh
# examples.sh FOLDER: compiles the lessons of examples/ into FOLDER, after a build.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
# Cargo knows where it has unpacked libbpf's headers.
out_dir=$(cd "$root" && "${CARGO:-cargo}" build --release --locked --message-format=json |
	sed -n '/"build-script-executed","package_id":"[^"]*snoop-tools[@#]/s/.*"out_dir":"\([^"]*\)".*/\1/p')
"$root/examples/build.sh" "$1" "$out_dir/include"
echo "compiled: $1/*.bpf.o; try: sudo ${CARGO_TARGET_DIR:-target}/release/bpfrun $1/01-hello.bpf.o"
