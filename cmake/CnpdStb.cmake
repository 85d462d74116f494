# cnpd_stb_image(TARGET) gives TARGET's own sources "cnpd_stb_image.h", the system's stb_image.h less
# a fault: where the codes of a corrupt JPEG end early, versions before 2.28 have consumed more bits
# than there were, and then shift the byte that follows by 32 and more. It is zero by then, but the
# behaviour is undefined. In a version without that line the two headers are the same.
function(cnpd_stb_image target)
  find_path(STB_INCLUDE_DIR stb/stb_image.h REQUIRED)
  set(header ${STB_INCLUDE_DIR}/stb/stb_image.h)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(READ ${header} text)
  set(fault "j->code_buffer |= b << (24 - j->code_bits);")
  string(REPLACE "${fault}" "if (b) ${fault}" text "${text}")
  file(CONFIGURE OUTPUT stb/cnpd_stb_image.h CONTENT "@text@" @ONLY)
  target_include_directories(${target} SYSTEM PRIVATE ${STB_INCLUDE_DIR}
                                                      ${CMAKE_CURRENT_BINARY_DIR}/stb)
endfunction()
