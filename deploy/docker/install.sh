#!/bin/sh
# How an image of the edge is made, in two steps of which a Dockerfile runs each in a stage of its own:
#
#   install.sh build SOURCE    compiles the source tree and installs it, with all it needs by version and hash, into /opt/edge
#   install.sh run             what the system has to have that runs it: a user without rights, and the folders that are mounted
#
# Both need the same Python, in the same place, 3.11 or newer. `build` needs gcc and Python's headers too, and the network.
# tests/image.py runs the same steps in a tree of Debian's, where there is no engine for containers.
set -eu

build() {
  source=$1
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
  work=$(mktemp -d)
  python3 -m venv "$work/builder"
  "$work/builder/bin/python" -m pip install -q --require-hashes -r "$source/requirements/build.txt"
  EDGE_REQUIRE_COMPILED=1 "$work/builder/bin/python" -m build --no-isolation --wheel --outdir "$work" "$source" >"$work/log" 2>&1 ||
    { tail -n 40 "$work/log" >&2; exit 1; }
  python3 -m venv /opt/edge
  /opt/edge/bin/python -m pip install -q --only-binary :all: --require-hashes -r "$source/requirements/image.txt"
  /opt/edge/bin/python -m pip install -q --no-index --no-deps "$work"/*.whl
  # What only installs, symbols for debuggers, and the packages' own tests are not needed to serve.
  /opt/edge/bin/python -m pip uninstall -q -y setuptools pip
  find /opt/edge -name '*.so' -exec strip --strip-unneeded {} +
  find /opt/edge/lib -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
  python3 -m compileall -q --invalidation-mode unchecked-hash /opt/edge/lib
  EDGE_REQUIRE_COMPILED=1 /opt/edge/bin/edge version
  rm -rf "$work"
}

run() {
  groupadd --gid 10001 edge
  useradd --uid 10001 --gid edge --home-dir /var/lib/edge --no-create-home --shell /usr/sbin/nologin edge
  # The configuration is mounted there, read-only; what was spent is kept there, in a volume.
  mkdir -p /etc/edge /var/lib/edge
  chown edge:edge /var/lib/edge
}

case "${1:-}" in
  build) build "$2" ;;
  run) run ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
