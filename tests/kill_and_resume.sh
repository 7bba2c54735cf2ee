#!/usr/bin/env bash
# Kills a run with SIGKILL at random moments, resumes it, and compares it with one that was left alone: the encoder and
# metrics.csv (.jsonl) must be the same bytes. usage: tests/kill_and_resume.sh [BUILD_FOLDER [TIMES [pretrain flags …]]]
set -euo pipefail
build=$(cd "${1:-build}" && pwd)
times=${2:-3}
shift $(($# < 2 ? $# : 2))
flags=("$@")
((${#flags[@]})) || flags=(--preset tiny --data shapes:1024 --epochs 8 --checkpoint-minutes 0.01)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$build/gestalt" pretrain simclr "${flags[@]}" --out "$work/whole" >/dev/null 2>&1
for ((i = 1; i <= times; ++i)); do
  run="$work/killed-$i"
  kills=0
  "$build/gestalt" pretrain simclr "${flags[@]}" --out "$run" >/dev/null 2>&1 &
  while :; do
    program=$!
    if ((kills < 3)); then
      sleep "$((RANDOM % 3)).$((RANDOM % 1000))"
      # A run that was killed before its first checkpoint has nothing to resume: let it come that far.
      while [[ ! -f $run/checkpoint.safetensors ]] && kill -0 "$program" 2>/dev/null; do sleep 0.1; done
    else  # the last kill is in the moment between the export and the row of the last measure
      while [[ ! -f $run/encoder.safetensors ]] && kill -0 "$program" 2>/dev/null; do sleep 0.01; done
    fi
    ((kills > 3)) || kill -KILL "$program" 2>/dev/null || true
    wait "$program" 2>/dev/null && break  # it ended of itself
    ((++kills <= 4)) || { echo "run $i: its last resume failed"; exit 1; }
    "$build/gestalt" pretrain simclr --resume "$run" >/dev/null 2>&1 &
  done
  cmp "$work/whole/encoder.safetensors" "$run/encoder.safetensors"
  cmp "$work/whole/metrics.csv" "$run/metrics.csv"
  cmp "$work/whole/metrics.jsonl" "$run/metrics.jsonl"
  echo "run $i: killed $kills times, resumed, identical"
done
