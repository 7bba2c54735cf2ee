#!/usr/bin/env bash
# Builds natively and times the CUDA backend's table of aims on this machine's GPU, beside PyTorch; the table goes to
# bench/results/.
# usage: bench/run_gpu.sh [flags of bench/compare_gpu.py]
#   PYTHON=python3 with torch; BUILD=build-cuda; ARCHITECTURES=native; GESTALT_REHEARSE=1 goes through it on the emulated
#   device, in miniature and without PyTorch, and records nothing
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

if [[ ${GESTALT_REHEARSE:-} == 1 ]]; then
  BUILD=${BUILD:-build-emulated}
  cmake --preset emulated -B "$BUILD" -DGESTALT_BENCH=ON >/dev/null
  cmake --build "$BUILD" --target gestalt_bench
  exec "$PYTHON" bench/compare_gpu.py --build "$BUILD" --quick "$@"
fi

if ! nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
  echo "no CUDA device was found; bench/run_gpu.sh needs a machine with an NVIDIA GPU and its driver" >&2
  exit 1
fi
if ! "$PYTHON" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "$PYTHON has no torch that sees the GPU; say PYTHON=…, the Python of an environment that has one" >&2
  exit 1
fi
BUILD=${BUILD:-build-cuda}
tools/install_packages.sh --tests
cmake --preset cuda -B "$BUILD" "-DCMAKE_CUDA_ARCHITECTURES=${ARCHITECTURES:-native}" >/dev/null
cmake --build "$BUILD" --target gestalt_bench
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr -cs '[:alnum:]' - | sed 's/-$//')
exec "$PYTHON" bench/compare_gpu.py --build "$BUILD" --output "bench/results/gpu-$gpu.md" "$@"
