#include "cnpd/attacks/poisoning.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

void check_shape(const Attack& attack, const datasets::Images& images) {
    const AttackedData& data = attack.data();
    CNPD_CHECK(
        images.h == data.h && images.w == data.w && images.c == data.c,
        fmt::format("the attack was prepared for images of {}x{}x{}, but the images are {}x{}x{}",
                    data.h, data.w, data.c, images.h, images.w, images.c));
}

}  // namespace

void poison_training_set(const Attack& attack, const Plan& plan, datasets::Images& images) {
    check_shape(attack, images);
    for (std::size_t i = 0; i < plan.indices.size(); ++i) {
        const std::int32_t index = plan.indices[i];
        CNPD_CHECK(
            index >= 0 && index < images.n,
            fmt::format("cannot poison training image {}: the index is out of range", index));
        attack.stamp({.pixels = images.pixels.data() + index * images.h * images.w * images.c,
                      .indices = std::span(&index, 1),
                      .training = true});
        images.labels[index] = plan.labels[i];
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
        // Images whose backdoor label is their own class cannot show an effect.
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
    attack.stamp({.pixels = images.pixels.data(), .indices = poisoned.source});
    return poisoned;
}

}  // namespace cnpd::attacks
