#!/bin/sh
# try.sh IMAGE: runs the image as it is meant to be run, without rights and on a root that nobody can write to. Ends with 0 if it
# becomes healthy within half a minute, and ends with 0 itself when it is asked to.
set -eu
container=$(docker run --detach --read-only --cap-drop ALL --security-opt no-new-privileges "$1" demo)
trap 'docker rm --force "$container" >/dev/null' EXIT
waited=0
until docker exec "$container" edge health; do
  waited=$((waited + 1))
  [ "$waited" -lt 30 ] || { docker logs "$container" >&2; exit 1; }
  sleep 1
done
docker stop -t 20 "$container" >/dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
[ "$code" = 0 ] || { echo "$1 ended with $code" >&2; exit 1; }
