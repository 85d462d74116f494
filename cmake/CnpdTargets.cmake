# cnpd_room(NAME [DEPENDS targets...]) makes the library of one room from all its .cpp files. Files
# below tests/, versions/ and cli/ belong to other targets.
function(cnpd_room name)
  cmake_parse_arguments(ROOM "" "" "DEPENDS;PRIVATE" ${ARGN})
  # Relative, so that the names of the directories above the project do not matter.
  file(GLOB_RECURSE sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS
       ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "(^|/)(versions|cli)/")
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC cnpd_flags ${ROOM_DEPENDS} PRIVATE ${ROOM_PRIVATE})
endfunction()

# cnpd_tests(NAME FOLDER libraries...) makes one doctest program of a folder of tests; every
# TEST_CASE becomes a test of ctest's.
function(cnpd_tests name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources} ${CMAKE_CURRENT_SOURCE_DIR}/support/main.cpp)
  target_link_libraries(${name} PRIVATE ${ARGN} cnpd_test_support)
  # Threads that spin while they wait cost minutes where others want the processor too.
  doctest_discover_tests(${name} TEST_PREFIX "${folder}/"
                         PROPERTIES TIMEOUT 600 ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()
