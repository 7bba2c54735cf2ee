#!/usr/bin/env bash
# Checks what is installed and packed from a build: tests/package/run.sh BUILD_FOLDER [--wheel] [--subdirectory] [--roots FOLDER]
# Installs it, uses the program and the library, makes a Debian package, and uses that.
#   --wheel          also makes a Python wheel, which is a build of its own, and uses it; needs PyPI
#   --subdirectory   also builds the library inside another project, which takes as long as the first build
#   --roots FOLDER   also makes clean roots of Debian 12 and 13 there, builds and uses the packages in them: see roots.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "-- installed"
cmake --install "$build" --prefix "$work/prefix" >/dev/null
PATH=$work/prefix/bin:$PATH "$here/try_program.sh" "$work/prefix/share"
"$here/try_library.sh" "$work/prefix"

echo "-- Debian package"
cpack --config "$build/CPackConfig.cmake" -B "$work/deb" >/dev/null
for package in gestalt libgestalt-dev; do
  deb=$(echo "$work/deb/${package}"_*.deb)
  dpkg-deb --field "$deb" Package Version Depends Installed-Size
  dpkg-deb -x "$deb" "$work/root"
  ls "$work/root/usr/share/doc/$package/copyright" >/dev/null
done
dpkg-deb --field "$work/deb/gestalt"_*.deb Depends | grep -q 'libdnnl.*libfmt' || { echo "error: Depends" >&2; exit 1; }
PATH=$work/root/usr/bin:$PATH "$here/try_program.sh" "$work/root/usr/share" ""

while (($#)); do
  case $1 in
    --wheel)
      echo "-- wheel"
      same=()  # flags, so that ccache has what the build has
      ! grep -q '^CMAKE_COMPILE_WARNING_AS_ERROR.*=ON' "$build/CMakeCache.txt" || same=(--config-settings=cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON)
      "$source/tools/wheel.sh" "$work/dist" "${same[@]}"
      python3 -m venv "$work/venv"
      "$work/venv/bin/pip" install -q "$work"/dist/*.whl pillow
      PATH=$work/venv/bin:$PATH "$here/try_module.py"
      PATH=$work/venv/bin:$PATH gestalt info >/dev/null
      ;;
    --subdirectory)
      cmake -S "$here" -B "$work/inside" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGESTALT_SOURCE="$source" >/dev/null
      cmake --build "$work/inside" --target uses_gestalt >/dev/null
      (cd "$work" && inside/uses_gestalt)
      ;;
    --roots) "$here/roots.sh" "$2"; shift ;;
    *) echo "unknown: $1" >&2; exit 2 ;;
  esac
  shift
done
