# `cpack` makes two Debian packages: cnpd, the program, and cnpd-dev, libraries and headers. Use preset
# `package` for the build.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cnpd)
set(CPACK_PACKAGE_CONTACT "the developers of cnpd <cnpd@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program development)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME cnpd)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)  # by dpkg-shlibdeps, of package dpkg-dev
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME cnpd-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "g++, libdnnl-dev, ocl-icd-opencl-dev, libfmt-dev, libarchive-dev, zlib1g-dev, nlohmann-json3-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Libraries and headers of cnpd")

# A build for this machine's processor may not run on other machines.
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_BINARY_DIR}/CPackCheck.cmake)
file(WRITE ${CPACK_PROJECT_CONFIG_FILE} "")
if(CNPD_ARCH STREQUAL "native")
  file(WRITE ${CPACK_PROJECT_CONFIG_FILE}
       "message(FATAL_ERROR \"This build is for this machine's processor only (CNPD_ARCH is native). "
       "Build packages with: cmake --preset package\")\n")
endif()
include(CPack)
