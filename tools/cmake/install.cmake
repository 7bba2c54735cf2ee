# What `cmake --install` lays down, in components: `program` with its manual page and completion, `development` for those who
# link the library and, on request alone, `libraries`: those that the program needs, beside it. Makes Debian packages of
# the first two.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gestalt)
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME development)

install(TARGETS gestalt ${gestalt_libraries} EXPORT gestalt)
install(EXPORT gestalt NAMESPACE gestalt:: FILE gestaltTargets.cmake DESTINATION ${package_dir})
install(DIRECTORY kernels engine models tasks DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gestalt
        FILES_MATCHING PATTERN "*.h")
configure_package_config_file(tools/cmake/gestaltConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/gestaltConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/gestaltConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gestaltConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/gestaltConfigVersion.cmake
              tools/cmake/FindCUDNN.cmake
        DESTINATION ${package_dir})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/libgestalt-dev)
include(tools/cmake/pkg_config.cmake)

if(GESTALT_TOOLS)
  set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME program)
  # Where the libraries are put beside the program, they are the ones it takes, and those take one another.
  set_target_properties(gestalt_program PROPERTIES INSTALL_RPATH "${GESTALT_RPATH}")
  if(GESTALT_RPATH)
    target_link_options(gestalt_program PRIVATE LINKER:--disable-new-dtags)
  endif()
  install(TARGETS gestalt_program)
  install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/gestalt)
  # The program writes its manual page and says what may be completed.
  if(NOT CMAKE_CROSSCOMPILING)
    function(gestalt_install_text folder name)
      string(REPLACE ";" " " words "${ARGN}")
      set(file ${CMAKE_CURRENT_BINARY_DIR}/texts/${folder}/${name})
      install(CODE "
        file(MAKE_DIRECTORY [[${CMAKE_CURRENT_BINARY_DIR}/texts/${folder}]])
        execute_process(COMMAND [[$<TARGET_FILE:gestalt_program>]] list ${words} OUTPUT_FILE [[${file}]]
                        COMMAND_ERROR_IS_FATAL ANY)")
      install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/${folder})
    endfunction()
    gestalt_install_text(man/man1 gestalt.1 manual)
    gestalt_install_text(bash-completion/completions gestalt completion bash)
    gestalt_install_text(zsh/site-functions _gestalt completion zsh)
    gestalt_install_text(fish/vendor_completions.d gestalt.fish completion fish)
  endif()
  install(CODE "
    execute_process(COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tools/needed_libraries.sh [[$<TARGET_FILE:gestalt_program>]]
                            \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib\"
                    COMMAND_ERROR_IS_FATAL ANY)" COMPONENT libraries EXCLUDE_FROM_ALL)
  include(tools/cmake/debian.cmake)
endif()
