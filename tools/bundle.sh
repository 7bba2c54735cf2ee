#!/usr/bin/env bash
# Makes one archive with programs, tests and benchmarks that runs where there is no compiler, package registry or root:
# on a cluster's nodes, on a GPU machine of somebody else's.
# usage: tools/bundle.sh [OUT.tar.gz]              OUT: gestalt-VERSION-linux-ARCHITECTURE.tar.gz
#   VARIANTS="cpu cuda"    cuda needs nvcc and cuDNN's headers here; there it needs NVIDIA's libraries, which `start` looks
#                          for in CUDA's folders and in the `nvidia` packages of the Python on the path
#   ARCHITECTURES="80-real;90"   of GPUs; the last as code for later ones too
# Needs a system as new as the one it is made on (glibc). `start` in the archive says how to use it.
set -euo pipefail
cd "$(dirname "$0")/.."
variants=${VARIANTS:-cpu cuda}
version=$(sed -n 's/^project(gestalt VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=gestalt-$version-linux-$(uname -m)
out=$(realpath -m "${1:-$name.tar.gz}")
programs=(gestalt gestalt_tests gestalt_bench)

tools/install_packages.sh --bundle
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/$name
mkdir -p "$bundle"

for variant in $variants; do
  build=build-bundle-$variant flags=()
  [[ $variant == cuda ]] && flags=(-DGESTALT_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=${ARCHITECTURES:-80-real;90}")
  # The old form of the path to libraries, which also counts for what the libraries themselves need.
  flags+=(-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--disable-new-dtags)
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGESTALT_NATIVE=OFF -DGESTALT_SHARED=ON \
    -DCMAKE_BUILD_RPATH='$ORIGIN/../../lib' -DCMAKE_BUILD_RPATH_USE_ORIGIN=ON "${flags[@]}" >/dev/null
  cmake --build "$build" --target gestalt_program gestalt_tests gestalt_bench
  mkdir -p "$bundle/bin/$variant"
  strip -o "$bundle/bin/$variant/libgestalt.so" "$build/libgestalt.so"
  for program in "${programs[@]}"; do
    strip -o "$bundle/bin/$variant/$program" "$build/$program"
    tools/needed_libraries.sh "$build/$program" "$bundle/lib"
  done
done
if [[ $variants == *cuda* ]]; then
  # libcudart is small, and of the toolkit that this was made with. The others are what `start` looks for.
  needed=$(ldd build-bundle-cuda/gestalt | awk '$1 ~ /^lib(cu|nv)/ {print $1}')
  cp -nL "$(ldd build-bundle-cuda/gestalt | awk '$1 ~ /^libcudart/ {print $3}')" "$bundle/lib/"
  grep -v '^libcudart\|^libcuda\.' <<<"$needed" >"$bundle/bin/cuda/needed"
fi

for program in "${programs[@]}"; do ln -s start "$bundle/$program"; done
install -m 755 tools/bundle_start.sh "$bundle/start"
# What tests and benchmarks read, and the scripts that run them.
mkdir -p "$bundle/source/tests" "$bundle/source/kernels" "$bundle/bench"
cp -r tests/golden "$bundle/source/tests/"
cp kernels/philox.h kernels/random.md "$bundle/source/kernels/"
cp -r bench/peers bench/*.py "$bundle/bench/"
cp tests/run_gpu.sh "$bundle/run_gpu.sh"
cp LICENSE README.md "$bundle/"
find "$bundle" -name __pycache__ -prune -exec rm -rf {} +

tar -C "$work" -czf "$out" "$name"
printf '%s: %s MiB, %s MiB unpacked\n' "$out" "$(du -m "$out" | cut -f1)" "$(du -ms "$bundle" | cut -f1)"
