#!/usr/bin/env bash
# Fetches a real etcd, etcdctl and etcdutl (3.5) out of Debian's packages into DIR (default: .tools/etcd), for the tests.
# Nothing is installed on the machine and its package sources stay as they are. Prints the folder of the programs.
# usage: scripts/install-etcd.sh [DIR]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-"$root/.tools/etcd"}
fail() { echo "install-etcd: $*. Put etcdctl and etcd on PATH yourself." >&2; exit 1; }
. "$root/scripts/debian.sh"
if ! { [ -x "$dir/usr/bin/etcdctl" ] && [ -x "$dir/usr/bin/etcd" ]; }; then
  debian_unpack "$dir" "trixie sid" etcd-server etcd-client
  "$dir/usr/bin/etcdctl" version >/dev/null || fail "the etcdctl in Debian's package does not run on this machine"
fi
echo "$dir/usr/bin"
