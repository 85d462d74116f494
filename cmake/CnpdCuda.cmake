# The CUDA backend: CNPD_REAL_CUDA where NVIDIA's toolkit compiles the .cu files, CNPD_EMULATED where
# the host compiler does (kernels/emulator). A build has one of them or neither.
set(CNPD_EMULATED OFF)
set(CNPD_REAL_CUDA OFF)

if(CNPD_CUDA STREQUAL "EMULATE")
  set(CNPD_EMULATED ON)
  find_package(Boost 1.74 REQUIRED COMPONENTS context)
  target_compile_definitions(cnpd_flags INTERFACE CNPD_EMULATED)
endif()

# cnpd_cuda_sources(files...) says how .cu files of the current directory are compiled.
#
# In an emulated build the host compiler calls a function of kernels/emulator/memory_checks.cpp for
# every access to memory: that is what -fsanitize=thread compiles to. ThreadSanitizer itself is not
# linked. With AddressSanitizer, which excludes it, these checks are left out.
function(cnpd_cuda_sources)
  if(NOT CNPD_EMULATED)
    return()
  endif()
  set(options -Wno-unused-function)
  if(NOT CNPD_SANITIZE)
    list(APPEND options -fsanitize=thread -O1 -g)
  endif()
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${options}")
endfunction()
