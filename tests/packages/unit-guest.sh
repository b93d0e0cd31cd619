#!/bin/sh
# Runs in the virtual machine: a Debian with systemd, in namespaces of its own, as a container has
# them; what its systemd does with the unit is what any does.
set -eu

debian=/tmp/debian
mkdir "$debian"
mount -t tmpfs -o mode=0755 tmpfs "$debian"
tar -xf /payload/root.tar -C "$debian"
tar -xf /payload/bin.tar -C "$debian/usr"
cp /payload/snoop@.service "$debian/etc/systemd/system/"
mkdir -p "$debian/etc/systemd/system/snoop@.service.d"
printf '[Service]\nWatchdogSec=4\nRestartSec=1\n' >"$debian/etc/systemd/system/snoop@.service.d/fast.conf"
echo 'SNOOP_FLAGS=--status 1 --comm seen --login' >"$debian/etc/default/snoop-execsnoop"
cp "$debian/bin/true" "$debian/usr/bin/seen"
printf '[Service]\nType=oneshot\nExecStart=/usr/bin/seen\n' >"$debian/etc/systemd/system/work.service"
for name in dev sys proc; do
    mount -o rbind "/$name" "$debian/$name"
done
log=$debian/var/log/private/snoop/execsnoop.jsonl

say() { echo "unit: $*"; }
die() {
    say "FAILED: $*"
    cat /tmp/boot.log
    ctl status 'snoop@*' || true
    ctl journal || true
    tail -n 5 "$log" || true
    exit 1
}

# Boots it; $machine is its PID 1, as we see it.
boot() {
    mkdir -p /sys/fs/cgroup/debian
    (
        echo 0 >/sys/fs/cgroup/debian/cgroup.procs
        # shellcheck disable=SC2016 # for the inner shell
        exec chroot "$debian" /usr/bin/unshare --mount --pid --fork --cgroup --uts --ipc /bin/sh -c '
            mount -t proc proc /proc
            umount -l /sys/fs/cgroup
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
            mount -t tmpfs tmpfs /run
            exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
                /lib/systemd/systemd --system --log-target=null'
    ) >/tmp/boot.log 2>&1 &
    outer=$!
    within 60 'a systemd' find_machine
    within 300 'a booted systemd' ctl is-booted
}
find_machine() {
    machine=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null) && [ -n "$machine" ] &&
        [ "$(cat "/proc/${machine% }/comm")" = systemd ] && machine=${machine% }
}
inside() {
    chroot "$debian" /usr/bin/nsenter --target "$machine" --mount --pid --uts --ipc --cgroup --root --wd -- "$@"
}
ctl() {
    case $1 in
        is-booted) inside systemctl is-system-running 2>/dev/null | grep -q 'running\|degraded' ;;
        journal) inside journalctl -n 20 --no-pager ;;
        *) inside systemctl --no-pager "$@" ;;
    esac
}
# within SECONDS WHAT CONDITION...
within() {
    end=$(($(date +%s) + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || die "not in time: $what"
        sleep 0.2
    done
}
count() { grep -c "\"name\":\"$1\"" "$log" || true; }
has() { [ "$(count "$1")" -ge "$2" ]; }
see() { inside /usr/bin/seen; }
pid() { ctl show -p MainPID --value snoop@execsnoop; }

boot
say 'first start'
[ ! -e "$log" ] || die 'there is a file before the first start'
ctl enable --now snoop@execsnoop snoop@killsnoop || die 'it does not start'
ctl is-active snoop@execsnoop >/dev/null || die 'not active'
has trace.start 1 || die 'no trace.start'
see
within 20 'an event' has process.exec 1
within 20 'the status' has trace.status 2
ctl show -p StatusText --value snoop@execsnoop | grep -q 'events\? *, 0 lost\|events, 0 lost\|event, 0 lost' || die 'no status'
[ "$(stat -c %a "$log")" = 600 ] || die "mode $(stat -c %a "$log")"

say 'a service that works'
ctl start work || die 'it does not start'
within 20 'its row' grep -q '"systemd":{[^}]*"unit":"work.service"' "$log"
row=$(grep '"unit":"work.service"' "$log")
case $row in
    *'"slice":"system.slice"'*'"login_user"'* | *'"login_user"'*'"slice":"system.slice"'* | *'"tty"'*)
        die "nobody logged in for it: $row" ;;
    *'"interactive":false'*) ;;
    *) die "no context: $row" ;;
esac

say 'reload after a rename, as logrotate does it'
mv "$log" "$log.1"
ctl reload snoop@execsnoop
within 20 'a new file' test -s "$log"
see
within 20 'an event in it' has process.exec 1
head -n 1 "$log" | grep -q '"sequence":2' || die 'no sequence'
tail -n 1 "$log.1" | grep -q 'trace.continued' || die 'no end of the old file'

say 'restart'
ctl restart snoop@execsnoop
within 20 'another run' has trace.start 2
has trace.end 1 || die 'no trace.end'

say 'a kill'
inside kill -9 "$(pid)"
within 20 'another start' has trace.start 3
see
within 20 'an event' has process.exec 2

say 'the watchdog'
inside kill -STOP "$(pid)"
within 40 'another start' has trace.start 4
[ "$(ctl show -p NRestarts --value snoop@execsnoop)" -ge 2 ] || die 'no restart'

say 'a full disk'
ctl stop snoop@execsnoop snoop@killsnoop
inside mount -t tmpfs -o size=512k,mode=0700 tmpfs /var/log/private
log=/proc/$machine/root/var/log/private/snoop/execsnoop.jsonl
ctl start snoop@execsnoop || die 'it does not start' # systemd makes the folder, which needs room
ctl stop snoop@execsnoop
inside dd if=/dev/zero of=/var/log/private/filler bs=1k count=512 2>/dev/null || true
ctl start snoop@execsnoop || die 'it does not start on a full disk'
see
inside rm /var/log/private/filler
within 20 'its beginning' has trace.start 2
within 20 'the event' has process.exec 1
ctl stop snoop@execsnoop
has trace.end 2 || die 'no trace.end'
inside umount /var/log/private
log=$debian/var/log/private/snoop/execsnoop.jsonl

# journal TOOL: its records, as they are read from there
journal() { inside journalctl --no-pager --quiet --output cat "SNOOP_TOOL=$1" | grep '^{' || true; }
# A run of killsnoop in the journal that sees 12,000 signals; $lines of it came, of $events shown.
many_signals() {
    ctl daemon-reload
    ctl start snoop@killsnoop || die 'it does not start'
    # shellcheck disable=SC2016 # for the inner shell
    inside /bin/sh -c 'i=0; while [ $i -lt 12000 ]; do kill -CONT $$; i=$((i + 1)); done'
    ctl stop snoop@killsnoop
    inside journalctl --sync
    journal killsnoop >/tmp/journal
    began=$(grep -n '"name":"trace.start"' /tmp/journal | tail -n 1)
    tail -n "+${began%%:*}" /tmp/journal >/tmp/last
    lines=$(grep -c '"name":"signal.sent"' /tmp/last || true)
    events=$(sed -n 's/.*"name":"trace.end"},"events":\([0-9]*\),.*/\1/p' /tmp/last)
    lost=$(sed -n 's/.*"name":"trace.end"}.*"lost":\([0-9]*\)[,}].*/\1/p' /tmp/last)
}

say 'the journal'
for tool in execsnoop killsnoop; do
    mkdir -p "$debian/etc/systemd/system/snoop@$tool.service.d"
    cp /payload/journal.conf "$debian/etc/systemd/system/snoop@$tool.service.d/"
    # (An emulated journald can be slower than the other drop-in allows.)
    printf '[Service]\nWatchdogSec=60\n' >"$debian/etc/systemd/system/snoop@$tool.service.d/slow.conf"
done
mkdir -p "$debian/etc/systemd/journald.conf.d"
cp /payload/journald.conf "$debian/etc/systemd/journald.conf.d/snoop.conf"
ctl restart systemd-journald
many_signals
[ "$((events + lost))" -ge 12000 ] || die "$events events, $lost lost"
[ "$lines" = "$events" ] || die "$lines lines of $events events"
say "$lines lines of $events events, $lost lost"
say 'a long line in it'
ctl start snoop@execsnoop || die 'it does not start'
long=$(printf %0100000d 1)
inside /usr/bin/seen "$long"
inside /usr/bin/seen
has_two() { [ "$(journal execsnoop | grep -c '"process.exec"')" -ge 2 ]; }
within 20 'a line after it' has_two
journal execsnoop | grep '"process.exec"' | head -n 1 >/tmp/long
grep -q "\"$long\".*}\$" /tmp/long || die "it is broken: $(wc -c </tmp/long) bytes"
ctl stop snoop@execsnoop
inside journalctl --sync
journal execsnoop | inside /usr/bin/execsnoop --from - >/tmp/rows || die 'it cannot be read back'
[ "$(grep -c '^seen ' /tmp/rows)" = 2 ] || die "not read back: $(cut -c 1-80 /tmp/rows)"
say 'what journald drops where it is not told otherwise'
# (It counts as it reads: an emulated one may take long for so many.)
printf '[Service]\nLogRateLimitIntervalSec=30s\nLogRateLimitBurst=1000\n' \
    >"$debian/etc/systemd/system/snoop@killsnoop.service.d/limit.conf"
many_signals
[ "$lines" -lt 12000 ] || die 'nothing was dropped: the setting makes no difference'
# It says so with the next message after the interval.
sleep 31
ctl start snoop@killsnoop
says_so() { inside journalctl --no-pager --quiet | grep 'Suppressed [0-9]* messages from'; }
within 20 'a word of it' says_so
ctl stop snoop@killsnoop
rm -r "$debian/etc/systemd/system/snoop@killsnoop.service.d" "$debian/etc/systemd/system/snoop@execsnoop.service.d"
ctl daemon-reload

say 'a reboot'
ctl start snoop@execsnoop
before=$(count trace.start)
ctl poweroff || true
wait "$outer" || true
has trace.end 3 || die 'no trace.end at shutdown'
boot
within 60 'a start by itself' has trace.start $((before + 1))
see
within 20 'an event' has process.exec 3

say 'the rsyslog that collects'
settings=$debian/etc/rsyslog.d/00-snoop.conf
cp /payload/rsyslog-server.conf "$settings"
ctl restart rsyslog || die 'it does not start'
listens() { grep -q ':09D2 .* 0A ' /proc/net/tcp; } # port 2514
within 20 'its port' listens
say 'the rsyslog that sends to it'
mv "$settings" "$debian/etc/collector.conf" # there is only this machine
sed 's/collector\.example\.org/127.0.0.1/' /payload/rsyslog-client.conf >"$settings"
ctl restart rsyslog || die 'it does not start'
inside rsyslogd -n -iNONE -f /etc/collector.conf </dev/null >/dev/null 2>&1 &
within 20 'its port' listens
mkdir "$debian/etc/systemd/system/snoop@execsnoop.service.d"
cp /payload/ship.conf "$debian/etc/systemd/system/snoop@execsnoop.service.d/"
ctl daemon-reload
ctl restart snoop@execsnoop || die 'it does not start'
see
arrived() { grep -qs '"name":"process.exec"' "$debian"/srv/snoop/host=*/day=*/execsnoop.jsonl; }
within 60 'the event' arrived
# Nothing of it may be left when the machine is switched off.
ctl stop rsyslog || true
inside pkill -KILL -f /etc/collector.conf
say 'well'
ctl poweroff || true
wait "$outer" || true
