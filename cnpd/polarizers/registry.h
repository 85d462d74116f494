// The polarizers by name.
#pragma once

#include <memory>

#include "cnpd/polarizers/e_cnpd.h"
#include "cnpd/polarizers/polarizer.h"

namespace cnpd::polarizers {

struct PolarizerSettings {
    std::string name = "r-cnpd";
    Structure structure = Structure::conv_bn;  // npd and r-cnpd
    std::int64_t experts = 0;                  // a-cnpd; 0: 8 for up to 10 classes, else 16
    std::int64_t embedding_width = 16;         // a-cnpd's queries and keys, e-cnpd's classes
    Embedding embedding = Embedding::concat;   // e-cnpd
};

struct PolarizerInfo {
    std::string_view name, description;
};
// The known ones, for --help.
const std::vector<PolarizerInfo>& registry();
bool is_known(std::string_view name);

// Where a polarizer is put.
struct PolarizerPlace {
    std::int64_t classes = 0, channels = 0;
    engine::Device device;
};

// An untrained polarizer, the identity. Throws InputError for an unknown name or impossible
// settings.
std::unique_ptr<Polarizer> make_polarizer(const PolarizerSettings& settings,
                                          const PolarizerPlace& place, std::uint64_t seed);

}  // namespace cnpd::polarizers
