#include "cnpd/data/poisoned_data.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/attacks/poisoning.h"
#include "cnpd/store/fingerprint.h"
#include "cnpd/streams.h"
#include "cnpd/terminal/log.h"
#include "cnpd/terminal/progress.h"
#include "engine/files.h"
#include "engine/random.h"
#include "kernels/common/error.h"

namespace cnpd::data {

using datasets::BatchSource;
using datasets::Images;
using nlohmann::ordered_json;

namespace {

datasets::Dataset load_with_progress(const DataSettings& settings, std::uint64_t seed) {
    std::unique_ptr<Progress> progress;
    std::int64_t shown = 0;
    return datasets::load(settings.name, {.data = settings.directory,
                                          .seed = seed,
                                          .train_limit = settings.train_limit,
                                          .test_limit = settings.test_limit,
                                          .image_size = settings.image_size,
                                          .exif = settings.exif,
                                          .progress = [&](std::int64_t done, std::int64_t total) {
                                              if (!progress)
                                                  progress = std::make_unique<Progress>(
                                                      "load images", total);
                                              progress->advance(done - std::exchange(shown, done));
                                          }});
}

std::string fingerprint_of(const datasets::Dataset& data) {
    std::string parts;
    for (const Images* images : {&data.train, &data.test}) {
        parts += store::fingerprint(std::as_bytes(std::span(images->pixels)));
        parts += store::fingerprint(std::as_bytes(std::span(images->labels)));
    }
    for (const std::string& name : data.class_names) parts += store::fingerprint(name);
    return store::fingerprint(parts);
}

Images select(const Images& from, const std::vector<std::int32_t>& indices) {
    Images chosen{.n = static_cast<std::int64_t>(indices.size()),
                  .h = from.h,
                  .w = from.w,
                  .c = from.c,
                  .pixels = {},
                  .labels = {}};
    const std::int64_t bytes = from.h * from.w * from.c;
    chosen.pixels.reserve(chosen.n * bytes);
    for (const std::int32_t index : indices) {
        const auto first = from.pixels.begin() + index * bytes;
        chosen.pixels.insert(chosen.pixels.end(), first, first + bytes);
        chosen.labels.push_back(from.labels[index]);
    }
    return chosen;
}

}  // namespace

void DataSettings::fields(settings::Fields& f) {
    std::vector<std::string> names;
    for (const auto& info : datasets::registry()) names.emplace_back(info.name);
    f.section("dataset", "Data");
    f.add("dataset", name, "Data set")
        .known(names)
        .formerly("name")
        .details(settings::described(datasets::registry()));
    f.add("data", directory,
          "Directory with the data set's files or its official archives, or a single archive "
          "(.zip, .tar.gz, .tar) of such a directory");
    constexpr double kMost = 1e9;
    f.add("train_limit", train_limit, "Use a random subset of N training images")
        .otherwise("all")
        .range(0, kMost);
    f.add("test_limit", test_limit, "Use a random subset of N test images")
        .otherwise("all")
        .range(0, kMost);
    f.add("image_size", image_size, "Resize the images to N x N pixels")
        .otherwise("the data set's own size")
        .range(0, 4096);
    f.add("exif", exif,
          "Apply the EXIF orientation of JPEGs, which is ignored by default; predict uses the "
          "run's setting")
        .since("0.2.0");
}

PoisonedData prepare(const DataSettings& settings, std::shared_ptr<attacks::Attack> attack,
                     std::uint64_t seed, const attacks::ReadKept& kept) {
    PoisonedData all{
        .data = load_with_progress(settings, seed), .attack = std::move(attack), .poisoned = {}};
    for (const std::string& notice : all.data.notices) log_info(notice);
    all.fingerprint = fingerprint_of(all.data);
    const Images& train = all.data.train;
    all.attack->prepare({.h = train.h,
                         .w = train.w,
                         .c = train.c,
                         .classes = static_cast<std::int32_t>(all.classes()),
                         .class_names = all.data.class_names},
                        kept);
    all.poisoned = all.attack->plan(train.labels, seed);
    if (!all.poisoned.notice.empty()) log_warning(all.poisoned.notice);
    return all;
}

void check_same(const InputInfo& found, const InputInfo& trained_on) {
    const auto described = [](const InputInfo& input) {
        return fmt::format("{} classes of {} x {} x {} pixels", input.class_names.size(), input.w,
                           input.h, input.c);
    };
    if (described(found) != described(trained_on))
        throw InputError(
            fmt::format("the data set has {}, the run was trained on {}; give the original data "
                        "set with --data",
                        described(found), described(trained_on)));
    for (std::size_t y = 0; y < found.class_names.size(); ++y)
        if (found.class_names[y] != trained_on.class_names[y])
            throw InputError(
                fmt::format("class {} of the data set is {}, the run's is {}; give the original "
                            "data set with --data",
                            y, engine::in_quotes(found.class_names[y]),
                            engine::in_quotes(trained_on.class_names[y])));
}

BatchSource poisoned_training_set(const PoisonedData& data, engine::Device device) {
    Images images = data.data.train;
    attacks::poison_training_set(*data.attack, data.poisoned, images);
    return {images, data.data.mean, data.data.std, device};
}

evaluation::TestSets make_test_sets(const PoisonedData& data, engine::Device device) {
    const datasets::Dataset& set = data.data;
    attacks::PoisonedTest poisoned = attacks::make_poisoned_test(*data.attack, set.test);
    return {.clean = BatchSource(set.test, set.mean, set.std, device),
            .poisoned = BatchSource(poisoned.images, set.mean, set.std, device),
            .original_labels = std::move(poisoned.original_labels),
            .poisoned_indices = std::move(poisoned.source)};
}

CleanSubset draw_clean_subset(const Images& train, std::int64_t classes, double ratio,
                              std::uint64_t seed) {
    const auto wanted = static_cast<std::int64_t>(
        std::floor(ratio * static_cast<double>(train.n) / static_cast<double>(classes) + 1e-9));
    if (wanted < 1)
        throw InputError(fmt::format(
            "--clean-ratio {} of {} images is less than one image for each of {} classes; use at "
            "least {:.2g}",
            ratio, train.n, classes, static_cast<double>(classes) / static_cast<double>(train.n)));
    std::vector<std::int64_t> drawn(classes);
    CleanSubset subset;
    for (const std::int32_t index :
         engine::Generator(seed, streams::kCleanSubset).permutation(train.n))
        if (drawn[train.labels[index]]++ < wanted) subset.indices.push_back(index);
    std::sort(subset.indices.begin(), subset.indices.end());
    const auto small = std::count_if(drawn.begin(), drawn.end(),
                                     [&](std::int64_t images) { return images < wanted; });
    const double share = static_cast<double>(subset.indices.size()) / static_cast<double>(train.n);
    std::string reason;
    if (small > 0)
        reason = fmt::format("{} of {} classes have fewer than the {} images needed", small,
                             classes, wanted);
    else if (constexpr double kMuch = 0.1; share < (1 - kMuch) * ratio)
        reason = fmt::format("{:.3g} images for each of {} classes are rounded down to {}",
                             ratio * static_cast<double>(train.n) / static_cast<double>(classes),
                             classes, wanted);
    if (!reason.empty())
        subset.notice = fmt::format("--clean-ratio {}: took {} of {} images ({:.2g} %), because {}",
                                    ratio, subset.indices.size(), train.n, 100 * share, reason);
    return subset;
}

SplitSubset hold_out(const std::vector<std::int32_t>& subset, const Images& train,
                     std::int64_t classes, double share) {
    std::vector<std::int64_t> size(classes), moved(classes);
    for (const std::int32_t index : subset) ++size[train.labels[index]];
    SplitSubset split;
    for (const std::int32_t index : subset) {
        const std::int32_t y = train.labels[index];
        const auto wanted = static_cast<std::int64_t>(share * static_cast<double>(size[y]));
        (moved[y]++ < wanted ? split.held_out : split.training).push_back(index);
    }
    return split;
}

BatchSource clean_images(const PoisonedData& data, const std::vector<std::int32_t>& indices,
                         engine::Device device) {
    return {select(data.data.train, indices), data.data.mean, data.data.std, device};
}

ordered_json describe_images(const datasets::Dataset& data, const std::vector<Positions>& lists) {
    const datasets::Origin& origin = data.train_origin;
    ordered_json all = ordered_json::object(), original = ordered_json::object(),
                 files = ordered_json::object();
    for (const auto& [name, positions] : lists) {
        all[name] = positions;
        auto& indices = original[name] = ordered_json::array();
        auto& names = files[name] = ordered_json::array();
        for (const std::int32_t position : positions) {
            indices.push_back(origin.index_of(position));
            if (!origin.files.empty()) names.push_back(origin.files.at(position));
        }
    }
    all["original"] = std::move(original);
    if (!origin.files.empty()) all["files"] = std::move(files);
    return all;
}

std::int64_t overlap(const std::vector<std::int32_t>& subset,
                     const std::vector<std::int32_t>& poisoned) {
    std::vector<std::int32_t> both;
    std::set_intersection(subset.begin(), subset.end(), poisoned.begin(), poisoned.end(),
                          std::back_inserter(both));
    return static_cast<std::int64_t>(both.size());
}

}  // namespace cnpd::data
