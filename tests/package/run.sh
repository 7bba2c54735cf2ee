#!/usr/bin/env bash
# Checks both ways to link Gestalt: tests/package/run.sh BUILD_FOLDER installs that build and uses it by find_package; with
# --subdirectory it also builds the library again inside the other project, which takes as long as the first build.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$here" -B "$work/installed" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/installed" >/dev/null
(cd "$work" && installed/uses_gestalt)
"$work/prefix/bin/gestalt" info >/dev/null

if [[ ${2:-} == --subdirectory ]]; then
  cmake -S "$here" -B "$work/inside" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGESTALT_SOURCE="$here/../.." >/dev/null
  cmake --build "$work/inside" --target uses_gestalt >/dev/null
  (cd "$work" && inside/uses_gestalt)
fi
