#include "cnpd/data/poisoned_data.h"

#include <nlohmann/json.hpp>

#include "kernels/common/error.h"
#include "tests/support/files.h"

namespace cnpd::data {
namespace {

using nlohmann::ordered_json;

// `each` images per class, without pixels.
datasets::Images labelled(std::int64_t classes, std::int64_t each) {
    datasets::Images images{.n = classes * each};
    for (std::int64_t i = 0; i < images.n; ++i)
        images.labels.push_back(static_cast<std::int32_t>(i % classes));
    return images;
}

TEST_CASE("a clean subset far from its ratio has a notice with the reason") {
    const CleanSubset rounded = draw_clean_subset(labelled(1000, 3), 1000, 0.5, 0);
    CHECK(rounded.indices.size() == 1000);
    CHECK(rounded.notice ==
          "--clean-ratio 0.5: took 1000 of 3000 images (33 %), because 1.5 images for each of 1000 "
          "classes are rounded down to 1");

    datasets::Images uneven = labelled(2, 20);
    uneven.labels.assign(40, 0);
    uneven.labels[7] = uneven.labels[9] = 1;
    const CleanSubset scarce = draw_clean_subset(uneven, 2, 0.5, 0);
    CHECK(scarce.indices.size() == 12);
    CHECK(scarce.notice ==
          "--clean-ratio 0.5: took 12 of 40 images (30 %), because 1 of 2 classes have fewer than "
          "the 10 images needed");
}

TEST_CASE("a clean subset close to its ratio has no notice") {
    CHECK(draw_clean_subset(labelled(10, 5000), 10, 0.05, 0).notice.empty());
    CHECK(draw_clean_subset(labelled(10, 60), 10, 0.2, 0).notice.empty());
    // 10.4 of each are rounded to 10.
    CHECK(draw_clean_subset(labelled(10, 104), 10, 0.1, 0).notice.empty());
    CHECK(draw_clean_subset(labelled(3, 7), 3, 1, 0).indices.size() == 21);
}

TEST_CASE("indices.json has positions in the whole set and names of files") {
    datasets::Dataset data;
    const std::vector<Positions> lists = {{"poisoned", {0, 2}}, {"clean_subset", {1}}};
    CHECK(describe_images(data, lists) == ordered_json::parse(R"({
        "poisoned": [0, 2], "clean_subset": [1],
        "original": {"poisoned": [0, 2], "clean_subset": [1]}})"));
    data.train_origin = {.indices = {4, 5, 9}, .files = {"a/4.png", "a/5.png", "b/9.png"}};
    CHECK(describe_images(data, lists) == ordered_json::parse(R"({
        "poisoned": [0, 2], "clean_subset": [1],
        "original": {"poisoned": [4, 9], "clean_subset": [5]},
        "files": {"poisoned": ["a/4.png", "b/9.png"], "clean_subset": ["a/5.png"]}})"));
}

}  // namespace
}  // namespace cnpd::data
