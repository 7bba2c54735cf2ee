#!/usr/bin/env bash
# Installs the Debian packages that Gestalt is built with, those that are missing only. Asks for sudo when not root.
#   tools/install_packages.sh [--tests | --deb | --wheel | --bundle | --ci | --arm64]
#                                                             --arm64: also what builds for that processor on another
#   tools/install_packages.sh --libraries                     only names those of libraries, the tests' too
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config
  libdnnl-dev ocl-icd-opencl-dev libcli11-dev libfmt-dev nlohmann-json3-dev libeigen3-dev libjpeg-dev libspng-dev libstb-dev librandom123-dev zlib1g-dev
  libpcre2-dev libxxhash-dev libarchive-dev libwebp-dev libtiff-dev
)
tests=(doctest-dev libbenchmark-dev libboost-context-dev libheif-dev)
deb=(dpkg-dev file libheif-dev)
parts=(nettle-dev libzstd-dev liblzma-dev libbz2-dev)  # what the parts of libarchive are linked with
wheel=(python3-venv "${parts[@]}")
ci=(clang clang-format libclang-rt-dev libomp-dev ccache python3)
arm64=(g++-aarch64-linux-gnu qemu-user-static mmdebstrap)

case "${1:-}" in
  "") ;;
  --tests) packages+=("${tests[@]}") ;;
  --ci) packages+=("${tests[@]}" "${deb[@]}" "${wheel[@]}" "${ci[@]}") ;;
  --deb) packages+=("${deb[@]}") ;;
  --wheel) packages+=("${wheel[@]}") ;;
  --bundle) packages+=("${tests[@]}" "${parts[@]}") ;;
  --arm64) packages+=("${tests[@]}" "${arm64[@]}") ;;
  --libraries) printf '%s\n' "${packages[@]}" "${tests[@]}" | grep -- '-dev$'; exit ;;
  *) echo "usage: tools/install_packages.sh [--tests | --deb | --wheel | --bundle | --ci | --arm64 | --libraries]" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [[ $status == "install ok installed" ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo "missing: ${missing[*]}; install them as root, there is no sudo" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
for attempt in 1 2 3; do
  if "${as_root[@]}" apt-get update -qq &&
     "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  then
    exit 0
  fi
  echo "apt-get failed, attempt $attempt of 3" >&2
  sleep $((attempt * 5))
done
exit 1
