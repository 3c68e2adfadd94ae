#!/usr/bin/env bash
# Fetches a real etcd, etcdctl and etcdutl (3.5) out of Debian's packages into DIR (default: .tools/etcd), for the tests.
# Nothing is installed on the machine and its package sources stay as they are. Prints the folder of the programs.
# usage: scripts/install-etcd.sh [DIR]
set -euo pipefail
dir=${1:-"$(cd "$(dirname "$0")/.." && pwd)/.tools/etcd"}
if [ -x "$dir/usr/bin/etcdctl" ] && [ -x "$dir/usr/bin/etcd" ]; then
  echo "$dir/usr/bin"
  exit 0
fi
fail() { echo "install-etcd: $*" >&2; exit 1; }
command -v apt-get >/dev/null || fail "this is no Debian (apt-get is missing): put etcdctl on PATH yourself"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '/debian/?$' | head -n 1) || true
[ -n "$mirror" ] || mirror=$(grep -rhoE 'https?://[^ ]+/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1) || true
[ -n "$mirror" ] || fail "no Debian package source is configured on this machine"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/out"
: >"$work/status"
for suite in trixie sid; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$work/sources.list"
apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State=$work/state"
  -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User="$(id -un)"
  -o Debug::NoLocking=1 -o Acquire::Retries=3)
"${apt[@]}" update >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "cannot read Debian's package lists"; }
cd "$work/out"
"${apt[@]}" download etcd-server etcd-client >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "cannot download etcd's packages"; }
mkdir -p "$dir"
for package in *.deb; do dpkg -x "$package" "$dir"; done
"$dir/usr/bin/etcdctl" version >/dev/null || fail "the etcdctl in Debian's package does not run on this machine"
echo "$dir/usr/bin"
