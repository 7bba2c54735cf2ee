#!/usr/bin/env bash
# A program built with CUDA on a machine without a device says so, trains on the CPU, and refuses --device cuda.
# usage: tests/cuda_without_device.sh [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
gestalt=${1:-build-cuda}/gestalt
export CUDA_VISIBLE_DEVICES=  # where there is a device, hides it

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
expect() {
  grep -q -- "$1" "$folder/output" && return
  echo "cuda_without_device: expected '$1' in:" >&2
  cat "$folder/output" >&2
  exit 1
}

"$gestalt" info >"$folder/output" 2>&1
expect "^devices  *cpu$"
expect "^cuda  *no CUDA device was found"
"$gestalt" pretrain simclr --preset tiny --steps 2 --out "$folder/run" >"$folder/output" 2>&1
expect "no CUDA device was found.*; running on the CPU"
expect "trained 2 steps"
if "$gestalt" pretrain simclr --preset tiny --steps 2 --device cuda --out "$folder/cuda" >"$folder/output" 2>&1; then
  echo "cuda_without_device: --device cuda went on without a device" >&2
  exit 1
fi
expect "no CUDA device was found.*use --device cpu"
echo "without a device: says so, trains on the CPU, refuses --device cuda"
