# Build options and the flags that every target of the project shares.

option(CNPD_BUILD_TESTS "Build the tests" ON)
option(CNPD_BUILD_BENCH "Build the benchmarks" ON)
option(CNPD_BUILD_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(CNPD_ARCH "native" CACHE STRING
    "Instruction set of the CPU kernels, a value of -march=; empty: the compiler's default")
set(CNPD_SANITIZE "" CACHE STRING "Sanitizers for every target, values of -fsanitize=")
set(CNPD_CUDA "AUTO" CACHE STRING "CUDA backend: AUTO, ON, OFF or EMULATE")
set_property(CACHE CNPD_CUDA PROPERTY STRINGS AUTO ON OFF EMULATE)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

include(GNUInstallDirs)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(dnnl REQUIRED)

find_package(nlohmann_json REQUIRED)

# Required by our headers, also in projects that use the installed library.
add_library(cnpd_usage INTERFACE)
target_compile_features(cnpd_usage INTERFACE cxx_std_20)
target_include_directories(
  cnpd_usage INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                       $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/cnpd>)
target_link_libraries(cnpd_usage INTERFACE fmt::fmt OpenMP::OpenMP_CXX Threads::Threads
                                           nlohmann_json::nlohmann_json)

# Compiler flags of our own targets only.
add_library(cnpd_flags INTERFACE)
target_compile_options(
  cnpd_flags
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wno-unknown-pragmas -Werror>
            "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas,-Werror;--expt-relaxed-constexpr>"
)
target_link_libraries(cnpd_flags INTERFACE cnpd_usage)
if(CNPD_SANITIZE)
  target_compile_options(cnpd_flags INTERFACE -fsanitize=${CNPD_SANITIZE}
                                              -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(cnpd_flags INTERFACE -fsanitize=${CNPD_SANITIZE})
endif()

# xxHash, for libraries that name it (PRIVATE cnpd_xxhash). Header-only: nothing to link.
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
add_library(cnpd_xxhash INTERFACE)
target_include_directories(cnpd_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})
target_compile_definitions(cnpd_xxhash INTERFACE XXH_INLINE_ALL)
