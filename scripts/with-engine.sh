#!/usr/bin/env bash
# Runs a command with a Docker engine and docker compose: those of this machine, or else, as root on a Debian, the
# distribution's packages and an engine that is started for the command and stopped after it. Brings debootstrap, too,
# which scripts/base-image.sh needs. What the command finds missing then is a failure, no reason to skip.
# usage: scripts/with-engine.sh COMMAND...
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools/docker
fail() { echo "with-engine: $*" >&2; exit 1; }
say() { echo "with-engine: $*" >&2; }
. "$root/scripts/debian.sh"
[ $# -gt 0 ] || fail "usage: scripts/with-engine.sh COMMAND..."
mkdir -p "$tools"

is_debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# install PACKAGE...: from the machine's own package sources.
install() {
  is_debian_root || fail "no engine answers and $* cannot be installed: start Docker yourself and try again"
  say "installing $*"
  { apt-get -qq -o Acquire::Retries=3 update && DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y -o Acquire::Retries=3 install --no-install-recommends "$@"; } >"$tools/install.log" 2>&1 ||
    { tail -n 20 "$tools/install.log" >&2; fail "cannot install $*"; }
}

# The engine's own networks must not take larger packets than the machine's way out.
mtu() { cat "/sys/class/net/$(awk '$2 == "00000000" { print $1; exit }' /proc/net/route)/mtu" 2>/dev/null || echo 1500; }

engine=
command=
end() {
  if [ -n "$command" ]; then
    kill "$command" 2>/dev/null || true
    wait "$command" || true
  fi
  if [ -n "$engine" ]; then
    say "stopping the engine"
    kill "$engine" 2>/dev/null || true
    wait "$engine" || true
  fi
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! docker info >/dev/null 2>&1; then
  command -v dockerd >/dev/null || install docker.io iptables
  # Since Debian 13 a package of its own.
  command -v docker >/dev/null || install docker-cli
fi
if ! docker info >/dev/null 2>&1; then
  say "starting an engine (log: .tools/docker/dockerd.log)"
  # In a session of its own: Ctrl-C is for the command, which needs the engine to clean up.
  setsid dockerd --mtu "$(mtu)" >"$tools/dockerd.log" 2>&1 &
  engine=$!
  for _ in $(seq 120); do
    docker info >/dev/null 2>&1 && break
    kill -0 "$engine" 2>/dev/null || { tail -n 20 "$tools/dockerd.log" >&2; engine=; fail "the engine ended"; }
    sleep 0.5
  done
  docker info >/dev/null || { tail -n 20 "$tools/dockerd.log" >&2; fail "the engine does not answer"; }
fi

if ! docker compose version >/dev/null 2>&1; then
  if [ ! -x "$tools/cli-plugins/docker-compose" ]; then
    say "fetching docker compose into .tools/docker"
    debian_unpack "$tools/unpacked" trixie docker-compose
    mkdir -p "$tools/cli-plugins"
    mv "$tools/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$tools/cli-plugins/"
    rm -rf "$tools/unpacked"
  fi
  # The user's own settings go along: without them docker might ask another engine.
  for setting in config.json contexts; do
    [ ! -e "${DOCKER_CONFIG:-$HOME/.docker}/$setting" ] || cp -R "${DOCKER_CONFIG:-$HOME/.docker}/$setting" "$tools/"
  done
  export DOCKER_CONFIG=$tools
  docker compose version >/dev/null || fail "docker compose does not run on this machine"
fi

if is_debian_root && ! command -v debootstrap >/dev/null; then install debootstrap; fi

export QUORATE_DOCKER=required
"$@" <&0 &
command=$!
status=0
wait "$command" || status=$?
command=
exit "$status"
