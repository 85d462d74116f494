// Checks of error messages about a wrong layout of a data set.
#pragma once

#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "tests/support/files.h"

namespace cnpd::tests {

// One line with the folder, the `path` in it, and what was found there.
inline void check_names(const std::string& message, const TemporaryDirectory& folder,
                        std::string_view path, std::string_view found) {
    CAPTURE(message);
    CAPTURE(found);
    CHECK(message.starts_with(folder.path().string() + (path.empty() ? "" : "/")));
    CHECK(message.find(path) != std::string::npos);
    CHECK(message.find(found) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
}

}  // namespace cnpd::tests
