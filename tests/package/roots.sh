#!/usr/bin/env bash
# Builds and uses the packages in clean roots of Debian: tests/package/roots.sh FOLDER [SUITE…]    bookworm trixie
# Of each release a root with what the build needs, where tools/deb.sh makes its packages, and one with nothing, where
# these are installed and used. The wheel is made on the first and used on all. Packages stay in FOLDER/dist. Needs root,
# debootstrap and some GB; what FOLDER has from an earlier call is used again.
set -euo pipefail
# In mounts of its own, which go with it.
[[ ${GESTALT_OWN_MOUNTS:-} ]] || exec unshare --mount env GESTALT_OWN_MOUNTS=1 "$0" "$@"
source=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1/dist"
folder=$(cd "$1" && pwd)
shift
suites=("${@:-bookworm}")
(($#)) || suites=(bookworm trixie)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt install debootstrap" >&2; exit 1; }

# inside ROOT COMMAND…: in the root's own environment, with this machine's names, certificates and cache of the compiler.
inside() {
  local root=$1
  shift
  mountpoint -q "$root/proc" || {
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mkdir -p "$root/root/.cache/ccache" "$root/source"
    mount --bind -o ro "$source" "$root/source"
    if command -v ccache >/dev/null; then
      mkdir -p "$(ccache -k cache_dir)" && mount --bind "$(ccache -k cache_dir)" "$root/root/.cache/ccache"
    fi
  }
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  [[ -z ${PIP_CERT:-} ]] || cp -L "$PIP_CERT" "$root/usr/local/share/certificates.crt"
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    CCACHE_BASEDIR=/gestalt/source SOURCE_DATE_EPOCH="$(git -C "$source" log -1 --format=%ct)" \
    ${PIP_CERT:+PIP_CERT=/usr/local/share/certificates.crt} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    chroot "$root" "$@"
}
leave() { umount -R "$1"/{proc,dev,source} "$1/root/.cache/ccache" 2>/dev/null || true; }
install_in() { inside "$1" apt-get -o Dpkg::Use-Pty=0 install -y -qq --no-install-recommends "${@:2}" >/dev/null; }

# new_root SUITE NAME
new_root() {
  local base=$folder/$1.base
  if [[ ! -e $base.done ]]; then
    rm -rf --one-file-system "$base"
    debootstrap --variant=minbase "$1" "$base" "$mirror" >/dev/null
    printf 'deb %s main\n' "$mirror $1" "$mirror $1-updates" "${mirror/%debian/debian-security} $1-security" \
      >"$base/etc/apt/sources.list"
    touch "$base.done"
  fi
  rm -rf --one-file-system "${folder:?}/$2"
  cp -a "$base" "$folder/$2"
  inside "$folder/$2" apt-get update -qq
}

wheel=
for suite in "${suites[@]}"; do
  builder=$folder/$suite.builder
  if [[ ! -e $builder.done ]]; then
    new_root "$suite" "$suite.builder"
    install_in "$builder" ccache
    touch "$builder.done"
  fi
  # What is tracked and what is new, as a clone would have it: with the time of now, as objects of an earlier call may be
  # of older text than a file that is older than they are.
  mkdir -p "$builder/gestalt/source"
  find "$builder/gestalt/source" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf {} +
  git -C "$source" ls-files -co --exclude-standard -z | tar -C "$source" --null -T - -c --ignore-failed-read |
    tar -C "$builder/gestalt/source" -x --touch
  echo "-- $suite: building the packages"
  inside "$builder" bash -c 'cd /gestalt/source && tools/deb.sh dist -DCMAKE_COMPILE_WARNING_AS_ERROR=ON'
  if [[ ! $wheel ]]; then
    inside "$builder" bash -c 'cd /gestalt/source && tools/wheel.sh dist --config-settings=cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON'
    wheel=$(cd "$builder/gestalt/source/dist" && ls gestalt_ssl-*.whl)
  fi
  cp "$builder"/gestalt/source/dist/* "$folder/dist/"
done

for suite in "${suites[@]}"; do
  user=$folder/$suite.user
  new_root "$suite" "$suite.user"
  mkdir -p "$user/packages"
  cp "$folder/$suite.builder"/gestalt/source/dist/*.deb "$folder/dist/$wheel" "$user/packages/"

  echo "-- $suite: the wheel, in a root with Python alone"
  install_in "$user" python3 python3-venv
  inside "$user" bash -c 'python3 -m venv /venv && /venv/bin/pip install -q /packages/*.whl pillow &&
    export PATH=/venv/bin:$PATH && gestalt --version && cd / && /source/tests/package/try_module.py'

  echo "-- $suite: the program's package"
  install_in "$user" man-db bash-completion zsh fish "/packages/$(cd "$user/packages" && ls gestalt_*.deb)"
  inside "$user" bash -c '/source/tests/package/try_program.sh /usr/share'

  echo "-- $suite: the library's package"
  install_in "$user" g++ cmake ninja-build pkg-config "/packages/$(cd "$user/packages" && ls libgestalt-dev_*.deb)"
  inside "$user" bash -c '/source/tests/package/try_library.sh /usr'
  leave "$user"
  rm -rf --one-file-system "$user"
done
ls -l "$folder/dist"
