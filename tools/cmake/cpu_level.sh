#!/usr/bin/env bash
# Makes one object of those of a level: tools/cmake/cpu_level.sh LEVEL LD NM OBJCOPY OUTPUT OBJECTS…
# The run() and scratch_bytes() of gestalt::kernels::cpu move to the namespace cpu_LEVEL, and every other symbol becomes
# the object's own. So no inline function of a header that was compiled here with the level's instructions can be the one
# that the linker keeps for the whole program, which then would not run on lesser processors.
set -euo pipefail
level=$1 ld=$2 nm=$3 objcopy=$4 output=$5
shift 5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$ld" -r --force-group-allocation -o "$work/all.o" "$@"

namespace=cpu_$level
"$nm" --defined-only --extern-only "$work/all.o" | awk -v from=7kernels3cpu -v to="7kernels${#namespace}$namespace" '
  $3 ~ /^_ZN7gestalt7kernels3cpu(3run|13scratch_bytes)E/ { name = $3; sub(from, to, name); print $3, name }' >"$work/names"
cut -d ' ' -f 2 "$work/names" >"$work/kept"
"$objcopy" --redefine-syms="$work/names" "$work/all.o" "$work/named.o"
"$objcopy" --keep-global-symbols="$work/kept" "$work/named.o" "$output"
