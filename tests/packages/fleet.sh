#!/usr/bin/env bash
# fleet.sh [FOLDER]: fleet.py with the programs of the tarball in FOLDER (default: target/packages), and
# with the engines from PyPI. What Kubernetes and other engines are told, by schemas and references.
# Needs root.

set -euo pipefail
cd "$(dirname "$0")/../.."
tarball=$(echo "${1:-target/packages}"/*-linux.tar.gz)
venv=target/fleet-venv
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check \
    chdb==4.4.0 chdb-core==26.9.0 duckdb==2.0.0 duckdb-cli==1.5.6 PyYAML==6.0.3 kubernetes-validate==1.37.0 pyvrl==0.0.2
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
tar -xzf "$tarball" -C "$programs" --strip-components 1
if [[ ! -x target/kubectl/usr/bin/kubectl ]]; then
    # Debian 12's. Unpacked aside: the system stays as it is.
    mkdir -p target/kubectl
    (cd target/kubectl && apt-get -qq -o APT::Sandbox::User=root download kubernetes-client)
    dpkg-deb --extract target/kubectl/kubernetes-client_*.deb target/kubectl
fi
"$venv/bin/python" tests/packages/kubernetes.py target/kubectl/usr/bin/kubectl
"$venv/bin/python" tests/packages/grammar.py
"$venv/bin/python" tests/packages/fleet.py "$programs/bin"
