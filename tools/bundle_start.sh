#!/bin/sh
# Starts the program of a bundle that it is called by: ./gestalt, ./gestalt_tests and ./gestalt_bench are links to it.
# The CUDA build is taken where NVIDIA's driver and libraries are found (CUDA_HOME, CUDA's usual folders, modules that set
# LD_LIBRARY_PATH, the `nvidia` packages of the Python on the path); else, and with GESTALT_VARIANT=cpu, the CPU's.
here=$(dirname "$(readlink -f "$0")")
program=$(basename "$0")
if [ "$program" = start ]; then
  echo "usage: $here/gestalt --help, gestalt_tests, gestalt_bench --help; run_gpu.sh tests and times a GPU" >&2
  exit 2
fi

find_nvidia() {
  places="${LD_LIBRARY_PATH:-}:${CUDA_HOME:-}/lib64:${CUDA_PATH:-}/lib64:/usr/local/cuda/lib64:/opt/cuda/lib64"
  places="$places:/usr/lib/x86_64-linux-gnu:/usr/lib64"
  site=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null)
  for folder in "$site"/nvidia/*/lib /usr/local/lib/python3*/dist-packages/nvidia/*/lib; do
    [ -d "$folder" ] && places="$places:$folder"
  done
  found=
  for library in $(cat "$here/bin/cuda/needed" 2>/dev/null); do
    place=
    IFS=:
    for folder in $places; do
      if [ -n "$folder" ] && [ -e "$folder/$library" ]; then
        place=$folder
        break
      fi
    done
    unset IFS
    if [ -z "$place" ]; then
      missing="${missing:-}$library "
    else
      case ":$found:" in *":$place:"*) ;; *) found="$found:$place" ;; esac
    fi
  done
  [ -z "${missing:-}" ]
}

variant=${GESTALT_VARIANT:-}
if [ -z "$variant" ]; then
  variant=cpu
  if [ -x "$here/bin/cuda/$program" ] && [ -e /dev/nvidiactl ]; then
    if find_nvidia; then
      variant=cuda
    else
      echo "$program: there is a GPU, but not ${missing}of NVIDIA's; set LD_LIBRARY_PATH, CUDA_HOME, or pip install \
nvidia-cublas nvidia-cudnn-cu13; running the CPU's build" >&2
    fi
  fi
fi
if [ "$variant" = cuda ]; then
  [ -n "${found:-}" ] || find_nvidia || echo "$program: not found of NVIDIA's libraries: $missing" >&2
  LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}${found:-}"
  export LD_LIBRARY_PATH
fi
if [ ! -x "$here/bin/$variant/$program" ]; then
  echo "$program: this bundle has no variant '$variant'" >&2
  exit 1
fi
exec "$here/bin/$variant/$program" "$@"
