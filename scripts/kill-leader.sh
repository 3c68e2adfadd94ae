#!/usr/bin/env bash
# Kills the leader of the cluster that runs here, local or in containers; --help tells more.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
built=$root/dist/scripts/kill-leader.js
[ -e "$built" ] || { echo "not built yet: run npm ci && npm run build first" >&2; exit 1; }
exec node "$built" "$@"
