# Files installed by `cmake --install` and `cpack`: the program; all libraries with their headers and a
# CMake package, so that find_package(cnpd) provides the targets cnpd::kernels, cnpd::engine, ... and
# cnpd::cnpd, which links all of them. cnpd_room adds libraries automatically.
set(CNPD_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/cnpd)
set_property(GLOBAL PROPERTY CNPD_ROOMS "")

install(TARGETS cnpd_usage EXPORT cnpd)
set_property(TARGET cnpd_usage PROPERTY EXPORT_NAME usage)

function(cnpd_install_program name)
  install(TARGETS ${name} RUNTIME COMPONENT program)
endfunction()

# The library of the current directory: cnpd_engine becomes libcnpd_engine.a and cnpd::engine.
function(cnpd_install_room name)
  string(REGEX REPLACE "^cnpd_" "" short ${name})
  set_property(TARGET ${name} PROPERTY EXPORT_NAME ${short})
  set_property(GLOBAL APPEND PROPERTY CNPD_ROOMS ${short})
  install(TARGETS ${name} EXPORT cnpd ARCHIVE COMPONENT development)
  # All headers of the top-level folder, once: cnpd/attacks/attack.h needs cnpd/version.h.
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "/.*" "" folder ${folder})
  set_property(GLOBAL APPEND PROPERTY CNPD_HEADER_FOLDERS ${folder})
endfunction()

# To be called after the last cnpd_room.
function(cnpd_install_package)
  get_property(folders GLOBAL PROPERTY CNPD_HEADER_FOLDERS)
  list(REMOVE_DUPLICATES folders)
  install(DIRECTORY ${folders} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cnpd COMPONENT development
          FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh" PATTERN cli EXCLUDE)

  get_property(CNPD_ROOMS GLOBAL PROPERTY CNPD_ROOMS)
  list(TRANSFORM CNPD_ROOMS PREPEND cnpd::)
  include(CMakePackageConfigHelpers)
  configure_package_config_file(
    ${PROJECT_SOURCE_DIR}/cmake/cnpdConfig.cmake.in ${PROJECT_BINARY_DIR}/cnpdConfig.cmake
    INSTALL_DESTINATION ${CNPD_PACKAGE_DIR} NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/cnpdConfigVersion.cmake
                                   COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/cnpdConfig.cmake ${PROJECT_BINARY_DIR}/cnpdConfigVersion.cmake
          DESTINATION ${CNPD_PACKAGE_DIR} COMPONENT development)
  install(EXPORT cnpd FILE cnpdTargets.cmake NAMESPACE cnpd:: DESTINATION ${CNPD_PACKAGE_DIR}
          COMPONENT development)
  include(CnpdDebian)
endfunction()
