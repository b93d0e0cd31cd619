#!/usr/bin/env bash
# vmlinux.sh [--check | --same] [ARCH]...: writes vmlinux/ARCH/vmlinux.h, for all architectures or
# those that are named as Cargo does, from Debian's newest kernels. With --check it compares instead;
# --same: and checks that programs are the same as with all types of the kernel. A header of
# another kernel than the one that can be had now is not checked.

set -euo pipefail
cd "$(dirname "$0")/.."
flag=''
case ${1:-} in
    --check | --same)
        flag=$1
        shift
        ;;
esac
(($#)) || set -- x86_64 aarch64 s390x riscv64 powerpc64

for arch; do
    case $arch in
        x86_64) debian=amd64 kernel=sid ;;
        aarch64) debian=arm64 kernel=sid-arm64 ;;
        s390x | riscv64) debian=$arch kernel=sid-$arch ;;
        powerpc64) debian=ppc64el kernel=sid-ppc64el ;;
        *) echo "vmlinux.sh: no architecture $arch" >&2 && exit 2 ;;
    esac
    read -r image package < <(tests/vm/run.sh --arch "$debian" --kernel "$kernel" --fetch)
    if [[ $flag ]] && ! grep -qF "of the types of $package." "vmlinux/$arch/vmlinux.h"; then
        echo "$arch: not checked: there is $package now, and the header is of another kernel"
        continue
    fi
    "${CARGO:-cargo}" xtask vmlinux --arch "$arch" --kernel "$package" ${flag:+"$flag"} "$image"
done
