// Input format and classes of a model, so that it can be used without its data set. Stored with the
// run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "datasets/dataset.h"

namespace cnpd::data {

struct InputInfo {
    std::int64_t h = 0, w = 0, c = 0;
    std::vector<float> mean, std;  // per channel, of pixels in [0,1]
    std::vector<std::string> class_names;

    std::int64_t classes() const { return static_cast<std::int64_t>(class_names.size()); }
};
InputInfo input_info(const datasets::Dataset& data);

// The object "input" of config.json.
nlohmann::ordered_json to_json(const InputInfo& input);
// Throws FileError for missing values, wrong types and values out of range.
InputInfo input_info(const nlohmann::ordered_json& config, std::string_view path);

}  // namespace cnpd::data
