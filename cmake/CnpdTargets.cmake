# cnpd_room(NAME [FOLDER folder] [DEPENDS targets...] [PRIVATE targets...]) makes a library from all .cpp files
# below a folder, the current one by default, and installs it. With a CUDA backend, real or emulated, it
# includes the .cu files; without one, the files *_none.cpp instead. DEPENDS: our libraries that it may use.
# PRIVATE: other libraries that only its .cpp files use.
function(cnpd_room name)
  cmake_parse_arguments(ROOM "" "FOLDER" "DEPENDS;PRIVATE" ${ARGN})
  # Relative, so that the names of the directories above the project do not matter.
  file(GLOB_RECURSE sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS
       ${CMAKE_CURRENT_SOURCE_DIR}/${ROOM_FOLDER}/*.cpp)
  if(NOT CNPD_EMULATED)
    list(FILTER sources EXCLUDE REGEX "(^|/)emulator/")
  endif()
  if(NOT CNPD_REAL_CUDA)
    list(FILTER sources EXCLUDE REGEX "_cuda\\.cpp$")
  endif()
  if(CNPD_EMULATED OR CNPD_REAL_CUDA)
    list(FILTER sources EXCLUDE REGEX "_none\\.cpp$")
    file(GLOB_RECURSE cuda_sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS
         ${CMAKE_CURRENT_SOURCE_DIR}/${ROOM_FOLDER}/*.cu)
    cnpd_cuda_sources(${cuda_sources})
    list(APPEND sources ${cuda_sources})
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC cnpd_usage ${ROOM_DEPENDS})
  # Users of the installed static library have to link its private libraries, but do not need its private
  # headers or flags.
  foreach(item IN ITEMS cnpd_flags LISTS ROOM_PRIVATE)
    set(type UNKNOWN)
    if(TARGET ${item})
      get_target_property(type ${item} TYPE)
    endif()
    if(type STREQUAL "INTERFACE_LIBRARY")
      set(item $<BUILD_INTERFACE:${item}>)
    endif()
    target_link_libraries(${name} PRIVATE ${item})
  endforeach()
  cnpd_install_room(${name})
  # A line for tests/machine/rooms_test.py: name, folder, dependencies.
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${ROOM_FOLDER})
  list(JOIN ROOM_DEPENDS " " depends)
  set_property(GLOBAL APPEND PROPERTY CNPD_ROOM_TABLE "${name} ${folder} ${depends}")
endfunction()

# cnpd_tests(NAME FOLDER libraries...) makes one doctest program from a folder of tests; every
# TEST_CASE becomes a test of ctest.
function(cnpd_tests name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp)
  if(CNPD_EMULATED OR CNPD_REAL_CUDA)
    file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cu)
    cnpd_cuda_sources(${cuda_sources})
    list(APPEND sources ${cuda_sources})
  endif()
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources} ${CMAKE_CURRENT_SOURCE_DIR}/support/main.cpp)
  target_link_libraries(${name} PRIVATE ${ARGN} cnpd_test_support cnpd_flags)
  # Spinning threads make the tests take minutes longer if other processes use the CPU.
  doctest_discover_tests(${name} TEST_PREFIX "${folder}/"
                         PROPERTIES TIMEOUT 600 ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()

# cnpd_cuda_tests(NAME FOLDER SPEC): in a build for CUDA, the test cases of cnpd_tests(NAME FOLDER)
# that match SPEC run again as cuda/FOLDER/..., on the GPU only; without a GPU they are skipped.
function(cnpd_cuda_tests name folder spec)
  if(CNPD_REAL_CUDA)
    doctest_discover_tests(${name} TEST_PREFIX "cuda/${folder}/" TEST_SPEC ${spec}
                           PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77 RUN_SERIAL ON
                                      ENVIRONMENT CNPD_TEST_CUDA=1)
  endif()
endfunction()
