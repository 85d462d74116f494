#include "cnpd/defenses/defense.h"

#include <set>
#include <string>

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "tests/support/files.h"

using namespace cnpd;

TEST_CASE("every polarizer is a defense, and names are unique") {
    std::set<std::string> names;
    for (const auto& entry : defenses::registry().entries()) {
        CAPTURE(entry.name);
        CHECK(names.insert(entry.name).second);
        CHECK_FALSE(entry.description.empty());
        CHECK(defenses::registry().make(entry.name) != nullptr);
    }
    for (const char* method : {"npd", "r-cnpd", "e-cnpd", "a-cnpd", "ensemble", "ft"})
        CHECK(names.contains(method));
}

TEST_CASE("an unknown defense is refused with the names of the known ones") {
    const std::string said = tests::message_of([] { defenses::registry().make("x-cnpd"); });
    CHECK(said.find("did you mean 'r-cnpd'?") != std::string::npos);
    for (const std::string& name : defenses::registry().names())
        CHECK(said.find(name) != std::string::npos);
    CHECK_THROWS_AS(defenses::registry().make("x-cnpd"), InputError);
}
