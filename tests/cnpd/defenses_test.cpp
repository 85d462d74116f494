#include "cnpd/defenses/registry.h"

#include <set>
#include <string>

#include <doctest/doctest.h>

#include "cnpd/polarizers/registry.h"
#include "kernels/common/error.h"
#include "tests/support/files.h"

using namespace cnpd;

TEST_CASE("every polarizer is a defense, and no name stands for two") {
    std::set<std::string_view> names;
    for (const defenses::DefenseInfo& info : defenses::registry()) {
        CAPTURE(info.name);
        CHECK(names.insert(info.name).second);
        CHECK_FALSE(info.description.empty());
        CHECK(defenses::info_of(info.name).description == info.description);
        CHECK((info.polarizer.empty() || polarizers::is_known(info.polarizer)));
    }
    for (const polarizers::PolarizerInfo& info : polarizers::registry())
        CHECK(defenses::info_of(info.name).polarizer == info.name);
    CHECK(names.contains("ensemble"));
    CHECK(defenses::info_of("ft").polarizer.empty());
}

TEST_CASE("an unknown defense is refused with the names of the known ones") {
    const std::string said = tests::message_of([] { defenses::info_of("x-cnpd"); });
    CHECK(said.find("x-cnpd") != std::string::npos);
    for (const defenses::DefenseInfo& info : defenses::registry())
        CHECK(said.find(info.name) != std::string::npos);
    CHECK_THROWS_AS(defenses::info_of("x-cnpd"), InputError);
}
