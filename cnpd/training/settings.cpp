#include "cnpd/training/settings.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/training/experiment.h"
#include "cnpd/training/names.h"
#include "kernels/common/error.h"

namespace cnpd::training {

using nlohmann::ordered_json;

namespace {

// One list of fields for each struct serves both directions.
struct Writer {
    ordered_json& json;

    template <class T>
    void operator()(const char* key, const T& value) const {
        if constexpr (std::is_enum_v<T>) {
            json[key] = name_of(value);
        } else if constexpr (std::is_same_v<T, float>) {
            // The shortest decimal that is this float, instead of the double nearest to it.
            json[key] = std::stod(fmt::format("{}", value));
        } else {
            json[key] = value;
        }
    }
    // A value that older files lack.
    template <class T>
    void optional(const char* key, const T& value) const {
        (*this)(key, value);
    }
    template <class Fields>
    void group(const char* key, const Fields& body) const {
        ordered_json child = ordered_json::object();
        body(Writer{child});
        json[key] = std::move(child);
    }
};

// One value of a JSON file. Throws InputError that names the key.
template <class T>
void read_value(const char* key, const ordered_json& json, T& value) {
    if constexpr (std::is_enum_v<T>) {
        for (const auto& [known, name] : Names<T>::all)
            if (json == name) {
                value = known;
                return;
            }
        throw InputError(fmt::format("\"{}\" is unknown", key));
    } else if constexpr (std::is_same_v<T, bool>) {
        if (!json.is_boolean()) throw InputError(fmt::format("\"{}\" is not true or false", key));
        value = json.get<bool>();
    } else if constexpr (std::is_integral_v<T>) {
        if (!json.is_number_integer())
            throw InputError(fmt::format("\"{}\" is not an integer", key));
        const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                                    : std::in_range<T>(json.get<std::int64_t>());
        if (!fits) throw InputError(fmt::format("\"{}\" {} is out of range", key, json.dump()));
        value = json.get<T>();
    } else if constexpr (std::is_floating_point_v<T>) {
        if (!json.is_number()) throw InputError(fmt::format("\"{}\" is not a number", key));
        value = json.get<T>();
    } else {
        try {
            json.get_to(value);
        } catch (const nlohmann::json::exception&) {
            throw InputError(fmt::format("\"{}\" is of another type", key));
        }
    }
}

struct Reader {
    const ordered_json& json;

    const ordered_json& at(const char* key) const {
        const auto found = json.find(key);
        if (found == json.end()) throw InputError(fmt::format("\"{}\" is missing", key));
        return *found;
    }
    template <class T>
    void operator()(const char* key, T& value) const {
        read_value(key, at(key), value);
    }
    template <class T>
    void optional(const char* key, T& value) const {
        if (json.contains(key)) (*this)(key, value);
    }
    template <class Fields>
    void group(const char* key, const Fields& body) const {
        body(Reader{at(key)});
    }
};

template <class Archive, class T>
void recipe_fields(const Archive& field, T& r) {
    field("recipe", r.name);
    field("epochs", r.epochs);
    field("batch_size", r.batch_size);
    field("learning_rate", r.learning_rate);
    field("momentum", r.momentum);
    field("nesterov", r.nesterov);
    field("weight_decay", r.weight_decay);
    field("schedule", r.schedule);
    field("warm_up", r.warm_up);
}

template <class Archive, class T>
void victim_fields(const Archive& archive, T& s) {
    archive.group("dataset", [&](const auto& field) {
        field("name", s.data.name);
        field("data", s.data.directory);
        field("train_limit", s.data.train_limit);
        field("test_limit", s.data.test_limit);
        field("image_size", s.data.image_size);
    });
    archive.group("model", [&](const auto& field) {
        field("name", s.model);
        field("width", s.width);
        field.optional("head", s.head);
    });
    archive.group("attack", [&](const auto& field) {
        auto& a = s.attack_options;
        field("name", s.attack);
        field("target", a.target);
        field("mode", a.mode);
        field("poison_ratio", a.poison_ratio);
        field("badnets_patch", a.badnets_patch);
        field("blend_alpha", a.blend_alpha);
        field("blend_pattern", a.blend_pattern);
        field("blend_seed", a.blend_seed);
        field("sig_amplitude", a.sig_amplitude);
        field("sig_frequency", a.sig_frequency);
    });
    archive.group("training", [&](const auto& field) {
        recipe_fields(field, s.recipe);
        field("augment", s.augment);
        field("evaluate_every", s.evaluate_every);
        field("seed", s.seed);
    });
}

template <class Archive, class T>
void bilevel_fields(const Archive& field, T& b) {
    field("insertion_point", b.insertion_point);
    field("warmup_epochs", b.warmup_epochs);
    field("epochs", b.epochs);
    field("batch_size", b.batch_size);
    field("learning_rate", b.learning_rate);
    field("warmup_rate", b.warmup_rate);
    field("momentum", b.momentum);
    field("weight_decay", b.weight_decay);
    field("cosine", b.cosine);
    field("batch_norm", b.batch_norm);
    field.optional("batch_norm_start", b.batch_norm_start);
    field("clip_norm", b.clip_norm);
    field("pgd_steps", b.pgd_steps);
    field("pgd_gradient", b.pgd.gradient);
    field("pgd_norm", b.pgd.norm);
    field("pgd_step_size", b.pgd.step);
    field("pgd_radius", b.pgd.radius);
    field("pgd_through", b.pgd_through);
    field("strategy", b.strategy);
    field.optional("push_to", b.push_to);
    field("stop_share", b.stop_share);
    field("weight_clean", b.weights.clean);
    field("weight_undo", b.weights.undo);
    field("weight_strongest", b.weights.strongest);
    field("weight_target", b.weights.target);
    field("evaluate_every", b.evaluate_every);
}

template <class Archive, class T>
void defense_fields(const Archive& archive, T& s) {
    archive.group("defense", [&](const auto& field) {
        field("method", s.method);
        field.optional("recipe", s.recipe);
        field("clean_ratio", s.clean_ratio);
        field("hold_out", s.hold_out);
        field("augment", s.augment);
        field("top_k", s.top_k);
        field.optional("polarizers", s.polarizers);
        field("seed", s.seed);
    });
    archive.group("polarizer", [&](const auto& field) {
        field("structure", s.polarizer.structure);
        field("experts", s.polarizer.experts);
        field("embedding_width", s.polarizer.embedding_width);
        field("embedding", s.polarizer.embedding);
        bilevel_fields(field, s.bilevel);
    });
    archive.group("fine_tuning", [&](const auto& field) { recipe_fields(field, s.fine_tuning); });
}

template <class Archive, class T>
void input_fields(const Archive& archive, T& input) {
    archive.group("input", [&](const auto& field) {
        field("height", input.h);
        field("width", input.w);
        field("channels", input.c);
        field("mean", input.mean);
        field("std", input.std);
        field("class_names", input.class_names);
    });
}

template <class T>
void require_range(const char* option, T value, T low, T high) {
    // Written so that NaN fails.
    if (!(value >= low && value <= high))
        throw InputError(fmt::format("{} {} is out of range {}..{}", option, value, low, high));
}

constexpr std::int64_t kMaxCount = 1'000'000'000;
constexpr float kMaxWeight = 1e6f;

void validate(const Recipe& r) {
    require_range<std::int64_t>("epochs", r.epochs, 1, 100'000);
    require_range<std::int64_t>("batch-size", r.batch_size, 1, 65'536);
    require_range("lr", r.learning_rate, 0.0, 1e3);
    require_range("momentum", r.momentum, 0.0, 1.0);
    require_range("weight-decay", r.weight_decay, 0.0, 1e3);
    require_range("warm-up", r.warm_up, 0.0, 1.0);
}

void validate(const InputInfo& input) {
    require_range<std::int64_t>("height", input.h, 1, 4096);
    require_range<std::int64_t>("width", input.w, 1, 4096);
    require_range<std::int64_t>("channels", input.c, 1, 16);
    const auto channels = static_cast<std::size_t>(input.c);
    if (input.mean.size() != channels || input.std.size() != channels)
        throw InputError(
            fmt::format("\"mean\" and \"std\" need a value for each of {} channels", channels));
    for (const float deviation : input.std) require_range("std", deviation, 1e-6f, 1e6f);
    if (input.class_names.size() < 2) throw InputError("\"class_names\" names fewer than two");
}

template <class Settings, class Fields>
Settings read(const ordered_json& json, std::string_view path, const Fields& fields) {
    Settings settings;
    try {
        fields(Reader{json}, settings);
        validate(settings);
    } catch (const InputError& e) {
        throw FileError(path, e.what(), "a configuration that cnpd has written");
    }
    return settings;
}

}  // namespace

void validate(const VictimSettings& s) {
    require_range<std::int64_t>("train-limit", s.data.train_limit, 0, kMaxCount);
    require_range<std::int64_t>("test-limit", s.data.test_limit, 0, kMaxCount);
    require_range<std::int64_t>("image-size", s.data.image_size, 0, 4096);
    require_range<std::int64_t>("width", s.width, 1, 1024);
    require_range<std::int64_t>("eval-every", s.evaluate_every, 0, kMaxCount);
    validate(s.recipe);
}

void validate(const DefenseSettings& s) {
    const BilevelSettings& b = s.bilevel;
    if (!s.polarizers.empty() && s.method != "ensemble")
        throw InputError("polarizers: only the ensemble takes over those of another run");
    require_range<std::int64_t>("experts", s.polarizer.experts, 0, 4096);
    require_range<std::int64_t>("embedding-width", s.polarizer.embedding_width, 1, 4096);
    using polarizers::Structure;
    const bool stacked = s.method == "npd" || s.method == "r-cnpd";
    if (!stacked && s.polarizer.structure != Structure::conv_bn)
        throw InputError("structure: npd and r-cnpd have others than conv-bn");
    if (!(s.clean_ratio > 0 && s.clean_ratio <= 1))
        throw InputError(
            fmt::format("clean-ratio {} is out of range: above 0, at most 1", s.clean_ratio));
    require_range("hold-out", s.hold_out, 0.0, 0.9);
    require_range<std::int64_t>("epochs", b.epochs, 1, 100'000);
    require_range<std::int64_t>("warmup-epochs", b.warmup_epochs, 0, 100'000);
    require_range<std::int64_t>("batch-size", b.batch_size, 1, 65'536);
    require_range("lr", b.learning_rate, 0.0, 1e3);
    require_range("clip-norm", b.clip_norm, 0.0, 1e6);
    // Before the step size, which follows from them unless it is given.
    require_range<std::int64_t>("pgd-steps", b.pgd_steps, 1, 1000);
    require_range("pgd-radius", b.pgd.radius, 0.0f, 1e6f);
    require_range("pgd-step-size", b.pgd.step, 0.0f, 1e6f);
    if ((b.strategy == Strategy::given) != (b.push_to >= 0))
        throw InputError("push-to: the class of strategy given, and of no other");
    require_range("lambda-clean", b.weights.clean, 0.0f, kMaxWeight);
    require_range("lambda-undo", b.weights.undo, 0.0f, kMaxWeight);
    require_range("lambda-strongest", b.weights.strongest, 0.0f, kMaxWeight);
    require_range("lambda-target", b.weights.target, 0.0f, kMaxWeight);
    require_range<std::int64_t>("eval-every", b.evaluate_every, 0, kMaxCount);
    require_range<std::int64_t>("top-k", s.top_k, 1, 100'000);
    validate(s.fine_tuning);
}

ordered_json to_json(const VictimSettings& settings) {
    ordered_json json;
    victim_fields(Writer{json}, settings);
    return json;
}

ordered_json to_json(const DefenseSettings& settings) {
    ordered_json json;
    defense_fields(Writer{json}, settings);
    return json;
}

ordered_json to_json(const InputInfo& input) {
    ordered_json json;
    input_fields(Writer{json}, input);
    return json;
}

InputInfo input_info(const ordered_json& json, std::string_view path) {
    return read<InputInfo>(json, path,
                           [](const Reader& reader, auto& input) { input_fields(reader, input); });
}

VictimSettings victim_settings(const ordered_json& json, std::string_view path) {
    return read<VictimSettings>(json, path,
                                [](const Reader& reader, auto& s) { victim_fields(reader, s); });
}

DefenseSettings defense_settings(const ordered_json& json, std::string_view path) {
    return read<DefenseSettings>(json, path,
                                 [](const Reader& reader, auto& s) { defense_fields(reader, s); });
}

}  // namespace cnpd::training
