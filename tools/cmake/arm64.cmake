# Building for arm64 on another processor: GESTALT_ARM64_ROOT is a folder with Debian's packages for arm64 unpacked
# (tests/arm64.sh makes one), and programs of the build run under qemu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(GESTALT_ARM64_ROOT "" CACHE PATH "Folder with Debian's packages for arm64 unpacked")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GESTALT_ARM64_ROOT)
if(NOT IS_DIRECTORY "${GESTALT_ARM64_ROOT}/usr/lib/aarch64-linux-gnu")
  message(FATAL_ERROR "GESTALT_ARM64_ROOT is \"${GESTALT_ARM64_ROOT}\", expected a folder with usr/lib/aarch64-linux-gnu; "
                      "tests/arm64.sh makes one")
endif()
set(CMAKE_SYSROOT ${GESTALT_ARM64_ROOT})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${GESTALT_ARM64_ROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${GESTALT_ARM64_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${GESTALT_ARM64_ROOT}/usr/share/pkgconfig)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static;-L;${GESTALT_ARM64_ROOT})
