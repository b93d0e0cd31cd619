#!/usr/bin/env bash
# No crate that a build, a test or a benchmark of this machine's platform uses may need a
# newer Rust than Cargo.toml promises. (That our own code uses nothing newer from the
# standard library is checked by clippy's incompatible_msrv.)

set -euo pipefail
cd "$(dirname "$0")/.."

host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
"${CARGO:-cargo}" metadata --locked --format-version 1 --filter-platform "$host" | jq -r '
    def version: split(".") | map(tonumber) | . + [0, 0, 0] | .[:3];
    (.resolve.root // .workspace_members[0]) as $root
    | (.packages[] | select(.id == $root).rust_version) as $msrv
    | [.resolve.nodes[].id] as $used
    | .packages[]
    | select(.rust_version and (.id | IN($used[])) and (.rust_version | version) > ($msrv | version))
    | "\(.name) \(.version) needs Rust \(.rust_version); Cargo.toml promises \($msrv)"
' | {
    status=0
    while IFS= read -r line; do
        printf 'check-msrv: %s\n' "$line" >&2
        status=1
    done
    exit "$status"
}
