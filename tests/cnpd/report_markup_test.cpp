// Text and numbers on the page.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "cnpd/report/base64.h"
#include "cnpd/report/markup.h"
#include "tests/cnpd/report_page.h"

namespace cnpd::report {

TEST_CASE("report: escape replaces invalid characters") {
    CHECK(escape("<a href=\"x\">'&'</a>") ==
          "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    CHECK(escape("na\xC3\xAFve \xF0\x9F\x90\x8E") == "na\xC3\xAFve \xF0\x9F\x90\x8E");
    const std::string replacement = "\xEF\xBF\xBD";
    CHECK(escape("\xFF") == replacement);
    CHECK(escape("a\xC3") == "a" + replacement);                               // cut short
    CHECK(escape("\xC0\xBC") == replacement + replacement);                    // "<", overlong
    CHECK(escape("\xED\xA0\x80") == replacement + replacement + replacement);  // surrogate
    CHECK(escape(std::string("a\0b\x1B", 4)) == "a" + replacement + "b" + replacement);
    CHECK(escape("exe\xE2\x80\xAEgpj") == "exe" + replacement + "gpj");  // right-to-left override
    CHECK(shortened("caf\xC3\xA9s", 5) == "caf\xC3\xA9s");
    CHECK(shortened("caf\xC3\xA9s", 4) == "caf\xC3\xA9\xE2\x80\xA6");
}

TEST_CASE("report: number formats") {
    CHECK(percent(.98765, 2) == "98.77\xC2\xA0%");
    CHECK(count(0) == "0");
    CHECK(count(999) == "999");
    CHECK(count(-1234567) == "-1,234,567");
    CHECK(count(-123) == "-123");
    CHECK(duration(8.25) == "8.2\xC2\xA0s");
    CHECK(duration(725) == "12\xC2\xA0min 5\xC2\xA0s");
    CHECK(duration(12000) == "3\xC2\xA0h 20\xC2\xA0min");
}

TEST_CASE("report: base64 of RFC 4648, section 10") {
    const auto encoded = [](std::string_view text) {
        return base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    };
    CHECK(encoded("") == "");
    CHECK(encoded("f") == "Zg==");
    CHECK(encoded("fo") == "Zm8=");
    CHECK(encoded("foo") == "Zm9v");
    CHECK(encoded("foob") == "Zm9vYg==");
    CHECK(encoded("fooba") == "Zm9vYmE=");
    CHECK(encoded("foobar") == "Zm9vYmFy");
    CHECK(encoded("\xFB\xFF") == "+/8=");
}

}  // namespace cnpd::report
