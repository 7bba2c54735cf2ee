# Finds cuDNN where CUDNN_ROOT says, in the usual places, or in the `nvidia` packages of the Python on the path; defines
# CUDNN::cudnn.
find_package(CUDAToolkit QUIET)
set(cudnn_hints ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_TARGET_DIR} /usr/local/cuda /usr)
if(NOT CUDNN_LIBRARY OR NOT CUDNN_INCLUDE_DIR)
  find_program(GESTALT_PYTHON python3)
  mark_as_advanced(GESTALT_PYTHON)
  if(GESTALT_PYTHON)
    execute_process(COMMAND ${GESTALT_PYTHON} -c "import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])"
                    OUTPUT_VARIABLE cudnn_of_python OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND cudnn_hints ${cudnn_of_python})
  endif()
endif()
find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${cudnn_hints} PATH_SUFFIXES include)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 libcudnn.so.8 HINTS ${cudnn_hints} PATH_SUFFIXES lib64 lib
                                                                            lib/x86_64-linux-gnu)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR)
if(CUDNN_FOUND AND NOT TARGET CUDNN::cudnn)
  add_library(CUDNN::cudnn UNKNOWN IMPORTED)
  set_target_properties(CUDNN::cudnn PROPERTIES IMPORTED_LOCATION ${CUDNN_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES
                                                                                  ${CUDNN_INCLUDE_DIR})
endif()
