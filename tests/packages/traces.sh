#!/usr/bin/env bash
# traces.sh [FOLDER]: traces.py with the programs of the tarball in FOLDER (default:
# target/packages), and with Perfetto's definitions from PyPI. Needs root.

set -euo pipefail
cd "$(dirname "$0")/../.."
tarball=$(echo "${1:-target/packages}"/*-linux.tar.gz)
venv=target/perfetto-venv
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check perfetto==0.59.1 protobuf==7.36.2
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
tar -xzf "$tarball" -C "$programs" --strip-components 1
"$venv/bin/python" tests/packages/traces.py "$programs/bin"
