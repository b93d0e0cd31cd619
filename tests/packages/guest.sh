#!/bin/sh
# Runs in the virtual machine: unpacks the Debian root of install.sh and runs each tool there;
# then the static programs, as in a container that is made from scratch.
set -eu

debian=/tmp/debian
mkdir "$debian"
tar -xf /payload/root.tar -C "$debian"
rm /payload/root.tar
for name in proc sys dev; do
    mount -o bind "/$name" "$debian/$name"
done
mount -t cgroup2 cgroup2 "$debian/sys/fs/cgroup"
mount -t tracefs tracefs "$debian/sys/kernel/tracing"
cp /payload/each-tool.sh /payload/lesson/*.o "$debian/tmp/"
echo 'installed, as root:'
chroot "$debian" /bin/bash /tmp/each-tool.sh
echo 'installed, as nobody with CAP_BPF and CAP_PERFMON:'
HOME=/tmp chroot "$debian" /usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups \
    --bounding-set=-all,+bpf,+perfmon --inh-caps=-all,+bpf,+perfmon --ambient-caps=+bpf,+perfmon \
    --no-new-privs /bin/bash /tmp/each-tool.sh
echo 'static, from scratch:'

# A container's root: read-only, with nothing but the programs, and /proc and /sys as runtimes
# mount them, without the cgroups of others.
scratch=/tmp/scratch
mkdir -p "$scratch/proc" "$scratch/sys" "$scratch/usr"
tar -xzf /payload/static.tar.gz -C /tmp
mv /tmp/snoop-tools-*/bin "$scratch/usr/bin"
cp /payload/lesson/*.o "$scratch/"
mount -o bind "$scratch" "$scratch"
mount -o remount,ro,bind "$scratch"
mount -t proc proc "$scratch/proc"
mount -t sysfs -o ro sysfs "$scratch/sys"

id=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
group=/sys/fs/cgroup/docker-$id.scope
mkdir "$group"
# demo PROGRAM KEY: what it tells of itself.
demo() { "$scratch/usr/bin/$1" --generate demo | sed -n "s/^$2=//p"; }

# In the container: something to see for each program, and one that is surely still there when its
# cgroup is looked up.
commands='sleep 0.1'
for program in "$scratch"/usr/bin/*; do
    commands="$commands; $(demo "${program##*/}" command)"
done
(
    echo 0 >"$group/cgroup.procs"
    while [ ! -e /tmp/enough ]; do
        chroot "$debian" /bin/bash -c "$commands" >/dev/null 2>&1 || true
    done
) &
for program in "$scratch"/usr/bin/*; do
    program=${program##*/}
    # The capabilities of root in such a container (and the one that chroot needs).
    run="chroot $debian /usr/bin/setpriv --bounding-set=-all,+bpf,+perfmon,+sys_chroot --no-new-privs"
    mkdir -p "$debian/scratch"
    mount -o rbind "$scratch" "$debian/scratch" 2>/dev/null || mount -o bind "$scratch" "$debian/scratch"
    $run /usr/sbin/chroot /scratch "/usr/bin/$program" --version
    event=$(demo "$program" event) object=$(demo "$program" object)
    # Events of any object need not name a container.
    [ -n "$object" ] && wanted='' || wanted="\"container\":{\"id\":\"$id\"[,}]"
    $run /usr/sbin/chroot /scratch "/usr/bin/$program" --json --duration 5 ${object:+"/$object"} >/tmp/out
    grep "\"name\":\"$event\"" /tmp/out | grep -q "$wanted" || {
        head -n 5 /tmp/out
        echo "$program: no $event with $wanted"
        exit 1
    }
    echo "$program: shows $event"
    umount -l "$debian/scratch"
done
touch /tmp/enough
wait
