#!/usr/bin/env bash
# Proves the CUDA backend on this machine's GPU: builds natively, runs all tests, then compute-sanitizer's four tools over
# the kernel tests. One line a stage at the end; the exit status says if all passed.
# usage: tests/run_gpu.sh [doctest flags for the suite]
#   BUILD=build-cuda; ARCHITECTURES=native; GESTALT_REHEARSE=1 goes through it on the emulated device
# shellcheck disable=SC2317  # functions are called by name, through stage
set -uo pipefail
cd "$(dirname "$0")/.." || exit
if [[ ${GESTALT_REHEARSE:-} == 1 ]]; then
  BUILD=${BUILD:-build-emulated} configuration=(--preset emulated)
else
  BUILD=${BUILD:-build-cuda} configuration=(--preset cuda "-DCMAKE_CUDA_ARCHITECTURES=${ARCHITECTURES:-native}")
  if ! nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
    echo "no CUDA device was found; tests/run_gpu.sh needs a machine with an NVIDIA GPU and its driver" >&2
    exit 1
  fi
fi
kernel_tests=("--test-case=op table: cuda*,cuda*")

summary=() failed=0
# Runs the rest of the arguments as the stage named by the first.
stage() {
  local name=$1 begin=$SECONDS result=passed
  shift
  echo "== $name"
  "$@" || result=FAILED failed=1
  summary+=("$(printf '%-22s %s, %d s' "$name" "$result" $((SECONDS - begin)))")
  [[ $result == passed ]]
}
finish() {
  echo
  printf '%s\n' "${summary[@]}"
  exit "$failed"
}

build() {
  tools/install_packages.sh --tests &&
    cmake "${configuration[@]}" -B "$BUILD" -DGESTALT_BENCH=OFF >/dev/null && cmake --build "$BUILD"
}
# The program must see the device, or the tests would be about nothing.
device() { "$BUILD/gestalt" info | tee /dev/stderr | grep -q '^devices *cpu cuda$'; }
sanitize() {
  compute-sanitizer --tool "$1" --error-exitcode 9 --kernel-regex kns=gestalt "$BUILD/gestalt_tests" "${kernel_tests[@]}"
}

stage "build" build || finish
stage "device" device || finish
stage "kernels" "$BUILD/gestalt_tests" "${kernel_tests[@]}"
stage "suite" "$BUILD/gestalt_tests" "$@"
for tool in memcheck racecheck initcheck synccheck; do
  if command -v compute-sanitizer >/dev/null; then
    stage "$tool" sanitize "$tool"
  else
    summary+=("$(printf '%-22s %s' "$tool" "not run: there is no compute-sanitizer")")
  fi
done
finish
