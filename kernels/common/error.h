// The errors of the whole project. Libraries throw; only main() catches, prints one line and exits.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cnpd {

// Base of all exceptions of the project. what() is one line, without file and line of the source;
// where() has these.
class Error : public std::runtime_error {
  public:
    explicit Error(const std::string& message,
                   std::source_location where = std::source_location::current());
    const std::source_location& where() const { return where_; }

  private:
    std::source_location where_;
};

// The user's input is invalid: an option, a file, a device by name. Exit status 2.
class InputError : public Error {
    using Error::Error;
};

// A file cannot be read or written, or has unexpected contents. Exit status 2.
class FileError : public InputError {
  public:
    // The message is "<path>: <found>" or, with an expectation, "<path>: <found>; expected <...>".
    FileError(std::string_view path, std::string_view found, std::string_view expected = {},
              std::source_location where = std::source_location::current());
};

// A device that this build or machine does not have. Exit status 2.
class DeviceError : public InputError {
    using InputError::InputError;
};

// A tensor's shape or element type does not fit the operation.
class ShapeError : public Error {
    using Error::Error;
};

// A numerical failure, for example a NaN or infinite loss.
class NumericError : public Error {
    using Error::Error;
};

// The CUDA runtime or one of NVIDIA's libraries failed.
class CudaError : public Error {
    using Error::Error;
};

// Ctrl-C, after the checkpoint has been written. Exit status 130.
class Interrupted : public Error {
    using Error::Error;
};

namespace detail {
[[noreturn]] void check_failed(const char* expression, const std::string& message,
                               std::source_location where);
[[noreturn]] void shape_failed(const char* expression, const std::string& message,
                               std::source_location where);
}  // namespace detail
}  // namespace cnpd

// Throws Error with the expression if it is false. The message is evaluated only then.
#define CNPD_CHECK(expression, message)                                                            \
    do {                                                                                           \
        if (!(expression)) [[unlikely]]                                                            \
            ::cnpd::detail::check_failed(#expression, (message), std::source_location::current()); \
    } while (false)

// The same with ShapeError, for the arguments of an operation.
#define CNPD_CHECK_SHAPE(expression, message)                                                      \
    do {                                                                                           \
        if (!(expression)) [[unlikely]]                                                            \
            ::cnpd::detail::shape_failed(#expression, (message), std::source_location::current()); \
    } while (false)
