#pragma once
// How the values of enumerations are written, in options and in files.
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "cnpd/ops/adversarial.h"
#include "cnpd/polarizers/registry.h"
#include "cnpd/training/bilevel.h"
#include "cnpd/training/precision.h"
#include "cnpd/training/settings.h"
#include "cnpd/training/victim.h"
#include "kernels/common/error.h"

namespace cnpd::training {

template <class Enum>
struct Names;
template <>
struct Names<Recipe::Schedule> {
    static constexpr std::pair<Recipe::Schedule, const char*> all[] = {
        {Recipe::Schedule::one_cycle, "one-cycle"}, {Recipe::Schedule::cosine, "cosine"}};
};
template <>
struct Names<attacks::LabelMode> {
    static constexpr std::pair<attacks::LabelMode, const char*> all[] = {
        {attacks::LabelMode::all_to_one, "all-to-one"},
        {attacks::LabelMode::all_to_all, "all-to-all"}};
};
template <>
struct Names<PgdThrough> {
    static constexpr std::pair<PgdThrough, const char*> all[] = {
        {PgdThrough::plain, "plain"},
        {PgdThrough::composite, "composite"},
        {PgdThrough::both, "both"}};
};
template <>
struct Names<polarizers::BatchNormMode> {
    static constexpr std::pair<polarizers::BatchNormMode, const char*> all[] = {
        {polarizers::BatchNormMode::frozen, "frozen"},
        {polarizers::BatchNormMode::frozen, "eval"},
        {polarizers::BatchNormMode::train, "train"}};
};
template <>
struct Names<BatchNormStart> {
    static constexpr std::pair<BatchNormStart, const char*> all[] = {
        {BatchNormStart::calibrated, "calibrated"},
        {BatchNormStart::shared, "shared"},
        {BatchNormStart::published, "published"}};
};
template <>
struct Names<DefenseRecipe> {
    static constexpr std::pair<DefenseRecipe, const char*> all[] = {
        {DefenseRecipe::tuned, "tuned"}, {DefenseRecipe::published, "published"}};
};
template <>
struct Names<ops::PgdGradient> {
    static constexpr std::pair<ops::PgdGradient, const char*> all[] = {
        {ops::PgdGradient::sign, "sign"},
        {ops::PgdGradient::raw, "raw"},
        {ops::PgdGradient::normalised, "normalised"}};
};
template <>
struct Names<ops::PgdNorm> {
    static constexpr std::pair<ops::PgdNorm, const char*> all[] = {
        {ops::PgdNorm::l2, "l2"}, {ops::PgdNorm::linf, "linf"}, {ops::PgdNorm::l1, "l1"}};
};
template <>
struct Names<Strategy> {
    static constexpr std::pair<Strategy, const char*> all[] = {
        {Strategy::random, "random"}, {Strategy::second, "second"},
        {Strategy::target, "target"}, {Strategy::wrong, "wrong"},
        {Strategy::given, "given"},   {Strategy::untarget, "untarget"}};
};
template <>
struct Names<polarizers::Structure> {
    static constexpr std::pair<polarizers::Structure, const char*> all[] = {
        {polarizers::Structure::conv_bn, "conv-bn"},
        {polarizers::Structure::conv, "conv"},
        {polarizers::Structure::bn, "bn"},
        {polarizers::Structure::double_conv_bn, "conv-bn-conv-bn"}};
};
template <>
struct Names<polarizers::Embedding> {
    static constexpr std::pair<polarizers::Embedding, const char*> all[] = {
        {polarizers::Embedding::concat, "concat"}, {polarizers::Embedding::film, "film"}};
};
template <>
struct Names<Precision> {
    static constexpr std::pair<Precision, const char*> all[] = {
        {Precision::fp32, "fp32"}, {Precision::tf32, "tf32"}, {Precision::bf16, "bf16"}};
};

// A value's first name is the one that is written. Throws InputError that names `what` and the
// known values.
template <class Enum>
Enum value_named(std::string_view what, std::string_view name) {
    std::string known;
    for (const auto& [value, its_name] : Names<Enum>::all) {
        if (name == its_name) return value;
        known += (known.empty() ? "" : ", ") + std::string(its_name);
    }
    throw InputError(fmt::format("unknown {} '{}'; known: {}", what, name, known));
}

template <class Enum>
const char* name_of(Enum value) {
    for (const auto& [known, name] : Names<Enum>::all)
        if (known == value) return name;
    return "";
}

}  // namespace cnpd::training
