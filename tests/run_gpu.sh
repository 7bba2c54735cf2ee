#!/usr/bin/env bash
# Proves the CUDA backend on this machine's GPU within a limit of time, and times it: from a bundle (tools/bundle.sh), in
# whose folder it lies, or from a build. Needs no network. First facts first, each result on the disk at once:
#   device      what is there; the program must see it
#   smoke       each op's rows in a process of their own, launches waited for
#   cases       the test cases that name cuda or every device, a process each
#   trainings   three at once, which must reach what they reach on a CPU
#   benchmarks  rows of `gestalt_bench run`, a line of JSON as each is measured; a row that fails is a row; with torch in
#               the Python on the path, PyTorch's beside them
#   profile     gestalt_bench profile of a step
#   sanitizers  compute-sanitizer's racecheck and memcheck on the kernels' rows, for as long as is left
# usage: tests/run_gpu.sh [--seconds 330] [--out gpu-results] [--build build-cuda] [--only smoke,cases] [--images DIR] [--text FILE]
#   GESTALT_REHEARSE=1 goes through it on the emulated device (--build build-emulated), in miniature
# Ends with a summary of at most 40 lines, also in OUT/summary.txt; the status says whether all passed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds=330 out=gpu-results build='' only=device,smoke,cases,trainings,benchmarks,profile,sanitizers images='' text=''
while (($#)); do
  case $1 in
    --seconds) seconds=$2 ;; --out) out=$2 ;; --build) build=$2 ;; --only) only=device,$2 ;; --images) images=$2 ;; --text) text=$2 ;;
    *) sed -n '2,/^set/p' "$0" | sed 's/^# \{0,1\}//; /^set/d' >&2; exit 2 ;;
  esac
  shift 2
done
rehearse=${GESTALT_REHEARSE:-0}
if [[ -x $here/start ]]; then
  programs=$here bench_scripts=$here/bench
else
  default=build-cuda
  ((rehearse)) && default=build-emulated
  programs=$(cd "${build:-$here/../$default}" && pwd) || exit 2
  bench_scripts=$here/../bench
fi
out=$(realpath -m "$out")
rm -rf "$out"/{smoke,cases,runs}
mkdir -p "$out/smoke" "$out/cases" "$out/runs"
export GESTALT_VARIANT=${GESTALT_VARIANT:-}
tests=$programs/gestalt_tests bench=$programs/gestalt_bench gestalt=$programs/gestalt

begin=$SECONDS
left() { echo $((seconds - SECONDS + begin)); }
# Seconds that a part may take: at most $1, and what is left.
share() { local rest; rest=$(left); echo $((rest < $1 ? (rest > 1 ? rest : 1) : $1)); }
summary=() failed=0
note() {
  summary+=("$1")
  printf '%s\n' "$1" | tee -a "$out/summary.txt"
}
wanted() { [[ ,$only, == *,$1,* ]] && (($(left) > 2)); }
result() { # NAME STATUS TEXT
  if (($2)); then failed=1; fi
  note "$(printf '%-11s %-6s %s (at %d s)' "$1" "$( (($2)) && echo FAILED || echo passed)" "$3" $((SECONDS - begin)))"
}
: >"$out/summary.txt"

device() {
  { if command -v nvidia-smi >/dev/null; then
      nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader
    fi
    lscpu | grep -E '^Model name|^CPU\(s\)'
    "$gestalt" info; } >"$out/device.txt" 2>&1
  local said=0
  grep -q '^devices *cpu cuda' "$out/device.txt" || said=1
  result device $said "$({ grep -m1 '^cuda' "$out/device.txt" || tail -n 1 "$out/device.txt"; } | cut -c1-110)"
  return $said
}

# One process for each line of input, `jobs` at once, for at most `most` seconds in all: the function is called with the
# line; counts in `folder` what failed and what did not end. What runs within must stay in timeout's process group
# (--foreground), or it outlives it.
each() { # FUNCTION FOLDER JOBS MOST
  local function=$1 folder=$2 jobs=$3 most=$4
  export -f "${function?}"
  timeout "$(share "$most")" xargs -d '\n' -P "$jobs" -I {} bash -c "$function \"\$1\"" _ {}
  bad=$(grep -L '^status 0$' "$folder"/*.txt 2>/dev/null | wc -l) all=$(find "$folder" -name '*.txt' | wc -l)
}
name_of() { tr -c 'a-zA-Z0-9\n' _ <<<"$1" | cut -c1-80; }
export -f name_of
export tests out

smoke_one() {
  timeout --foreground 60 env GESTALT_SYNC=1 GESTALT_OP="$1" "$tests" -nc -tc="op table: cuda*" >"$out/smoke/$(name_of "$1").txt" 2>&1
  echo "status $?" >>"$out/smoke/$(name_of "$1").txt"
}
smoke() {
  "$bench" --benchmark_list_tests 2>/dev/null | cut -d/ -f1 | cut -d' ' -f1 | sort -u >"$out/ops.txt"
  ((rehearse)) && sed -i '4,$d' "$out/ops.txt"
  each smoke_one "$out/smoke" 8 60 <"$out/ops.txt"
  result smoke $((bad > 0 || all == 0)) "$((all - bad)) of $all ops"
  failures smoke
}
case_one() {
  timeout --foreground 120 "$tests" -nc -tc="$(sed 's/[,*]/?/g' <<<"$1")" >"$out/cases/$(name_of "$1").txt" 2>&1
  echo "status $?" >>"$out/cases/$(name_of "$1").txt"
}
cases() {
  "$tests" -nc -ltc -tc="*cuda*,*every device*" 2>/dev/null | grep -v '^\[doctest\]\|^===' | grep -v '^op table' >"$out/cases.txt"
  ((rehearse)) && sed -i '4,$d' "$out/cases.txt"
  each case_one "$out/cases" 6 120 <"$out/cases.txt"
  result cases $((bad > 0 || all == 0)) "$((all - bad)) of $all test cases"
  failures cases
}
failures() {
  local file
  grep -L '^status 0$' "$out/$1"/*.txt 2>/dev/null | head -n 6 | while read -r file; do
    note "  $(basename "$file" .txt): $(grep -aE -m1 'ERROR|error|THREW|FAILED' "$file" | cut -c1-100)"
  done
}

# VALUE LIMIT IS_LOSS: whether what a run reached is as good as it must be (≥, or ≤ for a loss).
reached() { awk -v have="$1" -v want="$2" -v less="$3" 'BEGIN { exit !(have != "" && (less ? have <= want : have >= want)) }'; }
train_one() { # NAME FLAGS…
  local name=$1
  shift
  timeout "$limit" "$gestalt" pretrain "$@" --device cuda --out "$out/runs/$name" >"$out/runs/$name.log" 2>&1
}
last_measure() { awk -F, 'NR > 1 && $NF != "" {v = $NF} END {print v}' "$out/runs/$1/metrics.csv" 2>/dev/null; }
trainings() {
  limit=$(share 110)
  local names=(shapes gpt images) least=(43 0.6 20) fewer=(0 1 0) jobs=() i status value
  local shapes=(simclr --preset quickstart)
  local gpt=(gpt --preset shakespeare-char --data "${text:+text:}${text:-sums:200000}" --steps 2000)
  local images_run=(vicreg --data shapes:4096 --model resnet18 --width 32 --batch 256 --epochs 10 --head-hidden 512 --head-out 512
                    --optimizer adamw --lr 2e-3)
  [[ -n $text ]] && least[1]=1.65
  if [[ -n $images ]]; then
    least[2]=60
    images_run=(simclr --data "images:$images" --model resnet18 --stem cifar --width 64 --batch 512 --epochs 12 --lr 0.06
                --temperature 0.5 --crop-min 0.2)
  fi
  if ((rehearse)); then
    least=(0 99 0) shapes=(simclr --preset tiny --steps 1) gpt=(gpt --preset tiny --steps 1) images_run=(vicreg --preset tiny --steps 1)
  fi
  train_one shapes "${shapes[@]}" & jobs+=($!)
  train_one gpt "${gpt[@]}" & jobs+=($!)
  train_one images "${images_run[@]}" & jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job"; done
  for i in 0 1 2; do
    value=$(last_measure "${names[i]}") status=0
    reached "$value" "${least[i]}" "${fewer[i]}" || status=1
    result "train ${names[i]}" $status "${value:-nothing} where $( ((fewer[i])) && echo "at most" || echo "at least") ${least[i]} is right"
  done
}

bench_one() { # NAME FLAGS…
  local line
  line=$(timeout "$(share 60)" "$bench" run "$@" --device cuda 2>"$out/bench.err" | tail -n 1)
  if [[ $line == "{"* ]]; then
    printf '{"case": "%s", "result": %s}\n' "$*" "$line" >>"$out/bench.jsonl"
    rows=$((rows + 1))
  else
    printf '{"case": "%s", "failed": "%s"}\n' "$*" "$(tail -n 1 "$out/bench.err" | tr -d '"\\' | cut -c1-200)" >>"$out/bench.jsonl"
    lost=$((lost + 1))
  fi
}
benchmarks() {
  local rows=0 lost=0 short=(--seconds 1 --least 10 --warmup 5)
  : >"$out/bench.jsonl"
  if ((rehearse)); then
    bench_one nt_xent --batch 64 --size 32 --seconds 0.1 --least 1 --warmup 0
    result benchmarks $((lost > 0)) "$rows rows"
    return
  fi
  local gpt=(--size 1024 --set layers=12 --set heads=12 --set width=768 --set vocabulary-multiple=50304)
  local vit=(--size 224 --set model=vit-base --set patch=16 --set decoder-width=512 --set decoder-depth=8 --set decoder-heads=16
             --set data=shapes:512:224)
  timeout "$(share 30)" "$bench" machine --device cuda >"$out/machine.json" 2>&1
  bench_one simclr --dtype bf16 --batch 512 "${short[@]}"
  bench_one gpt-6x384 --dtype bf16 --batch 32 "${gpt[@]}" "${short[@]}"
  bench_one mae --dtype bf16 --batch 256 "${vit[@]}" "${short[@]}"
  bench_one nt_xent --dtype bf16 --batch 8192 --size 128 "${short[@]}"
  bench_one nt_xent --dtype bf16 --batch 131072 --size 128 "${short[@]}"
  bench_one adamw --dtype f32 "${short[@]}"
  bench_one masked_loss --dtype bf16 --batch 1024 "${short[@]}"
  bench_one augment-224-byol --dtype bf16 --batch 1024 "${short[@]}"
  if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null && (($(left) > 60)); then
    (cd "$bench_scripts" && timeout "$(share 150)" python3 compare_gpu.py --build "$programs" --output "$out/compare.md" --rounds 2) \
      >"$out/compare.log" 2>&1
  fi
  result benchmarks $((lost > 0)) "$rows rows, $lost failed"
}

profile() {
  local case=(simclr --batch 512 --dtype bf16)
  ((rehearse)) && case=(nt_xent --batch 64 --size 32 --dtype f32 --quick --seconds 0.1)
  timeout "$(share 40)" "$bench" profile "${case[@]}" --device cuda >"$out/profile.md" 2>&1
  result profile $? "$(grep -m1 '^| [A-Z]' "$out/profile.md" | cut -c1-70)"
}

sanitizers() {
  command -v compute-sanitizer >/dev/null || { note "sanitizers  not run: there is no compute-sanitizer"; return; }
  local tool op bad=0 tried=0
  for tool in racecheck memcheck; do
    for op in attention nt_xent info_nce batch_norm layer_norm soft_cross_entropy; do
      (($(left) > 25)) || break 2
      tried=$((tried + 1))
      GESTALT_OP=$op timeout "$(share 60)" compute-sanitizer --tool $tool --error-exitcode 9 --kernel-regex kns=gestalt "$tests" -nc \
        -tc="op table: cuda agrees*" >"$out/$tool-$op.txt" 2>&1
      (($? == 9)) && bad=$((bad + 1)) && note "  $tool $op: $(grep -m1 '=========.*rror' "$out/$tool-$op.txt" | cut -c1-90)"
    done
  done
  result sanitizers $((bad > 0)) "$tried runs"
}

if ! device && ((!rehearse)); then
  note "nothing else was run: the program sees no device. $out/device.txt has what nvidia-smi and it say; a bundle looks for"
  note "NVIDIA's libraries in LD_LIBRARY_PATH, CUDA_HOME and the Python on the path"
  exit 1
fi
for part in smoke cases trainings benchmarks profile sanitizers; do
  if wanted $part; then $part; elif [[ ,$only, == *,$part,* ]]; then note "$part: no time was left"; fi
done
echo
head -n 40 "$out/summary.txt"
exit "$failed"
