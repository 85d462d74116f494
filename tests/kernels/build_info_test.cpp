#include "kernels/common/build_info.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "kernels/common/cpu_info.h"

using namespace cnpd::kernels;

namespace {

bool has_digit(const std::string& text) {
    return std::any_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

TEST_CASE("build info names compiler, instruction sets and oneDNN's version") {
    const BuildInfo info = build_info();
    CAPTURE(info.compiler);
    CAPTURE(info.architecture);
    CAPTURE(info.onednn);
    CHECK(has_digit(info.compiler));
    CHECK(info.compiler.find(' ') != std::string::npos);
    CHECK(has_digit(info.onednn));
    CHECK(info.isa == compiled_isa());
    CHECK(!info.architecture.empty());
    CHECK(!info.onednn_isa.empty());
#if defined(__GNUC__) && !defined(__clang__)
    CHECK(info.architecture != "native");  // GCC reports which one that is
#endif
}
