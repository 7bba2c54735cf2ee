# Debian packages by `cpack -G DEB`: gestalt and libgestalt-dev, each for the release that it was built on, whose libraries
# it depends on. tools/deb.sh does all of it.
set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL program development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME gestalt)
set(GESTALT_MAINTAINER "The Gestalt authors <gestalt@localhost>" CACHE STRING "Who answers for Debian packages: NAME <MAIL>")
set(CPACK_PACKAGE_CONTACT ${GESTALT_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "pretrains encoders without labels, and says how good they are")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
                                                WORLD_EXECUTE)
# "0.1.0-1~debian12": older than what a distribution itself may once have, and followed by that of the next release.
cmake_host_system_information(RESULT release QUERY DISTRIB_INFO)
set(CPACK_DEBIAN_PACKAGE_RELEASE "1~${release_ID}${release_VERSION_ID}")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME gestalt)
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION
"The program: trains encoders on unlabelled images and language models on text,
measures them (kNN, linear probe, fine-tuning), finds duplicates and outliers,
and writes weights and features that other programs read.")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS "bash-completion, man-db, libgestalt-dev")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libgestalt-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
"The library: headers and static libraries for programs with methods, encoders
or data of their own, found by CMake (gestalt::gestalt) and pkg-config.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "cmake, pkg-config, gestalt")
# What those programs include and link: the packages that it is of are what the package depends on.
get_target_property(needs DNNL::dnnl INTERFACE_LINK_LIBRARIES)
set(CPACK_GESTALT_NEEDS ${fmt_DIR} ${dnnl_DIR} ${ZLIB_LIBRARIES} ${RANDOM123_INCLUDE_DIR}/Random123)
if(TARGET OpenCL::OpenCL AND needs MATCHES OpenCL)
  list(APPEND CPACK_GESTALT_NEEDS ${OpenCL_LIBRARY} ${OpenCL_INCLUDE_DIR}/CL)
endif()
foreach(modules ${gestalt_module_names})
  list(APPEND CPACK_GESTALT_NEEDS ${${modules}_LINK_LIBRARIES})
endforeach()
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_SOURCE_DIR}/tools/cmake/debian_depends.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/tools/cmake/debian_tree.cmake)
include(CPack)
