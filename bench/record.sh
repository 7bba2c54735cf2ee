#!/usr/bin/env bash
# Measures what bench/results/ records of a machine. Run it when nothing else runs there.
# usage: bench/record.sh [kernels] [steps] [profile] [compare] [growth]     default: all, about 40 minutes on two cores
#   PYTHON=python3 with torch, torchvision, matplotlib; BUILD=build; OUT=bench/results; DEVICE=cpu
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3} BUILD=${BUILD:-build} OUT=${OUT:-bench/results} DEVICE=${DEVICE:-cpu}
(($#)) || set -- kernels steps profile compare growth

for what in "$@"; do
  echo "== $what" >&2
  case $what in
    kernels) "$BUILD/gestalt_bench" table >"$OUT/kernels-$DEVICE.md" ;;
    steps) "$BUILD/gestalt_bench" table --filter '^step/' >"$OUT/steps-$DEVICE.md" ;;
    profile)
      {
        echo "# Where a training step's time goes"
        echo
        echo "\`gestalt_bench profile\` on $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(date -I):"
        echo "$("$BUILD/gestalt_bench" machine). 'Of floor' is the time that a"
        echo "kernel's traffic and arithmetic take at those rates over the time it took; above 1, the data was in the cache."
        echo
        for workload in simclr byol mae gpt-6x384; do
          for dtype in f32 bf16; do "$BUILD/gestalt_bench" profile "$workload" --dtype $dtype --device "$DEVICE"; done
        done
        "$BUILD/gestalt_bench" profile gpt-4x128 --device "$DEVICE"
      } >"$OUT/profile-$DEVICE.md"
      ;;
    compare)
      for run in 1 2; do
        "$PYTHON" bench/compare.py --build "$BUILD" --device "$DEVICE" --output "$OUT/compare-$DEVICE-$run.md"
      done
      "$PYTHON" bench/compare.py --spread "$OUT/compare-$DEVICE-1.json" "$OUT/compare-$DEVICE-2.json" \
        >"$OUT/compare-$DEVICE-spread.md"
      ;;
    growth) "$PYTHON" bench/growth.py --build "$BUILD" --output "$OUT/growth-$DEVICE.png" ;;
    *) echo "no part '$what'; there are kernels, steps, profile, compare, growth" >&2 && exit 2 ;;
  esac
done
