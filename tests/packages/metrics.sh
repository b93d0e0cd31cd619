#!/usr/bin/env bash
# metrics.sh [FOLDER]: the tools of FOLDER (default: target/debug) keep files for node_exporter up to
# date. promtool checks them, and a real Prometheus scrapes them through node_exporter, on loopback.
# Both are Debian's, unpacked below target/prometheus. Needs root, for the tools.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
tools=$(realpath "${1:-target/debug}")
packages=$PWD/target/prometheus
work=$(mktemp -d)
began=() # processes of ours

say() { printf 'metrics: %s\n' "$*" >&2; }
die() {
    say "$*"
    tail -n 5 "$work"/*.log >&2
    exit 1
}
finish() {
    local pid
    for pid in ${began[@]+"${began[@]}"}; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap finish EXIT

get() {
    [[ ! -x $packages/usr/bin/promtool ]] || return 0
    mkdir -p "$packages/deb"
    (cd "$packages/deb" && apt-get -qq download prometheus prometheus-node-exporter)
    local deb
    for deb in "$packages"/deb/*.deb; do dpkg-deb -x "$deb" "$packages"; done
}

# background LOG COMMAND...
background() {
    local log=$work/$1.log
    shift
    "$@" >"$log" 2>&1 &
    began+=($!)
}

# asks PATH: of Prometheus.
asks() {
    python3 - "$prometheus$1" <<'END'
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
END
}

# value QUERY: the sum of what Prometheus has, or nothing.
value() {
    python3 - "$prometheus/api/v1/query" "$1" <<'END'
import json, sys, urllib.parse, urllib.request
url = sys.argv[1] + '?' + urllib.parse.urlencode({'query': sys.argv[2]})
result = json.load(urllib.request.urlopen(url, timeout=5))['data']['result']
if result:
    print(sum(float(series['value'][1]) for series in result))
END
}

# within SECONDS WHAT CONDITION...
within() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || die "not in time: $what"
        sleep 0.2
    done
}
has() { [[ -n $(value "$1") ]] && awk "BEGIN { exit !($(value "$1") $2) }"; }

work_to_see() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$work/seen" || true
        (exec "$work/no such program") 2>/dev/null || true
        (exec 3<>/dev/tcp/127.0.0.1/1) 2>/dev/null || true
    done
}

main() {
    get
    local listen=127.0.0.1:19100 folder=$work/textfile
    prometheus=http://127.0.0.1:19090
    mkdir "$folder"
    cp /bin/true "$work/seen"

    local tool
    for tool in execsnoop tcpconnect procsnoop mmapsnoop killsnoop; do
        local flags=(--quiet)
        [[ $tool != execsnoop ]] || flags+=(--failed)
        [[ $tool != mmapsnoop ]] || flags+=(--latency)
        [[ $tool != procsnoop ]] || flags=() # without rows it has no events
        background "$tool" "$tools/$tool" --json "${flags[@]}" --status 1 --metrics "$folder/$tool.prom"
        within 30 "the file of $tool" test -e "$folder/$tool.prom"
    done
    background exporter "$packages/usr/bin/prometheus-node-exporter" --collector.disable-defaults \
        --collector.textfile --collector.textfile.directory="$folder" --web.listen-address="$listen"
    cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s}
scrape_configs: [{job_name: node, static_configs: [{targets: ['$listen']}]}]
END
    "$packages/usr/bin/promtool" check config "$work/prometheus.yml" >&2
    background prometheus "$packages/usr/bin/prometheus" --config.file="$work/prometheus.yml" \
        --storage.tsdb.path="$work/data" --web.listen-address="${prometheus#http://}"
    within 30 'Prometheus' asks /-/ready
    work_to_see

    say 'Prometheus has'
    while read -r query condition; do
        within 30 "$query $condition" has "$query" "$condition"
        say "$query = $(value "$query")"
    done <<'END'
sum(snoop_events_total{tool="execsnoop",event="process.exec"}) >=10
sum(snoop_failures_total{tool="execsnoop",error="ENOENT"}) >=10
sum(snoop_failures_total{tool="tcpconnect",error="ECONNREFUSED"}) >=10
sum(snoop_event_duration_seconds_count{tool="tcpconnect"}) >=10
histogram_quantile(0.99,sum(snoop_event_duration_seconds_bucket{tool="tcpconnect"})by(le)) <10
sum(snoop_event_duration_seconds_count{tool="procsnoop"}) >=10
sum(snoop_event_duration_seconds_count{tool="mmapsnoop"}) >=10
count(snoop_start_time_seconds) ==5
count(snoop_lost_events_total) ==5
sum(node_textfile_scrape_error) ==0
END
    for tool in "$folder"/*.prom; do
        "$packages/usr/bin/promtool" check metrics <"$tool" >&2 || die "${tool##*/}: promtool complains"
    done
    say 'promtool agrees'
}

main
