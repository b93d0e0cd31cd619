#!/usr/bin/env bash
# Boots Linux kernels in virtual machines and runs a payload in each of them, as root,
# without root here: `run.sh --help`; README.md says the rest.
#
# On stdout comes what the payload printed and nothing else. All that run.sh itself has
# to say, the table at the end too, goes to stderr.

set -euo pipefail
# Numbers, sorting and bytes mean the same everywhere; files in the guest are readable.
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SNOOP_VM_CACHE:-$here/../../target/vm}
# shellcheck source=tests/vm/mirror.sh
. "$here/mirror.sh"

# What the command line decides.
kernels=() # names; none: all
extra_arguments=()
timeout=300
jobs=1
processors=2
as_nobody=
interactive=
refresh=
strict=
icount=
[[ ${CI:-} == true ]] && strict=yes
payload=
payload_arguments=()

# What the run finds out, by kernel name.
arch= # Debian's name of the architecture of the guests
only_fetch=
only_names=
declare -A arch_of suite_of pattern_of mirror_of # from the file `kernels`
declare -A result_of release_of seconds_of
known=()                # all names, in the file's order
declare -A running=()   # pid of a worker -> kernel name
machine=()              # QEMU's arguments for what runs the guests
work=                   # temporary folder of this run

say() { printf '%s\n' "$*" >&2; }
die() {
    say "run.sh: $*"
    exit 2
}
have() { command -v "$1" >/dev/null; }

usage() {
    cat <<'END'
usage: run.sh [OPTION]... PAYLOAD_DIR [ARG]...

Boots each kernel, copies PAYLOAD_DIR to /payload in the guest (and the shared libraries
that its programs need), and runs /payload/run ARG... there as root. A kernel passes when
that exits with 0 and the kernel has not complained.

  --kernel NAME     only this kernel (may be repeated); default: all of the architecture
  --arch ARCH       the guests' architecture, as Debian calls it; default: that of the kernels
                    that are named, or this machine's
  --list            list the kernels and leave
  --names           print the names of the kernels of the architecture, and leave
  --fetch           print where the kernels' images are, and which they are, and leave
  --timeout SECONDS a guest that runs longer has failed (300)
  --append ARGS     more kernel arguments (may be repeated)
  --user            run the payload as nobody instead of root
  --processors N    of each guest (2)
  --jobs N          that many guests at once; output then comes when a guest is done (1)
  --interactive     connect the terminal to the payload (one kernel); Ctrl-A X kills it
  --refresh         look for newer kernels instead of taking those in the cache
  --strict          a kernel that cannot be had is a failure; so with CI=true
  --icount          the guest's clock counts instructions, one a nanosecond: what is measured
                    there is the same on any host, however busy (one processor; slower)

Environment: SNOOP_VM_CACHE, the folder for kernels and logs (default: target/vm);
SNOOP_VM_BUSYBOX, a static busybox for guests of another architecture
END
}

main() {
    read_kernels_file
    parse_arguments "$@"
    [[ ! $only_fetch ]] || fetch_and_leave
    check_tools
    mkdir -p "$cache"
    cache=$(cd "$cache" && pwd)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    work=$(mktemp -d "$cache/run.XXXXXX")

    make_initramfs
    local name available=()
    for name in "${kernels[@]}"; do
        if fetch_kernel "$name"; then
            available+=("$name")
        else
            result_of[$name]=unavailable
        fi
    done

    ((${#available[@]} == 0)) || choose_machine "${available[0]}"
    if [[ $interactive ]]; then
        run_interactively "${available[@]}"
    else
        run_all "${available[@]}"
        conclude
    fi
}

# --- command line -------------------------------------------------------------------------

read_kernels_file() {
    local name arch suite pattern mirror
    while read -r name arch suite pattern mirror; do
        [[ -z $name || $name == '#'* ]] && continue
        known+=("$name")
        arch_of[$name]=$arch
        suite_of[$name]=$suite
        pattern_of[$name]=$pattern
        mirror_of[$name]=$mirror
    done <"$here/kernels"
}

parse_arguments() {
    while (($#)); do
        case $1 in
            --kernel | --arch | --timeout | --append | --jobs | --processors)
                (($# >= 2)) || die "$1 needs a value"
                take_value "$1" "$2"
                shift 2
                continue
                ;;
            --list) list_kernels && exit ;;
            --fetch) only_fetch=yes ;;
            --names) only_names=yes ;;
            --user) as_nobody=yes ;;
            --interactive) interactive=yes ;;
            --refresh) refresh=yes ;;
            --strict) strict=yes ;;
            --icount) icount=yes ;;
            -h | --help) usage && exit ;;
            --) shift && break ;;
            -*) die "unknown option $1 (see --help)" ;;
            *) break ;;
        esac
        shift
    done
    choose_kernels
    [[ ! $only_names ]] || { printf '%s\n' "${kernels[@]}" && exit; }
    [[ ! $only_fetch ]] || return 0
    (($#)) || die 'no PAYLOAD_DIR given (see --help)'
    payload=$1
    payload_arguments=("${@:2}")
    [[ -x $payload/run ]] || die "$payload/run is not there or not executable"
    [[ ! $interactive ]] || ((${#kernels[@]} == 1)) ||
        die '--interactive needs exactly one --kernel'
}

# Fills `kernels` and `arch`: all guests have the same architecture, as they have the same payload.
choose_kernels() {
    local name
    [[ $arch || ${#kernels[@]} == 0 ]] || arch=${arch_of[${kernels[0]}]}
    arch=${arch:-$(host_arch)}
    if ((${#kernels[@]} == 0)); then
        for name in "${known[@]}"; do
            [[ ${arch_of[$name]} != "$arch" ]] || kernels+=("$name")
        done
        ((${#kernels[@]})) || die "no kernel for $arch in the file kernels"
    fi
    for name in "${kernels[@]}"; do
        [[ ${arch_of[$name]} == "$arch" ]] || die "$name is not for $arch"
    done
}

# Debian's name of this machine's architecture.
host_arch() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        ppc64le) echo ppc64el ;;
        *) uname -m ;;
    esac
}

take_value() {
    case $1 in
        --arch) arch=$2 ;;
        --kernel)
            [[ ${suite_of[$2]:-} ]] || die "no kernel '$2'; there are: ${known[*]}"
            kernels+=("$2")
            ;;
        --append) extra_arguments+=("$2") ;;
        --timeout | --jobs | --processors)
            [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number above 0"
            printf -v "${1#--}" %s "$2"
            ;;
    esac
}

list_kernels() {
    local name
    for name in "${known[@]}"; do
        printf '%-13s %-8s %-9s %s\n' "$name" "${arch_of[$name]}" "${suite_of[$name]}" \
            "$(cat "$cache/kernels/$name/package" 2>/dev/null || echo '(not fetched yet)')"
    done
}

check_tools() {
    local tool missing=()
    describe_machine
    have "$qemu" || missing+=("$qemu ($qemu_package in Debian)")
    busybox=${SNOOP_VM_BUSYBOX:-$(command -v busybox || true)}
    [[ $busybox ]] || missing+=('busybox (busybox-static in Debian, busybox elsewhere)')
    for tool in cpio xz flock timeout; do
        have "$tool" || missing+=("$tool")
    done
    ((${#missing[@]})) || return 0
    say "run.sh: no virtual machine without ${missing[*]}: please install"
    local name
    for name in "${kernels[@]}"; do
        result_of[$name]=unavailable
    done
    conclude
    exit
}

# --- kernels ------------------------------------------------------------------------------

# For each kernel a line: the image, the package and its version.
fetch_and_leave() {
    local name
    mkdir -p "$cache"
    cache=$(cd "$cache" && pwd)
    work=$(mktemp -d "$cache/run.XXXXXX")
    trap clean_up EXIT
    for name in "${kernels[@]}"; do
        fetch_kernel "$name" || exit 1
        printf '%s %s\n' "$cache/kernels/$name/image" "$(cat "$cache/kernels/$name/package")"
    done
    exit
}

# fetch_kernel NAME: have it at kernels/NAME/image in the cache. Says so if it cannot.
# (It and all that it calls run where `set -e` is off, in a condition: hence `|| return`.)
#
# Nothing is asked of the network if the kernel is there already. A changed line in the
# file `kernels` makes it a different one: that is what the file `origin` is for.
fetch_kernel() {
    local name=$1 folder=$cache/kernels/$1
    local origin="${suite_of[$name]} ${pattern_of[$name]} ${mirror_of[$name]}"
    [[ ${arch_of[$name]} == amd64 ]] || origin="${arch_of[$name]} $origin"
    (
        flock 9 # another run.sh may want the same one
        [[ -f $folder/image && $(cat "$folder/origin") == "$origin" && ! $refresh ]] && exit
        rm -rf "$folder.new"
        mkdir -p "$folder.new"
        if download_kernel "$name" "$folder.new" && printf '%s\n' "$origin" >"$folder.new/origin"
        then
            rm -rf "$folder"
            mv "$folder.new" "$folder"
        else
            rm -rf "$folder.new"
            [[ -f $folder/image ]] || exit 1
            say "run.sh: $name: no newer one to be had; taking the one in the cache"
        fi
    ) 9>"$cache/lock" && return
    say "run.sh: kernel $name is unavailable; see $cache/fetch.log (no network? suite" \
        "${suite_of[$name]} gone from the mirror? then see the file tests/vm/kernels)"
    return 1
}

# download_kernel NAME FOLDER: the newest package that matches -> FOLDER/image, package.
download_kernel() {
    local name=$1 folder=$2 mirror keyring index newest version package path sum
    read -r mirror keyring <<<"$(debian_mirror)"
    mirror=${mirror_of[$name]:-$mirror}
    [[ $mirror != /* ]] || mirror= # no mirror: what was read is the keyring
    [[ $mirror ]] || {
        say "run.sh: no Debian mirror in this machine's package sources: set SNOOP_DEBIAN_MIRROR=URL"
        return 1
    }
    # APT checks the archive's signature, knows the machine's proxies and mirror lists. Where
    # there is none, TLS has to vouch for the index, and the index for the package.
    local how=curl
    if have apt-get && [[ -r $keyring || $keyring == - ]]; then how=apt; fi

    say "run.sh: $name: looking for the newest kernel in ${suite_of[$name]} with $how ..."
    local arch=${arch_of[$name]}
    index=$("index_by_$how" "${suite_of[$name]}" "$mirror" "$keyring" "$arch" \
        2>"$cache/fetch.log") || return 1
    newest=$(newest_in_index "$index" "${pattern_of[$name]}")
    rm "$index"
    [[ $newest ]] || { say "no package matches" 2>>"$cache/fetch.log" && return 1; }
    read -r version package path sum <<<"$newest"
    say "run.sh: $name: fetching $package $version"
    "package_by_$how" "${suite_of[$name]}" "$mirror" "$package=$version" "$path" "$sum" \
        "$folder/package.deb" "$arch" >>"$cache/fetch.log" 2>&1 || return 1
    unpack_image "$folder/package.deb" "$folder/image" 2>>"$cache/fetch.log" || return 1
    rm "$folder/package.deb"
    printf '%s %s\n' "$package" "$version" >"$folder/package"
}

# newest_in_index FILE REGEX: "VERSION PACKAGE PATH SHA256" of the newest that matches.
# (sort -V orders versions, "~" included, as Debian does; kernels have no epochs.)
newest_in_index() {
    awk -v pattern="^(${2//\\/\\\\})\$" '
        { value[$1] = $2 }
        /^$/ { report() }
        END { report() }
        function report() {
            if (value["Package:"] ~ pattern)
                print value["Version:"], value["Package:"], value["Filename:"], value["SHA256:"]
            delete value
        }' "$1" | sort -V | tail -n 1
}

# index_by_apt SUITE MIRROR KEYRING ARCH: fetches the suite's index, prints the name of the file.
#
# With a configuration that lies over the machine's own (its proxies stay in force) and moves
# everything that APT writes to the cache folder, one for each suite: "newest" then means
# newest in that suite. Hooks of the machine must not run: some clean the system's cache.
index_by_apt() {
    local folder=$cache/apt/$1-$4 source="[arch=$4 target=Packages] $2 $1 main"
    [[ $3 == - ]] || source="[arch=$4 target=Packages signed-by=$3] $2 $1 main"
    mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial"
    : >"$folder/status"
    printf 'deb %s\n' "$source" >"$folder/sources.list"
    cat >"$folder/apt.conf" <<END
Dir::State "$folder/state";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "$4";
APT::Architectures { "$4"; };
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
    apt-get -c "$folder/apt.conf" -q update >&2 || return 1
    # APT may keep its copy compressed.
    local file
    # shellcheck disable=SC2016 # a field name for APT, not for the shell
    file=$(apt-get -c "$folder/apt.conf" indextargets --format '$(FILENAME)') || return 1
    /usr/lib/apt/apt-helper cat-file "$file" >"$folder/Packages" || return 1
    printf '%s\n' "$folder/Packages"
}

# package_by_apt SUITE MIRROR PACKAGE=VERSION PATH SHA256 FILE ARCH
package_by_apt() {
    local folder=$cache/apt/$1-$7
    (cd "$work" && apt-get -c "$folder/apt.conf" -q download "$3" && mv ./*.deb "$6")
}

index_by_curl() {
    local folder=$cache/curl/$1-$4
    mkdir -p "$folder"
    curl -fsSL --retry 2 -o "$folder/Packages.xz" "$2/dists/$1/main/binary-$4/Packages.xz" ||
        return 1
    xz -dc "$folder/Packages.xz" >"$folder/Packages" || return 1
    printf '%s\n' "$folder/Packages"
}

package_by_curl() {
    curl -fsSL --retry 2 -o "$6" "$2/$4" && sha256sum -c <<<"$5  $6"
}

# unpack_image PACKAGE.deb FILE: the kernel in it, ready to boot.
unpack_image() {
    local package=$1 image=$2 data
    # A .deb is an ar archive; the files are in its member data.tar.*. Two layouts:
    # boot/vmlinuz-VERSION, and from 7.x usr/lib/modules/VERSION/vmlinuz.
    if have dpkg-deb; then
        dpkg-deb --fsys-tarfile "$package" >"$image.tar" || return 1
    else
        data=$(ar t "$package" | grep '^data\.tar')
        ar p "$package" "$data" >"$image.$data"
        case $data in
            *.xz) xz -dc ;;
            *.zst) zstd -dcq ;;
            *) gzip -dc ;;
        esac <"$image.$data" >"$image.tar" || return 1
        rm "$image.$data"
    fi
    # (On powerpc it is an ELF file already, and called so.)
    tar -xOf "$image.tar" --wildcards --no-anchored 'vmlinuz*' 'vmlinux-*' >"$image.bz" 2>/dev/null ||
        [[ -s $image.bz ]] || return 1
    rm "$image.tar"
    unpack_bzimage "$image.bz" "$image" || cp "$image.bz" "$image"
    rm "$image.bz"
}

# unpack_bzimage BZIMAGE FILE: the ELF file inside.
#
# The guest need not unpack itself then, under emulation: that saves up to one of its three
# and a half seconds. QEMU boots such an ELF file through its PVH entry, which all of
# Debian's kernels have. If a decompressor is missing, the bzImage does as well.
# Offsets: Documentation/arch/x86/boot.rst.
unpack_bzimage() {
    local sectors offset length magic
    sectors=$(number_at "$1" 0x1f1 1)
    offset=$(number_at "$1" 0x248 4)
    length=$(number_at "$1" 0x24c 4)
    offset=$(((sectors + 1) * 512 + offset))
    # The last four bytes are no part of the compressed data, but its length unpacked, except
    # in gzip's format, whose own end that is.
    magic=$(od -An -tx1 -j "$offset" -N 4 "$1" | tr -d ' ')
    [[ $magic == 1f8b* ]] || length=$((length - 4))
    tail -c +$((offset + 1)) "$1" | head -c "$length" >"$2.packed"
    case $magic in
        1f8b*) gzip -dc ;;
        28b52ffd) zstd -dcq ;;
        02214c18) lz4 -dcq ;;
        fd377a58) xz -dc ;;
        *) false ;;
    esac <"$2.packed" >"$2" || true
    rm "$2.packed"
    [[ $(head -c 4 "$2") == $'\x7fELF' ]]
}

# number_at FILE OFFSET BYTES
number_at() { od -An -t "u$3" -j $(($2)) -N "$3" "$1" | tr -d ' '; }

# --- initramfs ----------------------------------------------------------------------------

# One for all kernels; no compression, which would only give the guest work to do.
make_initramfs() {
    local root=$work/root
    mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,run,tmp,etc,root,payload}
    cp -L "$busybox" "$root/bin/busybox"
    install -m 755 "$here/init" "$root/init"
    cp -dR --preserve=mode "$payload/." "$root/payload/"
    chmod -R u+rwX,go+rX "$root"
    copy_libraries "$root"

    printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'nobody:x:65534:65534:nobody:/tmp:/bin/sh' \
        >"$root/etc/passwd"
    printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >"$root/etc/group"
    printf '%s\n' '127.0.0.1 localhost vm' '::1 localhost' >"$root/etc/hosts"
    guest_settings >"$root/etc/vm.conf"
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/initramfs"
}

# What init has to know, as shell code that it reads.
guest_settings() {
    local rows='' columns='' word
    [[ ! $interactive ]] || read -r rows columns < <(stty size 2>/dev/null) || true
    ((rows)) || rows=24 columns=80 # unknown, or no terminal
    printf '%s=%s\n' as_nobody "$as_nobody" interactive "$interactive" \
        rows "$rows" columns "$columns" TERM "${TERM:-dumb}"
    printf 'set --'
    for word in "${payload_arguments[@]}"; do
        printf " '%s'" "${word//\'/\'\\\'\'}"
    done
    printf '\n'
}

# Every program's shared libraries and loader, at the paths where the loader looks. ldd knows
# the indirect ones too. What it says without LD_LIBRARY_PATH is what the guest will find.
copy_libraries() {
    local file output line library
    while IFS= read -r -d '' file; do
        [[ $(head -c 4 "$file" | tr -d '\0') == $'\x7fELF' ]] || continue
        # Not a dynamic program (a static one, a BPF object): ldd fails.
        output=$(env -u LD_LIBRARY_PATH -u LD_PRELOAD ldd "$file" 2>/dev/null) || continue
        while read -r line; do
            [[ $line != *'not found'* ]] || die "${file#"$1"}: shared library: $line"
            # "NAME => PATH (ADDRESS)" or "PATH (ADDRESS)"; linux-vdso has no path.
            library=${line#*=> }
            library=${library% (*}
            [[ $library == /* && ! -e $1$library ]] || continue
            mkdir -p "$1${library%/*}"
            cp -L "$library" "$1$library"
        done <<<"$output"
    done < <(find "$1" -type f -size +3c -print0)
}

# --- guests -------------------------------------------------------------------------------

# The emulated machine, which works everywhere, in containers and on CI machines without KVM too.
#
# thread=single  both virtual CPUs in one thread. With one thread each, QEMU 7.2 now and then
#                runs a stale copy of code that the guest has just patched, and patching code
#                is what attaching a BPF program does: "Oops: int3", in 2 of 23 boots
# -cx16          QEMU before 8.0 computes garbage flags after CMPXCHG16B; Linux 6.12 crashed
#                in 10 of 29 boots, without it in none
# -erms, -fsrm   the kernel then copies and clears memory by words, not by one instruction for all
#                bytes, which QEMU emulates byte by byte: guests are a seventh faster
emulated=(-accel 'tcg,thread=single' -cpu 'max,-cx16,-erms,-fsrm')
with_kvm=(-accel kvm -cpu host)

# describe_machine: what QEMU has to be told of the architecture. Three ports each, so that nothing
# has to be sorted out of anything else: the kernel's console, the payload's output, and a report.
#
# pauth=off      emulating signed pointers takes a third of a guest's time
describe_machine() {
    parameters='' ports=(ttyS1 ttyS2) console=ttyS0
    case $arch in
        amd64) # no_timer_check: see boot
            qemu=qemu-system-x86_64 qemu_package=qemu-system-x86 parameters=no_timer_check
            serial=(-serial file:CONSOLE -serial chardev:payload -serial file:REPORT)
            ;;
        arm64)
            qemu=qemu-system-aarch64 qemu_package=qemu-system-arm
            console=ttyAMA0 ports=(ttyS0 ttyS1)
            emulated=(-accel 'tcg,thread=single' -M virt -cpu 'max,pauth=off')
            serial=(-serial file:CONSOLE -chardev 'file,id=report,path=REPORT'
                -device 'pci-serial-2x,chardev1=payload,chardev2=report')
            ;;
        riscv64)
            qemu=qemu-system-riscv64 qemu_package=qemu-system-misc
            emulated=(-accel 'tcg,thread=single' -M virt)
            serial=(-serial file:CONSOLE -chardev 'file,id=report,path=REPORT'
                -device 'pci-serial-2x,chardev1=payload,chardev2=report')
            ;;
        s390x)
            qemu=qemu-system-s390x qemu_package=qemu-system-misc
            console=ttysclp0 ports=(hvc0 hvc1)
            emulated=(-accel 'tcg,thread=single' -M s390-ccw-virtio -cpu max)
            serial=(-serial file:CONSOLE -chardev 'file,id=report,path=REPORT'
                -device virtio-serial-ccw -device 'virtconsole,chardev=payload'
                -device 'virtconsole,chardev=report')
            ;;
        ppc64el)
            qemu=qemu-system-ppc64 qemu_package=qemu-system-ppc
            console=hvc0 ports=(hvc1 hvc2)
            emulated=(-accel 'tcg,thread=single' -M pseries -cpu power9)
            serial=(-serial file:CONSOLE -serial chardev:payload -serial file:REPORT)
            ;;
        *) die "no machine for $arch" ;;
    esac
}

# choose_machine KERNEL: KVM where that kernel comes up with it. The answer holds until this
# machine starts anew.
choose_machine() {
    local boot asked
    machine=("${emulated[@]}")
    [[ $arch == amd64 && $(host_arch) == amd64 ]] || return 0
    # (KVM does not count instructions.)
    [[ ! $icount && -w /dev/kvm ]] || return 0
    read -r boot </proc/sys/kernel/random/boot_id
    asked=$(cat "$cache/kvm" 2>/dev/null || true)
    if [[ $asked != "$boot "* ]]; then
        if comes_up "$1" "${with_kvm[@]}"; then asked="$boot works"; else asked="$boot fails"; fi
        printf '%s\n' "$asked" >"$cache/kvm"
    fi
    if [[ $asked == *works ]]; then
        machine=("${with_kvm[@]}")
    else
        say 'run.sh: there is /dev/kvm, but no guest comes up with it: emulating'
    fi
}

# comes_up KERNEL MACHINE_ARG...: whether a guest gets as far as its first program. That the
# device can be opened says little: it may be a stub, or nested and broken.
comes_up() {
    local folder=$work/probe
    mkdir -p "$folder/root/bin"
    cp -L "$busybox" "$folder/root/bin/busybox"
    printf '%s\n' '#!/bin/busybox sh' 'echo the guest is up' '/bin/busybox poweroff -f' \
        >"$folder/root/init"
    chmod 755 "$folder/root/init"
    (cd "$folder/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$folder/initramfs"
    timeout 10 qemu-system-x86_64 "${@:2}" -smp 2 -m 512M -nodefaults -display none \
        -monitor none -no-reboot -kernel "$cache/kernels/$1/image" -initrd "$folder/initramfs" \
        -append 'console=ttyS0 quiet panic=-1' -serial "file:$folder/console" \
        >"$folder/qemu.log" 2>&1 </dev/null || true
    grep -q '^the guest is up' "$folder/console" 2>/dev/null
}

# boot NAME CHARDEV [TIMEOUT_COMMAND...]: one guest, from power on to power off.
#
# nowatchdog     a busy host must not look like a locked-up guest
# loglevel=5     warnings and worse only: what is on the console then matters
# no_timer_check a busy host may be too slow for the kernel to believe in its timer, and then
#                it panics: "IO-APIC + timer doesn't work"
# notests        the kernel's tests of its ciphers take half a second
# ..._port       where the payload's output and the report go
# vm_kernel      our name of the kernel, which init and the payload have in their environment
# icount         virtual time is the number of instructions: one takes one nanosecond
boot() {
    local folder=$work/$1 chardev=$2
    shift 2
    local arguments="console=$console loglevel=5 panic=-1 oops=panic nowatchdog"
    arguments+=" $parameters cryptomgr.notests payload_port=${ports[0]} report_port=${ports[1]}"
    local lines=("${serial[@]/CONSOLE/$folder/console}")
    lines=("${lines[@]/REPORT/$folder/report}")
    local counting=() count=$processors
    if [[ $icount ]]; then
        counting=(-icount 'shift=0,sleep=off')
        count=1
    fi
    "$@" "$qemu" \
        "${machine[@]}" "${counting[@]}" -smp "$count" -m 2G \
        -nodefaults -display none -monitor none -no-reboot \
        -kernel "$cache/kernels/${folder##*/}/image" -initrd "$work/initramfs" \
        -append "$arguments vm_kernel=${folder##*/} ${extra_arguments[*]}" \
        -chardev "$chardev" "${lines[@]}"
}

# run_all NAME...: in order, as many at once as --jobs says.
run_all() {
    local name
    for name; do
        while ((${#running[@]} >= jobs)); do
            wait_for_one
        done
        say "== $name: booting"
        mkdir "$work/$name"
        # Job control gives the worker a process group, so that clean_up reaches all of it.
        set -m
        run_guest "$name" &
        set +m
        running[$!]=$name
    done
    while ((${#running[@]})); do
        wait_for_one
    done
}

# A worker. Leaves in its folder: console, output, report, qemu.log; last of all: ended.
run_guest() {
    local folder=$work/$1 start=$EPOCHREALTIME status=0
    # QEMU makes its stdout non-blocking, which must not happen to ours: hence the pipe.
    boot "$1" stdio,id=payload,signal=off timeout --foreground -k 5 "$timeout" \
        </dev/null 2>"$folder/qemu.log" |
        if ((jobs > 1)); then cat >"$folder/output"; else tee "$folder/output"; fi ||
        status=$?
    printf '%s %s\n' "$status" $(((${EPOCHREALTIME/./} - ${start/./}) / 1000)) >"$folder/ended.new"
    mv "$folder/ended.new" "$folder/ended"
}

wait_for_one() {
    local pid name
    wait -n || true
    for pid in "${!running[@]}"; do
        kill -0 "$pid" 2>/dev/null && continue
        name=${running[$pid]}
        unset "running[$pid]"
        if ((jobs > 1)); then
            say "== $name: output"
            cat "$work/$name/output"
        fi
        judge "$name"
    done
}

# judge NAME: from what the guest left behind to a result, with the reasons for a bad one.
judge() {
    local folder=$work/$1 qemu_status=1 milliseconds=0 status complaints
    [[ ! -f $folder/ended ]] || read -r qemu_status milliseconds <"$folder/ended"
    seconds_of[$1]=$(printf '%d.%d' $((milliseconds / 1000)) $((milliseconds % 1000 / 100)))
    release_of[$1]=$(report "$1" release)
    status=$(report "$1" status)
    complaints=$(report "$1" complaint)

    if ((qemu_status == 124 || qemu_status == 137)); then
        failed "$1" "no end within $timeout s"
        show_console "$1"
    elif [[ ! $status ]] && grep -q 'Kernel panic' "$folder/console" 2>/dev/null; then
        failed "$1" 'kernel panic'
        show_console "$1"
    elif [[ ! $status ]]; then
        failed "$1" "the machine went off before the payload's end; QEMU: status $qemu_status"
        cat "$folder/qemu.log" >&2
        show_console "$1"
    elif ((status)); then
        failed "$1" "exit status $status"
    elif [[ $complaints ]]; then
        failed "$1" 'the kernel complained'
        say "$complaints"
    else
        result_of[$1]=passed
    fi
    keep_logs "$1"
}

# report NAME KEY: what init reported under that key.
report() { sed -n "s/^$2 //p" "$work/$1/report" 2>/dev/null || true; }

failed() {
    result_of[$1]="failed: $2"
    say "== $1 failed: $2"
}

show_console() {
    say "-- last lines of the console of $1:"
    tail -n 40 "$work/$1/console" 2>/dev/null | tr -d '\r' >&2 || true
    say '--'
}

keep_logs() {
    mkdir -p "$cache/logs"
    rm -rf "$cache/logs/$1"
    mv "$work/$1" "$cache/logs/$1"
}

# The terminal is the payload's: no worker, no time limit. Our status is the payload's.
run_interactively() {
    (($#)) || exit 1
    mkdir "$work/$1"
    say "== $1: booting; Ctrl-A X turns the machine off"
    boot "$1" stdio,id=payload,signal=off,mux=on
    local status
    status=$(report "$1" status)
    [[ $status ]] || show_console "$1"
    keep_logs "$1"
    exit "${status:-1}"
}

# --- end ----------------------------------------------------------------------------------

conclude() {
    local name result passed=0 failed=0 unavailable=0
    say ''
    say "$(printf '%-13s %-28s %9s  %s' KERNEL RELEASE SECONDS RESULT)"
    for name in "${kernels[@]}"; do
        result=${result_of[$name]}
        case $result in
            passed) passed=$((passed + 1)) ;;
            failed*) failed=$((failed + 1)) ;;
            *) unavailable=$((unavailable + 1)) ;;
        esac
        say "$(printf '%-13s %-28s %9s  %s' "$name" "${release_of[$name]:--}" \
            "${seconds_of[$name]:--}" "$result")"
    done
    say ''
    say "$passed passed, $failed failed$( ((unavailable)) && echo ", $unavailable unavailable")"
    ((failed == 0)) && [[ $unavailable == 0 || ! $strict ]]
}

# Also after Ctrl-C: no guest is left running, no temporary file lying about.
clean_up() {
    local pid
    for pid in "${!running[@]}"; do
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
    wait
    [[ ! $work ]] || rm -rf "$work"
}

main "$@"
