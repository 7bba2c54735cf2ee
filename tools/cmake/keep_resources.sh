#!/bin/sh
# Runs the CUDA compiler given, and keeps what it says of each kernel's registers and memory in OBJECT.resources.
[ -n "$1" ] || shift  # CMake's list of launchers has an empty word where no ccache was set
for argument in "$@"; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
case ${object:-} in *.o) ;; *) exec "$@" ;; esac
"$@" 2>"$object.resources"
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' "$object.resources" >&2
exit $status
