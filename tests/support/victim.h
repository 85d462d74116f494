// The fixtures' network as a frozen victim.
#pragma once

#include <memory>

#include "engine/checkpoint.h"
#include "models/classifier.h"
#include "tests/support/fixtures.h"

namespace cnpd::tests {

inline std::unique_ptr<models::Classifier> fixture_victim() {
    engine::Generator generator(1);
    auto victim = models::make_model({.width = 8}, generator, {});
    auto state = victim->state();
    engine::load_tensors(fixture_path("preact_resnet18"), state);
    victim->freeze();
    return victim;
}

}  // namespace cnpd::tests
