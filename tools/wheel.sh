#!/usr/bin/env bash
# Makes a wheel with the program, the libraries that it needs and the Python module, for any Linux with a C library as new
# as the one it is made on.
# usage: tools/wheel.sh [FOLDER [OPTION…]]     where it is put: dist; options of `pip wheel`
# Then: pip install dist/gestalt_ssl-*.whl
# With ccache it takes a minute where the program was built before. Needs python3-venv, and scikit-build-core and
# auditwheel from PyPI, which it installs for itself alone.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-dist}")
shift $(($# > 0))

tools/install_packages.sh --wheel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CXX=${CXX:-c++}  # as CMake calls it: by the name that Python has for it, ccache would find nothing
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q auditwheel wheel
"$work/venv/bin/pip" wheel -q tools/python --no-deps -w "$work" "$@"
# Its name says which systems it runs on, by the symbols that it needs of their C library.
tag=$("$work/venv/bin/auditwheel" show "$work"/gestalt_ssl-*.whl | grep -o 'manylinux_[0-9_]*_'"$(uname -m)" | head -n 1)
"$work/venv/bin/wheel" tags --remove --platform-tag "$tag" "$work"/gestalt_ssl-*.whl >/dev/null
mkdir -p "$out"
cp "$work"/gestalt_ssl-*.whl "$out/"
ls -l "$out"/gestalt_ssl-*.whl
