#!/bin/sh
# Runs in the virtual machine: a Debian with podman builds the image and runs it, beside another
# container, whose events are to be seen.
set -eu

debian=/tmp/debian
mkdir "$debian"
mount -t tmpfs -o mode=0755 tmpfs "$debian"
tar -xf /payload/root.tar -C "$debian"
rm /payload/root.tar
tar -xf /payload/lessons.tar -C "$debian/srv"
tar -xzf /payload/*-linux.tar.gz -C "$debian/srv"
for name in proc sys dev; do
    mount -o bind "/$name" "$debian/$name"
done
mount -t cgroup2 cgroup2 "$debian/sys/fs/cgroup"
mount -t tracefs tracefs "$debian/sys/kernel/tracing"
mkdir -p "$debian/dev/shm" "$debian/dev/pts" "$debian/dev/mqueue"
mount -t tmpfs tmpfs "$debian/dev/shm"
mount -t tmpfs tmpfs "$debian/run"
mkdir -p "$debian/etc/containers"
# (No overlayfs in this kernel's guest, no systemd, no network.)
printf '[storage]\ndriver = "vfs"\nrunroot = "/run/storage"\ngraphroot = "/srv/storage"\n' >"$debian/etc/containers/storage.conf"
printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[containers]\nnetns = "none"\n' >"$debian/etc/containers/containers.conf"
build='' run='' run_lesson='' # of the pages
# shellcheck source=/dev/null
. /payload/said

say() { echo "container: $*"; }
die() {
    say "FAILED: $*"
    tail -n 5 /tmp/out /tmp/errors || true
    exit 1
}
# In the folder where the pages' commands are to be typed.
inside() { chroot "$debian" /bin/bash -c "cd /srv && $1"; }
podman() { inside "podman $*"; }

say "podman build $build"
podman "build --quiet $build" >/tmp/out 2>/tmp/errors || die 'it cannot be built'

# (In a container, only /proc of a process that still lives names its cgroup: what connects, lives on.)
say 'another container'
mkdir -p "$debian/srv/other"
cat >"$debian/srv/other/work" <<'END'
mkdir -p /tmp/other; cd /tmp/other
while :; do
    /bin/true
    touch file precious; rm -f file precious 2>/dev/null
    kill -CONT $$
    { : </dev/tcp/127.0.0.1/1; } 2>/dev/null
    sleep 0.1
done
END
podman "build --quiet --tag other --file - /srv/other >/dev/null" <<'END' || die 'no image of it'
FROM scratch
COPY work /work
END
id=$(podman "run --detach --volume /usr:/usr:ro --volume /bin:/bin:ro --volume /lib:/lib:ro --volume /lib64:/lib64:ro --tmpfs /tmp other /bin/bash /work") ||
    die 'it does not start'

# shows NAME COMMAND PATTERN: what the container prints.
shows() {
    podman "$2" >/tmp/out 2>/tmp/errors || die "$1: podman $2"
    grep -q "$3" /tmp/out || die "$1: no $3"
    say "$1: shows $3"
}
of_other="\"container\":{\"id\":\"$id\""

# As the comment has it, until it is told to end.
say "podman run $run"
inside "exec podman run --name snoop ${run}" >/tmp/out 2>/tmp/errors &
runs=$!
for _ in $(seq 100); do
    ! grep -q "$of_other" /tmp/out || break
    sleep 0.2
done
podman 'kill --signal INT snoop' >/dev/null || die 'it does not run'
wait "$runs" || die 'it does not end well'
grep '"name":"process.exec"' /tmp/out | grep -q "$of_other" || die "no event of $id"
tail -n 1 /tmp/out | grep -q '"name":"trace.end".*"lost":0' || die 'no end, or losses'
say 'shows the other container'

image=${run##* } flags=${run% *}
for file in "$debian"/srv/snoop-tools-*/bin/*; do
    program=${file##*/}
    demo=$("$file" --generate demo)
    case $demo in
        *'object=07'*) continue ;; # lessons follow
    esac
    event=$(echo "$demo" | sed -n 's/^event=//p')
    shows "$program" "run $flags --entrypoint /usr/bin/$program $image --json --duration 2" \
        "\"name\":\"$event\".*$of_other"
done

# As the DaemonSet has it: the name of the node, metrics, and a probe. (The probe is a container of its
# own, since `podman exec` finds no programs below a chroot.)
mkdir "$debian/srv/metrics"
metrics='--volume /srv/metrics:/run/snoop --entrypoint /usr/bin/execsnoop'
inside "exec podman run --name pod $flags $metrics --env SNOOP_HOST_NAME=node-7 $image \
    --json --redact --metrics /run/snoop/execsnoop.prom" >/tmp/out 2>/tmp/errors &
runs=$!
for _ in $(seq 100); do
    [ ! -e "$debian/srv/metrics/execsnoop.prom" ] || break
    sleep 0.2
done
probe="run $flags $metrics $image --healthy /run/snoop/execsnoop.prom"
podman "$probe" || die 'the probe fails'
podman 'kill --signal INT pod' >/dev/null
wait "$runs" || die 'it does not end well'
head -n 1 /tmp/out | grep -q '"host":{"name":"node-7"' || die 'no name of the node'
touch -d '2 minutes ago' "$debian/srv/metrics/execsnoop.prom" 2>/dev/null ||
    inside 'touch -d "2 minutes ago" /srv/metrics/execsnoop.prom'
! podman "$probe" 2>/tmp/errors || die 'the probe finds anything healthy'
grep -q 'was written 1[0-9]* s ago' /tmp/errors || die 'another failure'
say 'the probe of the DaemonSet finds it healthy, on node-7, and not for ever'

# lesson NAME PATTERN [FLAG...]
lesson() {
    shows "$1" "run $(echo "$run_lesson" | sed "s/01-hello/$1/") --duration 2 $3" "$2"
}
say "podman run $run_lesson"
lesson 01-hello 'Hello, World' ''
lesson 02-execve-args 'execve .bin.true' ''
lesson 03-unlink-kprobe 'unlink file' ''
lesson 04-unlink-fentry 'unlink file' ''
lesson 05-kill-ksyscall 'kill(' ''
lesson 06-perf-buffer 'true' ''
lesson 07-ring-buffer 'true' ''
lesson 08-lsm 'may not remove precious' '--attach keep_precious'
lesson 09-iterator 'PID' ''
podman 'rm --force --time 0 other' >/dev/null 2>&1 || true
podman "rm --force --time 0 $id" >/dev/null
say 'well'
