#include "kernels/common/error.h"

namespace cnpd {

Error::Error(const std::string& message, std::source_location where)
    : std::runtime_error(message), where_(where) {}

namespace {
std::string file_message(std::string_view path, std::string_view found, std::string_view expected) {
    std::string message;
    message.append(path).append(": ").append(found);
    if (!expected.empty()) message.append("; expected ").append(expected);
    return message;
}
}  // namespace

FileError::FileError(std::string_view path, std::string_view found, std::string_view expected,
                     std::source_location where)
    : InputError(file_message(path, found, expected), where) {}

namespace detail {
void check_failed(const char* expression, const std::string& message, std::source_location where) {
    throw Error(message + " (" + expression + " is false)", where);
}
void shape_failed(const char* expression, const std::string& message, std::source_location where) {
    throw ShapeError(message + " (" + expression + " is false)", where);
}
}  // namespace detail
}  // namespace cnpd
