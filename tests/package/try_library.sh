#!/usr/bin/env bash
# Builds the README's program with the installed library, by find_package and by pkg-config, and runs both:
# tests/package/try_library.sh PREFIX
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prefix=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake -S "$here" -B "$work/installed" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/installed" >/dev/null
(cd "$work" && installed/uses_gestalt)

folders=$(find "$prefix/lib" -name pkgconfig -printf '%p:')
flags=$(PKG_CONFIG_PATH=$folders pkg-config --cflags --libs gestalt)
c++ -O2 "$here/main.cpp" -o "$work/by_pkg_config" $flags
(cd "$work" && ./by_pkg_config)
cmp "$work"/runs/*/metrics.csv || { echo "error: the two programs learned otherwise" >&2; exit 1; }
