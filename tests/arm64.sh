#!/usr/bin/env bash
# Builds program and tests for arm64 on another processor and runs them under qemu, from a fresh Debian 12 as root.
#   tests/arm64.sh [-tc=FILTER…]     options of doctest; by default kernels, ops, layers' products and every method's step
# Debian's libraries for arm64 are unpacked in build-arm64/root, beside the build; nothing of the host's is changed by them.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/install_packages.sh --arm64
root=$PWD/build-arm64/root
if [[ ! -e $root/usr/lib/aarch64-linux-gnu/libdnnl.so ]]; then
  rm -rf "$root" && mkdir -p build-arm64
  mmdebstrap --quiet --variant=extract --architectures=arm64 --include="$(tools/install_packages.sh --libraries | paste -sd,)" \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root"
fi
cmake -S . -B build-arm64 -G Ninja -DCMAKE_TOOLCHAIN_FILE=tools/cmake/arm64.cmake -DGESTALT_ARM64_ROOT="$root" \
  -DGESTALT_TESTS=ON -DGESTALT_BENCH=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >/dev/null
cmake --build build-arm64 --target gestalt_program gestalt_tests

export QEMU_LD_PREFIX=$root OMP_NUM_THREADS=1
qemu-aarch64-static build-arm64/gestalt info
# The case of OpenMP's variables starts the program itself, which takes an interpreter that the system knows.
(($#)) || set -- -tc="*op table*,*conv2d*,*attention*,* step *,product*,*philox*,*team*" -tce="team: OpenMP*"
exec qemu-aarch64-static build-arm64/gestalt_tests "$@"
