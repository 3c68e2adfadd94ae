#!/usr/bin/env bash
# Kills the leader of the cluster that runs here, local or in containers; --help tells more.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
node -e 'import(process.argv[1]).then(({ ensure }) => ensure())' "$root/scripts/ensure.mjs" >&2
exec node "$root/dist/scripts/kill-leader.js" "$@"
