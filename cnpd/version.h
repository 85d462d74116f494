// The version of the program, from CMake's project().
#pragma once

namespace cnpd {
inline constexpr const char* kVersion = CNPD_VERSION;
}
