# shellcheck shell=bash
# clean-debian.sh: sourced by tests that need a Debian of their own; needs `say`, `die` and mirror.sh.

# bootstrap SUITE FOLDER LOG: a minimal Debian, by debootstrap.
bootstrap() {
    local mirror keyring
    read -r mirror keyring <<<"$(debian_mirror)"
    [[ $mirror != /* ]] || die 'no Debian mirror in the package sources: set SNOOP_DEBIAN_MIRROR=URL'
    say "making a Debian $1 with debootstrap"
    # shellcheck disable=SC2154 # of mirror.sh
    [[ $keyring != - ]] || keyring=$default_keyring
    debootstrap --variant=minbase --keyring="$keyring" "$1" "$2" "$mirror" >"$3" ||
        { tail "$3" >&2 && die 'debootstrap failed'; }
}

# reach_mirror ROOT: it resolves names and reaches the mirror as this machine does.
reach_mirror() {
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    grep -rhi 'acquire::.*proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d \
        >"$1/etc/apt/apt.conf.d/99proxy" 2>/dev/null || rm "$1/etc/apt/apt.conf.d/99proxy"
}
