#!/usr/bin/env bash
# otlp.sh [FOLDER]: otlp.py with the programs of the tarball in FOLDER (default: target/packages), and
# with OpenTelemetry's definitions and names from PyPI. Needs root.

set -euo pipefail
cd "$(dirname "$0")/../.."
tarball=$(echo "${1:-target/packages}"/*-linux.tar.gz)
venv=target/otlp-venv
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check \
    opentelemetry-proto==1.45.2 opentelemetry-semantic-conventions==0.66b2 protobuf==7.36.2 PyYAML==6.0.3
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
tar -xzf "$tarball" -C "$programs" --strip-components 1
"$venv/bin/python" tests/packages/otlp.py "$programs/bin"
