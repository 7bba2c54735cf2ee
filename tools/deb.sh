#!/usr/bin/env bash
# Builds Debian packages for the release that this is run on: gestalt and libgestalt-dev.
# usage: tools/deb.sh [FOLDER [OPTION…]]     where they are put: dist; options of CMake
# Then: sudo apt install ./dist/gestalt_*.deb
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-dist}")
shift $(($# > 0))
build=${GESTALT_BUILD_DIR:-build-deb}

tools/install_packages.sh --deb
cmake -S . -B "$build" -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DGESTALT_TESTS=OFF -DGESTALT_BENCH=OFF "$@" >/dev/null
cmake --build "$build"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)} \
  cpack --config "$build/CPackConfig.cmake" -B "$out/work" >/dev/null
mv "$out"/work/*.deb "$out/"
rm -r "$out/work"
ls -l "$out"/*.deb
