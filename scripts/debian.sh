# For scripts that take programs out of Debian's packages without installing them. Source it; `fail` must be defined.

# Prints the Debian mirror that this machine is set up to use.
debian_mirror() {
  command -v apt-get >/dev/null || fail "this is no Debian (apt-get is missing)"
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '/debian/?$' | head -n 1) || true
  [ -n "$mirror" ] || mirror=$(grep -rhoE 'https?://[^ ]+/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1) || true
  [ -n "$mirror" ] || fail "no Debian package source is configured on this machine"
  echo "$mirror"
}

# debian_unpack DIR "SUITE..." PACKAGE...: unpacks the newest of these suites' packages into DIR, without their
# dependencies. The machine's package sources and what is installed stay as they are.
debian_unpack() (
  set -euo pipefail
  dir=$1 suites=$2
  shift 2
  mirror=$(debian_mirror)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/out"
  : >"$work/status"
  for suite in $suites; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$work/sources.list"
  apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State=$work/state"
    -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User="$(id -un)"
    -o Debug::NoLocking=1 -o Acquire::Retries=3)
  "${apt[@]}" update >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "cannot read Debian's package lists"; }
  (cd "$work/out" && "${apt[@]}" download "$@") >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; fail "cannot download $*"; }
  mkdir -p "$dir"
  for package in "$work"/out/*.deb; do dpkg -x "$package" "$dir"; done
)
