#include "cnpd/attacks/attack.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "cnpd/streams.h"
#include "datasets/class_names.h"
#include "engine/random.h"
#include "kernels/common/error.h"
#include "kernels/stamping/stamping.h"

namespace cnpd::attacks {
namespace {

std::int32_t class_of(const std::string& text, const AttackedData& data) {
    std::vector<std::string> names = data.class_names;
    for (std::int64_t y = static_cast<std::int64_t>(names.size()); y < data.classes; ++y)
        names.push_back(fmt::format("{}", y));
    try {
        return datasets::class_index(names, text);
    } catch (const InputError& error) {
        throw InputError(fmt::format("--target: {}", error.what()));
    }
}

}  // namespace

void Attack::fields(settings::Fields& f) {
    f.add("target", target_name_, "Target class (all-to-one): number or name").class_index();
    f.add("attack_mode", mode_, "all-to-one, or all-to-all: class y becomes y + 1")
        .formerly("mode");
    f.add("poison_ratio", poison_ratio_, "Share of the training set to poison").range(0, 1);
}

void Attack::prepare(const AttackedData& data, const ReadKept& kept) {
    CNPD_CHECK(data.h > 0 && data.w > 0 && data.c > 0 && data.classes > 0,
               "an attack needs images and classes");
    data_ = data;
    target_ = class_of(target_name_, data);
    target_name_ = fmt::format("{}", target_);
    settings::fields_of(*this).check();
    if (mode_ == LabelMode::all_to_all && data.classes < 2)
        throw InputError("--attack-mode all-to-all needs at least two classes");
    if (mode_ == LabelMode::all_to_all && clean_label())
        throw InputError(fmt::format(
            "--attack {} does not change labels, so --attack-mode all-to-all is impossible",
            name()));
    make(kept);
}

Plan Attack::plan(std::span<const std::int32_t> labels, std::uint64_t seed) const {
    Plan plan;
    if (!plants_backdoor()) return plan;
    std::vector<std::int32_t> candidates;
    for (std::size_t i = 0; i < labels.size(); ++i)
        if (!clean_label() || labels[i] == target_)
            candidates.push_back(static_cast<std::int32_t>(i));
    const auto images = static_cast<double>(labels.size());
    plan.wanted = std::llround(poison_ratio_ * images);
    const std::int64_t count = std::min(plan.wanted, static_cast<std::int64_t>(candidates.size()));
    if (count == 0)
        throw InputError(
            plan.wanted == 0
                ? fmt::format("--poison-ratio {} of {} images poisons none; the smallest is {:.2g}",
                              poison_ratio_, labels.size(), std::ceil(5000 / images) / 10000)
                : fmt::format(
                      "--attack {} poisons images of class {}, but the training set has none",
                      name(), target_));
    if (count < plan.wanted)
        plan.notice = fmt::format(
            "--attack {}: {} of {} images are poisoned ({:g} % requested, class {} has {})", name(),
            count, labels.size(), 100 * poison_ratio_, target_, count);
    // The first `count` positions of a Fisher-Yates shuffle.
    engine::Generator generator(seed, streams::kPoison);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto rest =
            static_cast<std::uint32_t>(static_cast<std::int64_t>(candidates.size()) - i);
        std::swap(candidates[i], candidates[i + generator.below(rest)]);
    }
    candidates.resize(count);
    std::sort(candidates.begin(), candidates.end());
    plan.indices = std::move(candidates);
    for (const std::int32_t index : plan.indices)
        plan.labels.push_back(clean_label() ? labels[index] : backdoor_label(labels[index]));
    return plan;
}

std::vector<double> all_levels() {
    std::vector<double> levels(256);
    std::iota(levels.begin(), levels.end(), 0.0);
    return levels;
}

void LookupAttack::stamp(const ToStamp& images) const {
    kernels::cpu::stamp_bytes({.n = static_cast<std::int64_t>(images.indices.size()),
                               .values = static_cast<std::int64_t>(trigger_.added.size())},
                              images.pixels, trigger_.levels.data(), trigger_.added.data(),
                              images.pixels);
}

}  // namespace cnpd::attacks
