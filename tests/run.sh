#!/usr/bin/env bash
# Installs what is missing, builds, and runs all the tests. The last line counts them; the exit status says if all passed.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/install_packages.sh --tests
build=${GESTALT_BUILD_DIR:-build}
cmake -S . -B "$build" -G Ninja -DGESTALT_TESTS=ON "$@" >/dev/null
cmake --build "$build" --target gestalt_program gestalt_tests  # the benchmarks are built when asked for

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$build/gestalt_tests" 2>&1 | tee "$log" || status=$?

# doctest's own summary, less the colours of a terminal: "[doctest] test cases: 60 | 59 passed | 1 failed | 0 skipped".
summary=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep '^\[doctest\] test cases:' | tail -n 1 || true)
passed=$(grep -o '[0-9]* passed' <<<"$summary" | cut -d ' ' -f 1 || true)
failed=$(grep -o '[0-9]* failed' <<<"$summary" | cut -d ' ' -f 1 || true)
# A program that crashed before its summary is one failure, and so is a run without a test.
if [[ -z $passed || -z $failed ]] || { ((status != 0)) && ((failed == 0)); } || ((passed + failed == 0)); then
  failed=$((${failed:-0} + 1))
fi
echo "${passed:-0} passed, $failed failed"
((failed == 0))
