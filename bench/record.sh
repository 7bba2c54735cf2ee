#!/usr/bin/env bash
# Measures what bench/results/ records of a machine. Run it when nothing else runs there.
# usage: bench/record.sh [kernels] [steps] [profile] [compare] [growth]     default: all, about 40 minutes on two cores
#   PYTHON=python3 with torch, torchvision, matplotlib; BUILD=build; OUT=bench/results; DEVICE=cpu
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3} BUILD=${BUILD:-build} OUT=${OUT:-bench/results} DEVICE=${DEVICE:-cpu}
(($#)) || set -- kernels steps profile compare growth

# A record's first lines: what it is, the command, the machine and the day.
heading() {
  printf '# %s\n\n`%s` on %s, %s cores, %s:\n' "$1" "$2" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" \
    "$(nproc)" "$(date -I)"
}

for what in "$@"; do
  echo "== $what" >&2
  case $what in
    kernels)
      { heading "Kernels against the machine's ceilings" "gestalt_bench table" && "$BUILD/gestalt_bench" table; } \
        >"$OUT/kernels-$DEVICE.md"
      ;;
    steps)
      {
        heading "Training steps, arrow by arrow" "gestalt_bench table --filter ^step/"
        "$BUILD/gestalt_bench" table --filter '^step/'
      } >"$OUT/steps-$DEVICE.md"
      ;;
    profile)
      {
        heading "Where a training step's time goes" "gestalt_bench profile"
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
