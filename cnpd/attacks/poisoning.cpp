#include "cnpd/attacks/poisoning.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "engine/random.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

constexpr std::uint64_t kPoisonStream = 0x706f69736f6e;  // "poison"

void check_shape(const Attack& attack, const datasets::Images& images) {
    const AttackedData& data = attack.data();
    CNPD_CHECK(images.h == data.h && images.w == data.w && images.c == data.c,
               fmt::format("an attack made for images of {}x{}x{} is given images of {}x{}x{}",
                           data.h, data.w, data.c, images.h, images.w, images.c));
}

}  // namespace

PoisonedIndices choose_poisoned(const Attack& attack, std::span<const std::int32_t> labels,
                                double ratio, std::uint64_t seed) {
    if (!(ratio >= 0 && ratio <= 1))
        throw InputError(fmt::format("poison ratio {} is not between 0 and 1", ratio));
    PoisonedIndices chosen;
    if (!attack.plants_backdoor()) return chosen;
    std::vector<std::int32_t> candidates;
    for (std::size_t i = 0; i < labels.size(); ++i)
        if (!attack.clean_label() || labels[i] == attack.options().target)
            candidates.push_back(static_cast<std::int32_t>(i));
    chosen.wanted = std::llround(ratio * static_cast<double>(labels.size()));
    const std::int64_t count =
        std::min(chosen.wanted, static_cast<std::int64_t>(candidates.size()));
    if (count < chosen.wanted)
        chosen.notice = fmt::format("{}: {} images were to be poisoned, but class {} has only {}",
                                    attack.name(), chosen.wanted, attack.options().target, count);
    // The first `count` places of a Fisher-Yates shuffle.
    engine::Generator generator(seed, kPoisonStream);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto rest =
            static_cast<std::uint32_t>(static_cast<std::int64_t>(candidates.size()) - i);
        std::swap(candidates[i], candidates[i + generator.below(rest)]);
    }
    candidates.resize(count);
    std::sort(candidates.begin(), candidates.end());
    chosen.indices = std::move(candidates);
    return chosen;
}

void poison_training_set(const Attack& attack, std::span<const std::int32_t> indices,
                         datasets::Images& images) {
    check_shape(attack, images);
    for (std::int32_t index : indices) {
        CNPD_CHECK(index >= 0 && index < images.n,
                   fmt::format("there is no training image {} to poison", index));
        attack.stamp(images.pixels.data() + index * images.h * images.w * images.c);
        if (!attack.clean_label())
            images.labels[index] = attack.backdoor_label(images.labels[index]);
    }
}

PoisonedTest make_poisoned_test(const Attack& attack, const datasets::Images& test) {
    check_shape(attack, test);
    PoisonedTest poisoned;
    datasets::Images& images = poisoned.images;
    images.h = test.h;
    images.w = test.w;
    images.c = test.c;
    if (!attack.plants_backdoor()) return poisoned;
    for (std::int64_t i = 0; i < test.n; ++i)
        // An image of the target class says nothing: the label it is to get is its own.
        if (attack.backdoor_label(test.labels[i]) != test.labels[i])
            poisoned.source.push_back(static_cast<std::int32_t>(i));
    const std::int64_t image_size = test.h * test.w * test.c;
    images.n = static_cast<std::int64_t>(poisoned.source.size());
    images.pixels.resize(images.n * image_size);
    for (std::int64_t i = 0; i < images.n; ++i) {
        const std::int32_t source = poisoned.source[i];
        std::copy_n(test.pixels.data() + source * image_size, image_size,
                    images.pixels.data() + i * image_size);
        images.labels.push_back(attack.backdoor_label(test.labels[source]));
        poisoned.original_labels.push_back(test.labels[source]);
    }
    attack.stamp(images.pixels.data(), images.n);
    return poisoned;
}

}  // namespace cnpd::attacks
