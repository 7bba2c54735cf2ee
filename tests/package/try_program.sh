#!/usr/bin/env bash
# What a user does first with an installed `gestalt`, which is on the path: tests/package/try_program.sh SHARE [SHELLS], the
# folder that its manual page and completion were installed into, and the shells to type in.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
share=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "error: $*" >&2; exit 1; }

[[ $(gestalt --help) == *'gestalt pretrain --data images:'* ]] || fail "--help does not say how to begin"
gestalt info | grep -E '^(gestalt|build|own kernels|oneDNN|images) '
gestalt pretrain simclr --preset tiny --data shapes:256 --out run 2>/dev/null | grep '^trained '
[[ -s run/encoder.safetensors && -s run/report.html ]] || fail "the run left no encoder or no report"
gestalt evaluate knn run --data shapes:192 | grep '^protocol: '
gestalt embed run --data shapes:64 --out e.npy | grep '^features (80, '
gestalt pretrain simclr --preset quickstart --dry-run | grep '^simclr on '
cmp <(gestalt list completion bash) "$share/bash-completion/completions/gestalt" || fail "the completion is of another build"

terms=$(find "$share/doc" -path '*gestalt/*' \( -name LICENSE -o -name copyright \))
grep -q 'MIT License' $terms || fail "no license in $share/doc"
if command -v man >/dev/null; then
  said=$(MANPATH=$share/man MANWIDTH=100 man --warnings -P cat gestalt 2>&1)
  grep -q -e '--temperature' <<<"$said" || fail "man gestalt says: $said"
  grep -E '(^|: )warning:' <<<"$said" && fail "man gestalt warns"
  echo "man gestalt: $(wc -l <<<"$said") lines"
fi
if command -v python3 >/dev/null; then
  for shell in ${2-bash zsh fish}; do
    ! command -v $shell >/dev/null || "$here/try_completion.py" "$share" $shell
  done
fi
