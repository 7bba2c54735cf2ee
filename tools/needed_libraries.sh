#!/usr/bin/env bash
# Copies the shared libraries that PROGRAM needs into FOLDER, and the terms they are under: tools/needed_libraries.sh PROGRAM
# FOLDER. Not those that every system with a C++ program on it has, nor NVIDIA's, which are large and belong to the driver
# or to CUDA, nor libgestalt, which its maker puts beside the program.
set -euo pipefail
program=$1 folder=$2
is_left_out() { [[ $1 =~ ^(linux-vdso|ld-linux.*|libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libcu.*|libnv.*|libgestalt)\.so ]]; }

mkdir -p "$folder"
while read -r library path; do
  is_left_out "$library" && continue
  cp -nL "$path" "$folder/$library"
  # Debian's packages say of themselves what they are under; some are merged into /usr and named as before.
  package=$(dpkg-query -S "$path" "$(realpath "$path")" "/usr$path" 2>/dev/null | head -n 1 | cut -d : -f 1) || true
  terms=/usr/share/doc/$package/copyright
  if [[ -n $package && -e $terms ]]; then cp -L "$terms" "$folder/$package.copyright"; fi
done < <(ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $1, $3}')
# What is in the program itself: headers, and parts of libarchive.
for package in libarchive libcli11 libeigen3 librandom123 libstb nlohmann-json3; do
  terms=/usr/share/doc/$package-dev/copyright
  [[ ! -e $terms ]] || cp -L "$terms" "$folder/$package.copyright"
done
