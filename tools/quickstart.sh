#!/usr/bin/env bash
# Installs what is missing, builds, and trains SimCLR on built-in images: no download, some minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/install_packages.sh
cmake -S . -B build -G Ninja -DGESTALT_NATIVE=ON -DGESTALT_TESTS=OFF -DGESTALT_BENCH=OFF >/dev/null
cmake --build build --target gestalt_program
exec build/gestalt pretrain simclr --preset quickstart --report "$@"
