#!/usr/bin/env bash
# Times the CUDA backend on this machine's GPU, beside PyTorch where the Python on the path has it: the benchmarks and the
# profile of tests/run_gpu.sh, whose flags these are. bench/compare_gpu.py --output bench/results/FILE.md keeps a table.
exec "$(dirname "$0")/../tests/run_gpu.sh" --only benchmarks,profile "$@"
