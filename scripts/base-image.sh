#!/usr/bin/env bash
# Makes a base image for the Dockerfile where no image registry can be reached: a minimal Debian from this machine's
# package source, with this machine's own node, npm and CA certificates. Takes a minute or two, as root.
# usage: scripts/base-image.sh [NAME]     then: BASE_IMAGE=NAME docker compose up   (default: quorate-base)
set -euo pipefail
name=${1:-quorate-base}
root=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "base-image: $*" >&2; exit 1; }
. "$root/scripts/debian.sh"
[ "$(id -u)" = 0 ] || fail "debootstrap needs root; or pull an image with Node and name it with BASE_IMAGE=..."
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
docker info >/dev/null 2>&1 || fail "no Docker engine answers"
node=$(readlink -f "$(command -v node)") || fail "node is not on PATH"
npm=$(npm root --global)/npm
[ -e "$npm/bin/npm-cli.js" ] || npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
[ -e "$npm/bin/npm-cli.js" ] || fail "cannot find the folder of this machine's npm"
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
mirror=$(debian_mirror)

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
rootfs=$work/rootfs
debootstrap --variant=minbase "$suite" "$rootfs" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "debootstrap failed"; }
rm -rf "$rootfs"/var/cache/apt/* "$rootfs"/var/lib/apt/lists/* "$rootfs"/usr/share/{doc,man,info,locale}/* \
  "$rootfs"/var/log/*
mkdir -p "$rootfs/usr/local/lib/node_modules" "$rootfs/etc/ssl/certs"
cp "$node" "$rootfs/usr/local/bin/node"
cp -RL "$npm" "$rootfs/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$rootfs/usr/local/bin/npm"
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/"
chroot "$rootfs" node --version >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "this machine's node does not run in the new image"; }
# Named only when it is whole.
image=$(tar -C "$rootfs" -c . | docker import \
  --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' --change 'CMD ["node"]' -)
docker tag "$image" "$name"
docker image inspect --format "{{index .RepoTags 0}}  {{.Size}} bytes  node $(node --version)" "$name"
