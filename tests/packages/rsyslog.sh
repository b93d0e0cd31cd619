#!/usr/bin/env bash
# rsyslog.sh ship|load [FOLDER]: rsyslog.py with Debian's rsyslog, unpacked below target/rsyslog, and the
# tools of FOLDER (default: target/debug). `ship` needs root, for the tools.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
what=$1
tools=$(realpath "${2:-target/debug}")
packages=$PWD/target/rsyslog

# rsyslog itself, and what it needs that not every machine has.
get() {
    [[ ! -e $packages/complete ]] || return 0
    rm -rf "$packages"
    mkdir -p "$packages/deb"
    (cd "$packages/deb" && apt-get -qq download rsyslog rsyslog-relp librelp0 libestr0 libfastjson4)
    local deb
    for deb in "$packages"/deb/*.deb; do dpkg-deb -x "$deb" "$packages"; done
    [[ -x $packages/usr/sbin/rsyslogd && -e $(echo "$packages"/usr/lib/*/rsyslog/omrelp.so) ]]
    touch "$packages/complete"
}

get
modules=$(echo "$packages"/usr/lib/*/rsyslog)
LD_LIBRARY_PATH=${modules%/rsyslog} exec tests/packages/rsyslog.py "$what" "$tools" \
    "$packages/usr/sbin/rsyslogd" "$modules"
