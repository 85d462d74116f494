#include "cnpd/data/input_info.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernels/common/error.h"

namespace cnpd::data {

using nlohmann::ordered_json;

namespace {

const ordered_json& member(const ordered_json& object, const char* key) {
    if (!object.is_object()) throw InputError("\"input\" is not an object");
    const auto found = object.find(key);
    if (found == object.end()) throw InputError(fmt::format("\"{}\" is missing", key));
    return *found;
}

std::int64_t side(const ordered_json& object, const char* key, std::int64_t largest) {
    const ordered_json& value = member(object, key);
    if (!value.is_number_integer()) throw InputError(fmt::format("\"{}\" is not an integer", key));
    const auto number = value.is_number_unsigned() && value.get<std::uint64_t>() > 1u << 20
                            ? largest + 1
                            : value.get<std::int64_t>();
    if (number < 1 || number > largest)
        throw InputError(
            fmt::format("\"{}\" {} is out of range: 1 to {}", key, value.dump(), largest));
    return number;
}

template <class T>
std::vector<T> list(const ordered_json& object, const char* key) {
    try {
        return member(object, key).get<std::vector<T>>();
    } catch (const nlohmann::json::exception&) {
        throw InputError(fmt::format("\"{}\" has the wrong type", key));
    }
}

InputInfo read(const ordered_json& object) {
    InputInfo input{.h = side(object, "height", 4096),
                    .w = side(object, "width", 4096),
                    .c = side(object, "channels", 16),
                    .mean = list<float>(object, "mean"),
                    .std = list<float>(object, "std"),
                    .class_names = list<std::string>(object, "class_names")};
    const auto channels = static_cast<std::size_t>(input.c);
    if (input.mean.size() != channels || input.std.size() != channels)
        throw InputError(fmt::format(
            "\"mean\" and \"std\" need one value for each of the {} channels", channels));
    for (const float deviation : input.std)
        if (!(deviation >= 1e-6f && deviation <= 1e6f))  // written so that NaN fails
            throw InputError(fmt::format("\"std\" {} is out of range", deviation));
    if (input.class_names.size() < 2)
        throw InputError("\"class_names\" has fewer than two entries");
    return input;
}

}  // namespace

InputInfo input_info(const datasets::Dataset& data) {
    return {.h = data.train.h,
            .w = data.train.w,
            .c = data.train.c,
            .mean = data.mean,
            .std = data.std,
            .class_names = data.class_names};
}

ordered_json to_json(const InputInfo& input) {
    return {{"height", input.h},  {"width", input.w}, {"channels", input.c},
            {"mean", input.mean}, {"std", input.std}, {"class_names", input.class_names}};
}

InputInfo input_info(const ordered_json& config, std::string_view path) {
    try {
        return read(member(config, "input"));
    } catch (const InputError& e) {
        throw FileError(path, e.what(), "a config.json written by cnpd");
    }
}

}  // namespace cnpd::data
