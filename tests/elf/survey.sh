#!/bin/bash
# Holds what bpfrun infers against the sources of other projects.
#
#   tests/elf/survey.sh SOURCES WORK [INCLUDE...]
#
# Compiles each *.bpf.c below SOURCES into WORK, twice (see survey/truth.h), with the folder of the
# source, its parents, and INCLUDE as folders of headers (vmlinux.h, bpf/). Then counts: types that are
# right, unknown or wrong, and the fields that are found, in the objects as they are and stripped.
# With PROGRAMS=FOLDER also in the programs of a distribution: FOLDER/NAME contains the object that
# was made, somewhere else, of NAME.bpf.c, of the same release.
# Sources that do not compile are left out. Needs clang and llvm-strip. WORK must be outside of the
# project: nothing of other projects is kept in it.
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \?//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
sources=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
shift 2
includes=()
for folder; do includes+=(-isystem "$folder"); done

compile() { # SOURCE OUTPUT FLAGS...
	local folder
	folder=$(dirname "$1")
	"${CLANG:-clang}" -g -O2 -target bpf -mcpu=v3 "-D__TARGET_ARCH_${ARCH:-x86}" -w -fms-extensions \
		-I"${ORIGIN:-$folder}" -I"${ORIGIN:-$folder}/.." "${includes[@]}" \
		-idirafter "/usr/include/$(uname -m)-linux-gnu" "${@:3}" -c "$1" -o "$2" 2>/dev/null
}

truth() { # SOURCE NAME
	# Some versions of clang can divide signed numbers only where they optimise more.
	local level
	for level in -O1 -O2; do
		ORIGIN=$(dirname "$1") compile "$2.truth.c" "$2.truth.o" "$level" \
			-include "$here/survey/truth.h" && return
	done
	return 1
}

skipped=0
while read -r source; do
	name=${source#"$sources"/}
	name=${name//\//_}
	name=$work/${name%.c}
	# Functions of the projects that send through a pointer without a type.
	sed 's/\bsubmit_buf(/truth_submit_buf(/' "$source" >"$name.truth.c"
	if ! compile "$source" "$name.o" || ! truth "$source" "$name"; then
		rm -f "$name.o" "$name.truth.o"
		skipped=$((skipped + 1))
	fi
	rm -f "$name.truth.c"
	program=${PROGRAMS:-}/$(basename "$source" .bpf.c)
	if [ -n "${PROGRAMS:-}" ] && [ -e "$name.o" ] && [ -f "$program" ]; then
		cp "$program" "$name.program"
	fi
	# Only the BTF of the second one matters.
	[ ! -e "$name.truth.o" ] || llvm-strip -g "$name.truth.o"
done < <(find "$sources" -name '*.bpf.c' | sort)
echo "$skipped sources do not compile"

cd "$here/../.."
SURVEY=$work cargo test --offline --quiet --test elf -- --ignored --nocapture survey_of_objects
