#!/usr/bin/env bash
# Installs what is missing of what a build, the tests, the virtual machines or the
# benchmarks need, with the machine's own package manager. With nothing missing, which is
# looked at first, no package manager is called.
#
# usage: install-deps.sh [--without-tools] [build] [test] [vm] [arch] [ci] [fuzz] [bench] [dist] [packages]
# (default: build). Without tools: what cargo compiles of them is left for another call.

set -euo pipefail
export PATH="$PATH:${HOME-}/.cargo/bin"

msrv=1.85 # as rust-version in Cargo.toml

say() { printf 'install-deps: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
# at_least VERSION MINIMUM
at_least() { [[ $1 && $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# --- what there is ------------------------------------------------------------------------

version_in() { grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }
has_header() { echo "#include <$1>" | "${CC:-cc}" -E -o /dev/null - 2>/dev/null; }
has_static_libc() {
    echo 'int main(void) { return 0; }' | "${CC:-cc}" -static -x c -o /dev/null - 2>/dev/null
}
have_all() {
    local name
    for name; do have "$name" || return; done
}
has_zones() { [[ -e /usr/share/zoneinfo/Asia/Kolkata ]]; }
has_venv() { python3 -c 'import venv, ensurepip' 2>/dev/null; }
# As tests/pictures looks for it.
has_browser() {
    have chromium || have chromium-browser || have chromium-headless-shell ||
        have chrome-headless-shell || have google-chrome || have google-chrome-stable
}
# Letters for it to draw.
has_fonts() {
    compgen -G '/usr/share/fonts/*/*.ttf' >/dev/null || compgen -G '/usr/share/fonts/*/*/*.ttf' >/dev/null
}
has_clang() { at_least "$("${CLANG:-clang}" --version 2>/dev/null | version_in)" 14; }
has_rust() { at_least "$(cargo --version 2>/dev/null | version_in)" "$msrv"; }
has_sshd() { [[ -x /usr/sbin/sshd ]] && have ssh; }
has_rustfmt() { cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; }

# One line for each thing: the groups it is for, its name, the check, and the packages in
# Debian and Ubuntu, Fedora, Arch.
needs() {
    cat <<'END'
build       | C compiler          | have cc                 | gcc libc6-dev    | gcc                   | gcc
build       | make                | have make               | make             | make                  | make
build       | pkg-config          | have pkg-config         | pkg-config       | pkgconf-pkg-config    | pkgconf
build       | clang >= 14         | has_clang               | clang            | clang                 | clang
build       | libelf headers      | has_header libelf.h     | libelf-dev       | elfutils-libelf-devel | libelf
build       | zlib headers        | has_header zlib.h       | zlib1g-dev       | zlib-devel            | zlib
build       | Rust >= 1.85        | has_rust                | RUST             | RUST                  | RUST
test        | rustfmt and clippy  | has_rustfmt             | RUSTFMT          | RUSTFMT               | RUSTFMT
test        | static C library    | has_static_libc         | libc6-dev        | glibc-static          | glibc
test        | clang-format        | have clang-format       | clang-format     | clang-tools-extra     | clang
test        | shellcheck          | have shellcheck         | shellcheck       | ShellCheck            | shellcheck
test        | iproute2            | have ip                 | iproute2         | iproute               | iproute2
test        | nftables            | have nft                | nftables         | nftables              | nftables
test        | jq                  | have jq                 | jq               | jq                    | jq
test        | podman              | have podman             | podman crun      | podman                | podman crun
test        | tmux                | have tmux               | tmux             | tmux                  | tmux
test        | perl                | have perl               | perl             | perl                  | perl
test        | btrfs-progs         | have mkfs.btrfs         | btrfs-progs      | btrfs-progs           | btrfs-progs
test        | sshd and ssh        | has_sshd                | openssh-server openssh-client | openssh-server openssh-clients | openssh
test        | cron                | have cron               | cron             | cronie                | cronie
test        | sudo                | have sudo               | sudo             | sudo                  | sudo
test        | time zones          | has_zones               | tzdata           | tzdata                | tzdata
test        | LLVM tools          | have llvm-objdump       | llvm             | llvm                  | llvm
test        | zsh                 | have zsh                | zsh              | zsh                   | zsh
test        | fish                | have fish               | fish             | fish                  | fish
test        | chromium            | has_browser             | CHROMIUM         | chromium              | chromium
test        | fonts               | has_fonts               | fonts-dejavu-core | dejavu-sans-fonts    | ttf-dejavu
ci          | ccache              | have ccache             | ccache           | ccache                | ccache
fuzz        | C++ compiler        | have c++                | g++              | gcc-c++               | gcc
vm          | qemu                | have qemu-system-x86_64 | qemu-system-x86  | qemu-system-x86-core  | qemu-system-x86
vm          | busybox             | have busybox            | busybox-static   | busybox               | busybox
vm          | cpio                | have cpio               | cpio             | cpio                  | cpio
vm          | xz                  | have xz                 | xz-utils         | xz                    | xz
vm          | flock               | have flock              | util-linux       | util-linux-core       | util-linux
ci,arch     | qemu for arm64      | have qemu-system-aarch64 | qemu-system-arm | qemu-system-aarch64-core | qemu-system-aarch64
arch        | qemu for programs   | have qemu-aarch64       | qemu-user       | qemu-user             | qemu-user
arch        | qemu for s390x      | have qemu-system-s390x  | qemu-system-misc | qemu-system-s390x-core | qemu-system-s390x
arch        | qemu for ppc64le    | have qemu-system-ppc64  | qemu-system-ppc | qemu-system-ppc-core  | qemu-system-ppc
bench       | bpftrace            | have bpftrace           | bpftrace         | bpftrace              | bpftrace
bench       | GNU time            | have /usr/bin/time      | time             | time                  | time
dist        | static C library    | has_static_libc         | libc6-dev        | glibc-static          | glibc
dist        | autoconf, automake  | have_all autoreconf automake | autoconf automake | autoconf automake | autoconf automake
dist        | autopoint           | have autopoint          | autopoint        | gettext-devel         | gettext
dist        | flex                | have flex               | flex             | flex                  | flex
dist        | bison               | have bison              | bison            | bison                 | bison
dist        | gawk                | have gawk               | gawk             | gawk                  | gawk
dist        | jq                  | have jq                 | jq               | jq                    | jq
dist        | dpkg-shlibdeps      | have dpkg-shlibdeps     | dpkg-dev         | dpkg-dev              | dpkg
dist        | rpm's find-requires | have /usr/lib/rpm/find-requires | rpm      | rpm-build             | rpm-tools
packages    | debootstrap         | have debootstrap        | debootstrap      | debootstrap           | debootstrap
packages    | lintian             | have lintian            | lintian          | lintian               | lintian
packages    | rpmlint             | have rpmlint            | rpmlint          | rpmlint               | rpmlint
packages    | mandoc              | have mandoc             | mandoc           | mandoc                | mandoc
packages    | zsh                 | have zsh                | zsh              | zsh                   | zsh
packages    | fish                | have fish               | fish             | fish                  | fish
packages    | systemd-analyze     | have systemd-analyze    | systemd          | systemd               | systemd
packages    | Python's venv       | has_venv                | python3-venv     | python3               | python
END
}

# is_wanted GROUP[,GROUP...]: whether one of them is.
is_wanted() {
    local group
    for group in ${1//,/ }; do
        [[ " ${wanted[*]} " != *" $group "* ]] || return 0
    done
    return 1
}

# Fills missing=() with names and packages=() with what brings them.
look() {
    local groups name check debian fedora arch package
    missing=() packages=()
    while IFS='|' read -r groups name check debian fedora arch; do
        is_wanted "${groups%% *}" || continue
        read -ra check <<<"$check"
        "${check[@]}" && continue
        read -ra name <<<"$name"
        missing+=("${name[*]}")
        case $manager in
            apt-get) package=$debian ;;
            dnf) package=$fedora ;;
            *) package=$arch ;;
        esac
        read -ra package <<<"$package"
        packages+=("${package[@]}")
    done < <(needs)
}

# --- Rust, which distributions have in different ages ---------------------------------------

declare -A rustfmt=([apt-get]='rustfmt rust-clippy' [dnf]='rustfmt clippy' [pacman]=rust)

# Version that the package manager would install of package $1, or nothing.
candidate() {
    case $manager in
        apt-get) apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' ;;
        dnf) dnf -q repoquery --latest-limit 1 --qf '%{version}\n' "$1" 2>/dev/null | tail -n 1 ;;
        pacman) pacman -Si "$1" 2>/dev/null | sed -n 's/^Version *: //p' ;;
    esac
}

# Replaces the words RUST and RUSTFMT in packages=() by packages, or by steps for rustup.
choose_rust() {
    local word chosen=() cargo=cargo rustup=
    [[ $manager != pacman ]] || cargo=rust # its name there
    have rustup && rustup=yes
    for word in "${packages[@]}"; do
        if [[ $word == RUST && ! $rustup ]]; then
            if at_least "$(candidate "$cargo" | version_in)" "$msrv"; then
                chosen+=("$cargo")
            elif [[ $(candidate rustup) =~ ^[0-9] ]]; then
                chosen+=(rustup)
                rustup=yes
            else
                no_rust=yes
            fi
        fi
        case $word:$rustup in
            RUST:yes) rustup_steps+=('toolchain install stable --profile minimal') ;;
            RUST:) ;;
            RUSTFMT:yes) rustup_steps+=('component add rustfmt clippy') ;;
            RUSTFMT:) [[ $no_rust ]] || read -ra chosen <<<"${chosen[*]} ${rustfmt[$manager]}" ;;
            *) chosen+=("$word") ;;
        esac
    done
    packages=("${chosen[@]}")
}

# Replaces the word CHROMIUM in packages=(). Where it is no package, as in Ubuntu, the others are to
# be installed all the same.
choose_browser() {
    local word chosen=()
    for word in "${packages[@]}"; do
        if [[ $word != CHROMIUM ]]; then
            chosen+=("$word")
        elif [[ $(candidate chromium) =~ ^[0-9] ]]; then
            chosen+=(chromium)
        fi
    done
    packages=("${chosen[@]}")
}

# --- cargo's own tools, of fixed versions, in target/tools -----------------------------------

# The groups and the crates.
cargo_tools() {
    cat <<'END'
dist cargo-deb@3.8.0
dist cargo-generate-rpm@0.21.1
dist cargo-cyclonedx@0.5.9
packages cargo-deny@0.20.2
END
}

install_cargo_tools() {
    local group crate root
    root=$(cd "$(dirname "$0")/.." && pwd)/target/tools
    while read -r group crate; do
        [[ " ${wanted[*]} " == *" $group "* ]] || continue
        ! grep -qs "^\"${crate/@/ } " "$root/.crates.toml" || continue
        say "cargo install $crate (in target/tools)"
        # Unoptimised and not to be debugged: they compile in a fraction of the time, and run once. Not so
        # what compresses packages, which would take minutes.
        CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$root/build cargo install --quiet --locked --debug --root "$root" \
            --config 'profile.dev.package.zstd-sys.opt-level=2' --config 'profile.dev.package.lzma-sys.opt-level=2' "$crate" ||
            failed_tools+=("$crate")
    done < <(cargo_tools)
    rm -rf "$root/build"
}

# --- doing it -----------------------------------------------------------------------------

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

install_packages() {
    ((${#packages[@]})) || return 0
    say "installing with $manager: ${packages[*]}"
    case $manager in
        apt-get)
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq \
                -o DPkg::Lock::Timeout=120 install -y --no-install-recommends \
                "${packages[@]}" >/dev/null
            ;;
        dnf) as_root dnf -q -y install "${packages[@]}" >/dev/null ;;
        pacman) as_root pacman -S --noconfirm --needed --quiet "${packages[@]}" >/dev/null ;;
    esac
}

# Without lists no package exists; with old ones it may be gone from the mirror.
refresh_lists() {
    case $manager in
        apt-get) as_root apt-get -qq update || say 'apt-get update failed; going on' ;;
        pacman) compgen -G '/var/lib/pacman/sync/*.db' >/dev/null || as_root pacman -Sy --quiet ;;
    esac
}

# join WORD...: with commas
join() {
    local text
    printf -v text '%s, ' "$@"
    printf '%s' "${text%, }"
}

main() {
    wanted=()
    local word tools=1
    for word in "${@:-build}"; do
        case $word in
            --without-tools)
                tools=
                continue
                ;;
            build | test | vm | arch | ci | fuzz | bench | dist | packages) ;;
            *)
                say "no group '$word': there are build, test, vm, arch, ci, fuzz, bench, dist and packages"
                exit 2
                ;;
        esac
        wanted+=("$word")
    done
    manager=
    for word in apt-get dnf pacman; do
        have "$word" && manager=$word && break
    done

    failed_tools=()
    look
    if ((${#missing[@]})); then
        install_missing
    fi
    [[ ! $tools ]] || install_cargo_tools
    ((${#failed_tools[@]} == 0)) || {
        say "still missing: $(join "${failed_tools[@]}")"
        exit 1
    }
}

# What `look` has found, with the package manager.
install_missing() {
    local word
    if [[ ! $manager ]]; then
        say "no apt-get, dnf or pacman here; please install: $(join "${missing[@]}")"
        exit 1
    fi
    if ((EUID != 0)) && ! have sudo; then
        say "neither root nor sudo; please have installed: $(join "${missing[@]}")"
        exit 1
    fi
    refresh_lists
    rustup_steps=() no_rust=
    choose_rust
    choose_browser
    install_packages
    for word in "${rustup_steps[@]}"; do
        say "rustup $word"
        # shellcheck disable=SC2086 # several words
        rustup -q $word
    done

    look
    ((${#missing[@]} == 0)) || {
        say "still missing: $(join "${missing[@]}")"
        [[ ! $no_rust ]] || say "Rust $msrv or newer is not among this system's packages; to \
install it: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
        exit 1
    }
}

main "$@"
