# The CUDA backend: CNPD_REAL_CUDA if NVIDIA's toolkit compiles the .cu files, CNPD_EMULATED if the
# host compiler does (kernels/emulator). A build has at most one of them.
set(CNPD_EMULATED OFF)
set(CNPD_REAL_CUDA OFF)

if(CNPD_CUDA STREQUAL "EMULATE")
  set(CNPD_EMULATED ON)
  find_package(Boost 1.74 REQUIRED COMPONENTS context)
  target_compile_definitions(cnpd_usage INTERFACE CNPD_HAS_CUDA CNPD_EMULATED)
endif()

if(CNPD_CUDA STREQUAL "AUTO")
  find_program(CNPD_NVIDIA_SMI nvidia-smi)
  set(gpus "")
  if(CNPD_NVIDIA_SMI)
    execute_process(COMMAND ${CNPD_NVIDIA_SMI} -L OUTPUT_VARIABLE gpus ERROR_QUIET)
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER AND gpus MATCHES "GPU 0")
    set(CNPD_REAL_CUDA ON)
  endif()
elseif(CNPD_CUDA STREQUAL "ON")
  set(CNPD_REAL_CUDA ON)
endif()

if(CNPD_REAL_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90a-real 80-virtual)
  endif()
  # Hopper's architecture-specific instructions need 90a. Code for 90 runs on the same GPUs without them.
  foreach(architecture IN LISTS CMAKE_CUDA_ARCHITECTURES)
    if(architecture MATCHES "^(90(-real|-virtual)?|all|all-major)$")
      message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES has '${architecture}', but the kernels for Hopper need 90a. "
                          "Use 90a for Hopper; instead of all and all-major, which contain 90, list the "
                          "architectures.")
    endif()
  endforeach()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc supports C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  find_package(CUDAToolkit 12.4 REQUIRED)
  target_compile_definitions(cnpd_usage INTERFACE CNPD_HAS_CUDA CNPD_REAL_CUDA)

  # cuBLASLt and cuDNN: in the toolkit's prefix or in CNPD_CUDA_ROOTS (for example from Python's wheels,
  # which lack the file names that linkers look for).
  set(CNPD_CUDA_ROOTS "$ENV{CNPD_CUDA_ROOTS}" CACHE STRING
      "Folders with include/ and lib/ of cuBLASLt and cuDNN, if they are not in the toolkit's prefix")
  set(roots ${CUDAToolkit_INCLUDE_DIRS} ${CUDAToolkit_LIBRARY_DIR} ${CNPD_CUDA_ROOTS})
  find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${roots} PATH_SUFFIXES include REQUIRED)
  find_library(CUBLASLT_LIBRARY NAMES cublasLt libcublasLt.so.13 libcublasLt.so.12 HINTS ${roots}
               PATH_SUFFIXES lib lib64 REQUIRED)
  find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${roots} PATH_SUFFIXES include)
  find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${roots} PATH_SUFFIXES lib lib64)
  if(CUDNN_INCLUDE_DIR AND CUDNN_LIBRARY)
    message(STATUS "cuDNN: ${CUDNN_LIBRARY}")
  else()
    message(STATUS "cuDNN: not found; convolutions use our own implicit GEMM, which is slower")
  endif()
endif()
message(STATUS "CUDA backend: ${CNPD_CUDA} (real ${CNPD_REAL_CUDA}, emulated ${CNPD_EMULATED})")

# cnpd_cuda_sources(files...) sets how .cu files of the current directory are compiled.
#
# In an emulated build -fsanitize=thread makes the host compiler call a function of
# kernels/emulator/memory_checks.cpp for every access to memory. ThreadSanitizer itself is not linked.
# With AddressSanitizer, which cannot be combined with it, there are no such checks.
function(cnpd_cuda_sources)
  if(NOT CNPD_EMULATED)
    return()
  endif()
  set(options -Wno-unused-function)
  if(NOT CNPD_SANITIZE)
    list(APPEND options -fsanitize=thread -g)
    # Debug builds do not optimise kernels, for stepping through them; other builds do, for fast checks.
    if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
      list(APPEND options -O1)
    endif()
  endif()
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${options}")
endfunction()
