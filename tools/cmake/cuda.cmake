# The CUDA backend, as GESTALT_CUDA says: native (ON, or AUTO where nvcc is found), on the emulated device, or none.
set(cuda_folder ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cuda)
file(GLOB cuda_sources CONFIGURE_DEPENDS ${cuda_folder}/*.cu)

set(gestalt_cuda_mode ${GESTALT_CUDA})
# CMake itself looks for nvcc on the path alone.
if(gestalt_cuda_mode MATCHES "^(AUTO|ON)$" AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(GESTALT_NVCC nvcc HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT ENV CUDA_PATH ENV CUDA_HOME
               PATHS /usr/local/cuda /opt/cuda PATH_SUFFIXES bin)
  mark_as_advanced(GESTALT_NVCC)
  if(GESTALT_NVCC)
    set(CMAKE_CUDA_COMPILER ${GESTALT_NVCC})
  endif()
endif()
if(gestalt_cuda_mode STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  find_package(CUDNN QUIET)
  if(CMAKE_CUDA_COMPILER AND CUDNN_FOUND)
    set(gestalt_cuda_mode ON)
  else()
    set(gestalt_cuda_mode OFF)
  endif()
endif()
message(STATUS "CUDA backend: ${gestalt_cuda_mode}")

if(gestalt_cuda_mode STREQUAL "OFF")
  return()
endif()

target_compile_definitions(gestalt_kernels PUBLIC GESTALT_WITH_CUDA=1)
target_sources(gestalt_kernels PRIVATE ${cuda_sources})

if(gestalt_cuda_mode STREQUAL "EMULATED")
  find_package(Boost REQUIRED COMPONENTS context)
  set(emulator_folder ${CMAKE_CURRENT_SOURCE_DIR}/tests/cuda_emulator)
  file(GLOB emulator_sources CONFIGURE_DEPENDS ${emulator_folder}/*.cpp)
  add_library(gestalt_cuda_emulator STATIC ${emulator_sources})
  target_include_directories(gestalt_cuda_emulator PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}>
                                                          $<BUILD_INTERFACE:${emulator_folder}/include>)
  target_link_libraries(gestalt_cuda_emulator PRIVATE $<BUILD_INTERFACE:gestalt_options> fmt::fmt Boost::context
                                                      DNNL::dnnl)
  target_link_libraries(gestalt_kernels PUBLIC gestalt_cuda_emulator)
  target_compile_definitions(gestalt_cuda_emulator PUBLIC GESTALT_EMULATED=1)
  file(GLOB emulator_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/kernels/cuda/emulator_*test.cpp)
  # nvcc includes cuda_runtime.h by itself; "unroll" is a pragma of its own. tests/cuda_emulator/alignment.cpp reports.
  set(emulated_options -x c++ -include cuda_runtime.h -Wno-unknown-pragmas -fsanitize=alignment
                       -fno-sanitize-recover=alignment)
  set_source_files_properties(
    ${cuda_sources} ${emulator_tests}
    PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${emulated_options}" COMPILE_DEFINITIONS GESTALT_CUDA_EMULATED)
  if(GESTALT_TESTS)
    find_package(doctest REQUIRED)
    enable_testing()
    add_executable(gestalt_emulator_tests ${emulator_tests})
    target_link_libraries(gestalt_emulator_tests PRIVATE gestalt_options gestalt_kernels doctest::doctest)
    add_test(NAME gestalt_emulator_tests COMMAND gestalt_emulator_tests)
  endif()
else()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit 12.4 REQUIRED)
  find_package(CUDNN REQUIRED)
  set_target_properties(gestalt_kernels PROPERTIES CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set_target_properties(gestalt_kernels PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON)
  target_compile_options(gestalt_kernels PRIVATE
                         $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr --resource-usage>)
  # tests/cuda_resources.py reads what is kept beside the objects.
  set_target_properties(gestalt_kernels PROPERTIES CUDA_COMPILER_LAUNCHER
    "${CMAKE_CURRENT_SOURCE_DIR}/tools/cmake/keep_resources.sh;${CMAKE_CXX_COMPILER_LAUNCHER}")
  # {fmt} 9 turns constexpr off under nvcc, which its own headers then miss.
  target_compile_definitions(gestalt_kernels
                             PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:FMT_CONSTEVAL= FMT_USE_CONSTEXPR=1>)
  target_link_libraries(gestalt_kernels PUBLIC CUDA::cudart CUDA::cublasLt CUDNN::cudnn)
endif()
