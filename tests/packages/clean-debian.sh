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

# debian_with SUITE WORK ARCHIVE PACKAGE...: the same with packages, packed as ARCHIVE, for guests:
# without what is only to be read. It is kept for the next time that the same packages are asked for.
debian_with() {
    local suite=$1 root=$2/debian log=$2/log archive=$3
    shift 3
    [[ ! -f $archive || $(cat "$archive.packages" 2>/dev/null) != "$*" ]] || return 0
    bootstrap "$suite" "$root" "$log"
    reach_mirror "$root"
    chroot "$root" apt-get -qq update
    DEBIAN_FRONTEND=noninteractive chroot "$root" \
        apt-get -qq install -y --no-install-recommends "$@" >/dev/null
    tar --create --directory "$root" --file "$archive.new" --exclude=./usr/share/locale \
        --exclude=./usr/share/man --exclude=./usr/share/doc --exclude=./var/cache \
        --exclude=./var/lib/apt .
    mv "$archive.new" "$archive"
    printf '%s' "$*" >"$archive.packages"
    rm -rf "$root"
}

# reach_mirror ROOT: it resolves names and reaches the mirror as this machine does.
reach_mirror() {
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    grep -rhi 'acquire::.*proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d \
        >"$1/etc/apt/apt.conf.d/99proxy" 2>/dev/null || rm "$1/etc/apt/apt.conf.d/99proxy"
}
