# The CPU's kernels once more for each level of instruction sets above the least, to choose from at run time: see
# kernels/cpu/level.h. What is in gestalt_kernels itself is compiled for the first, v2, like the rest of the program.
if(GESTALT_NATIVE OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  return()
endif()
target_compile_definitions(gestalt_kernels PUBLIC GESTALT_CPU_LEVELS=1)
# CMake itself finds clang's tools where clang compiles, and its linker cannot do without groups.
find_program(GESTALT_LD NAMES ld.bfd ld REQUIRED)
find_program(GESTALT_NM NAMES nm REQUIRED)
find_program(GESTALT_OBJCOPY NAMES objcopy REQUIRED)
mark_as_advanced(GESTALT_LD GESTALT_NM GESTALT_OBJCOPY)
set(level_script ${CMAKE_CURRENT_SOURCE_DIR}/tools/cmake/cpu_level.sh)
set(level_folder ${CMAKE_CURRENT_SOURCE_DIR}/kernels/cpu)
file(GLOB level_sources CONFIGURE_DEPENDS ${level_folder}/*.cpp)
# What there must be one of, and gains nothing: threads, the library behind products, the choice itself.
list(FILTER level_sources EXCLUDE REGEX "/(team|onednn|level)\\.cpp$")

# Sources that instructions for bf16 change: they name their macro, or include a header that does. The others are the
# same for v4 and v4_bf16.
set(changes __AVX512BF16__)
file(GLOB level_headers CONFIGURE_DEPENDS ${level_folder}/*.h)
foreach(file ${level_headers} ${level_headers} ${level_sources})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} found REGEX "${changes}" LIMIT_COUNT 1)
  if(NOT found)
    continue()
  endif()
  get_filename_component(name ${file} NAME)
  if(name MATCHES "\\.h$")
    string(APPEND changes "|include \"kernels/cpu/${name}\"")
  else()
    list(APPEND bf16_sources ${file})
  endif()
endforeach()
set(other_sources ${level_sources})
list(REMOVE_ITEM other_sources ${bf16_sources})

# gestalt_cpu_objects(NAME "SOURCES" OPTIONS…)
function(gestalt_cpu_objects name sources)
  set(target gestalt_kernels_${name})
  add_library(${target} OBJECT ${sources})
  set_target_properties(${target} PROPERTIES GESTALT_LEVEL ${name})
  target_compile_options(${target} PRIVATE ${ARGN})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_include_directories(${target} SYSTEM PRIVATE ${RANDOM123_INCLUDE_DIR})
  target_link_libraries(${target} PRIVATE gestalt_options fmt::fmt OpenMP::OpenMP_CXX DNNL::dnnl)
endfunction()
gestalt_cpu_objects(v3 "${level_sources}" -march=x86-64-v3)
gestalt_cpu_objects(v4_any "${other_sources}" -march=x86-64-v4)
gestalt_cpu_objects(v4 "${bf16_sources}" -march=x86-64-v4)
gestalt_cpu_objects(v4_bf16 "${bf16_sources}" -march=x86-64-v4 -mavx512bf16)

# gestalt_cpu_level(LEVEL NAMES…) makes one object of those of these names.
function(gestalt_cpu_level level)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/kernels_${level}.o)
  list(TRANSFORM ARGN REPLACE "(.+)" "$<TARGET_OBJECTS:gestalt_kernels_\\1>" OUTPUT_VARIABLE objects)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${level_script} ${level} ${GESTALT_LD} ${GESTALT_NM} ${GESTALT_OBJCOPY} ${object} ${objects}
    DEPENDS ${level_script} ${objects}
    COMMAND_EXPAND_LISTS VERBATIM)
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  target_sources(gestalt_kernels PRIVATE ${object})
endfunction()
gestalt_cpu_level(v3 v3)
gestalt_cpu_level(v4 v4_any v4)
gestalt_cpu_level(v4_bf16 v4_any v4_bf16)
