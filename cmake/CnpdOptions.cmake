# Build options and the flags that every target of the project shares.

option(CNPD_BUILD_TESTS "Build the tests" ON)
option(CNPD_BUILD_BENCH "Build the benchmarks" ON)
option(CNPD_BUILD_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(CNPD_ARCH "native" CACHE STRING
    "Instruction set of the CPU kernels, as -march= takes it; empty for the compiler's default")
set(CNPD_SANITIZE "" CACHE STRING "Sanitizers for every target, as -fsanitize= takes them")
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

find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(dnnl REQUIRED)

# Everything of ours is compiled with these.
add_library(cnpd_flags INTERFACE)
target_include_directories(cnpd_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(
  cnpd_flags
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wno-unknown-pragmas -Werror>
            "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas,-Werror;--expt-relaxed-constexpr>"
)
target_link_libraries(cnpd_flags INTERFACE fmt::fmt OpenMP::OpenMP_CXX Threads::Threads)
if(CNPD_SANITIZE)
  target_compile_options(cnpd_flags INTERFACE -fsanitize=${CNPD_SANITIZE}
                                              -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(cnpd_flags INTERFACE -fsanitize=${CNPD_SANITIZE})
endif()
