#!/usr/bin/env bash
# Replays the seeds of every fuzz target and searches on from them, as many targets at once as there are cores.
#   tests/fuzz/run.sh [SECONDS] [TARGET…]      SECONDS of search a target (20); an input that fails is kept in build-fuzz
# Prints a row a target: executions, edges reached, seconds of processor time, findings. Needs clang.
set -uo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-20}
targets=("${@:2}")
((${#targets[@]})) || for source in tests/fuzz/*.cpp; do targets+=("$(basename "$source" .cpp)"); done

cmake --preset fuzz >/dev/null && cmake --build --preset fuzz -- --quiet || exit 1

cores=$(nproc)  # which OMP_NUM_THREADS would make one
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1
fuzz() {
  local target=$1 seconds=$2 work=build-fuzz/$1 status=0
  mkdir -p "$work/found"
  local TIMEFORMAT='processor: %U'
  { time build-fuzz/fuzz_"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="$work/" -seed=1 "$work/found" "tests/fuzz/corpus/$target" >"$work/log" 2>&1; } 2>"$work/time" || status=1
  awk -v target="$target" -v status="$status" '
    match($0, /cov: [0-9]+/) { edges = substr($0, RSTART + 5, RLENGTH - 5) }
    /number_of_executed_units/ { runs = $2 }
    /^processor:/ { seconds = $2 }
    END { printf "%-16s %9d executions  %6d edges  %6.0f s  %s\n", target, runs, edges, seconds, status ? "FAILED" : "no finding" }' \
    "$work/log" "$work/time"
  ((status)) && grep -aE -A 15 'ERROR: |runtime error|exception|Test unit written' "$work/log" | head -n 40
  return $status
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "$cores" -I {} bash -c "fuzz {} $seconds"
