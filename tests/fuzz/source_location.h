// std::source_location for clang before 16, for which libstdc++ does not define it. CMakeLists.txt
// includes this before all other headers.
#pragma once

#include <cstdint>

namespace std {

class source_location {
  public:
    static constexpr source_location current(const char* file = __builtin_FILE(),
                                             const char* function = __builtin_FUNCTION(),
                                             std::uint_least32_t line = __builtin_LINE()) {
        source_location location;
        location.file_ = file;
        location.function_ = function;
        location.line_ = line;
        return location;
    }
    constexpr const char* file_name() const { return file_; }
    constexpr const char* function_name() const { return function_; }
    constexpr std::uint_least32_t line() const { return line_; }

  private:
    const char *file_ = "", *function_ = "";
    std::uint_least32_t line_ = 0;
};

}  // namespace std
