#!/usr/bin/env bash
# Checks a build with levels: tests/cpu_levels.sh BUILD_FOLDER. Each level's object shows the program the level's kernels
# alone and computes nothing at the start; of what the program shows, nothing else has wide registers; GESTALT_ISA chooses.
set -euo pipefail
cd "$1"
status=0
complain() {
  echo "error:" "$@"
  status=1
}

for level in v3 v4 v4_bf16; do
  shown=$(nm -C --defined-only --extern-only "kernels_$level.o" | cut -d ' ' -f 3-)
  others=$(grep -vE "^gestalt::kernels::cpu_$level::(run|scratch_bytes)\(" <<<"$shown" || true)
  [[ -z $others ]] || complain "kernels_$level.o shows besides kernels:" "$others"
  (($(wc -l <<<"$shown") > 40)) || complain "kernels_$level.o lacks kernels"
  # Headers open <iostream> at the start, on any processor: plain moves and calls.
  begins=$(objdump -d --no-show-raw-insn "kernels_$level.o" | awk '
    /^[0-9a-f]+ </ { start = /<(_GLOBAL__sub_I|__cxx_global_var_init|__static_init)/ }
    start && / .*\t/ && $2 !~ /^(push|pop|lea|mov|call|jmp|ret|nop|nopw|nopl|endbr64|cs|data16|xchg|sub|add|xor)[lqw]?$/' | head)
  [[ -z $begins ]] || complain "kernels_$level.o runs its own instructions at the program's start:" "$begins"
done

# Functions that other objects may call: at these addresses there is no register of AVX or AVX-512.
leaked=$({
  nm --defined-only --extern-only gestalt | grep -v '6cpu_v3\|6cpu_v4\|11cpu_v4_bf16'
  objdump -d --no-show-raw-insn gestalt
} | awk '/^[0-9a-f]+ [A-Za-z] / { shown[$1]; next }
         /^[0-9a-f]+ </ { address = $1; name = $2 }
         /%[yz]mm/ && address in shown && !told[name]++ { print name }')
[[ -z $leaked ]] || complain "the program has instructions of a higher level in" "$leaked"

for level in v2 v3 v4 v4_bf16; do
  said=$(GESTALT_ISA=$level ./gestalt info 2>&1 || true)
  [[ $said == *"for x86-64-$level,"* || $said == *"got GESTALT_ISA=$level, expected up to"* ]] ||
    complain "GESTALT_ISA=$level gestalt info says: $said"
done
said=$(GESTALT_ISA=v9 ./gestalt info 2>&1) && complain "GESTALT_ISA=v9 is taken"
[[ $said == *"expected v2, v3, v4 or v4_bf16"* ]] || complain "GESTALT_ISA=v9 gestalt info says: $said"
exit $status
