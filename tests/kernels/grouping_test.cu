// Grouping of a batch by label, compared with std::stable_sort.
#include "kernels/polarizer/grouping.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/common/philox.h"

using namespace cnpd::kernels;

namespace {

// Memory of the GPU, real or emulated.
template <typename T>
class Device {
  public:
    explicit Device(std::int64_t count) : count_(count) {
        memory_ = static_cast<T*>(gpu::allocate(std::max<std::int64_t>(count, 1) * sizeof(T)));
    }
    explicit Device(const std::vector<T>& values)
        : Device(static_cast<std::int64_t>(values.size())) {
        gpu::copy_to_device(memory_, values.data(), values.size() * sizeof(T));
    }
    ~Device() { gpu::release(memory_); }
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    T* data() const { return memory_; }
    std::vector<T> host() const {
        std::vector<T> values(count_);
        gpu::copy_to_host(values.data(), memory_, values.size() * sizeof(T));
        return values;
    }

  private:
    std::int64_t count_;
    T* memory_ = nullptr;
};

std::vector<std::int32_t> random_labels(std::int64_t count, std::int64_t classes) {
    std::vector<std::int32_t> labels;
    for (std::int64_t i = 0; i < count; ++i)
        labels.push_back(static_cast<std::int32_t>(below_from_bits(
            philox(7, static_cast<std::uint64_t>(classes), static_cast<std::uint64_t>(i)).v[0],
            static_cast<std::uint32_t>(classes))));
    return labels;
}

struct HostGroups {
    std::vector<int2> tile;
    std::vector<std::int32_t> order, first, first_tile;

    HostGroups(const PolarizerShape& s, const std::vector<std::int32_t>& words)
        : tile(most_tiles(s)), order(s.n), first(s.classes + 1), first_tile(s.classes + 1) {
        const std::int32_t* from = words.data();
        for (int2& each : tile) each = make_int2(*from, *(from + 1)), from += 2;
        for (auto* part : {&order, &first, &first_tile}) {
            std::copy_n(from, part->size(), part->begin());
            from += part->size();
        }
        CHECK(from == words.data() + words.size());
    }
};

HostGroups grouped(const std::vector<std::int32_t>* labels, const PolarizerShape& shape) {
    const Device<std::int32_t> device_labels(labels ? *labels : std::vector<std::int32_t>{});
    const Device<std::int32_t> words(group_words(shape));
    cuda::group_samples(shape, labels ? device_labels.data() : nullptr, words.data());
    gpu::synchronize();
    return {shape, words.host()};
}

bool has_class(std::int32_t label, const PolarizerShape& shape) {
    return label >= 0 && label < shape.classes;
}

void check_grouping(const std::vector<std::int32_t>& labels, const PolarizerShape& shape,
                    const HostGroups& groups) {
    std::vector<std::int32_t> sorted(labels.size());
    std::iota(sorted.begin(), sorted.end(), 0);
    std::erase_if(sorted, [&](auto n) { return !has_class(labels[n], shape); });
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](auto a, auto b) { return labels[a] < labels[b]; });
    const auto placed = static_cast<std::int32_t>(sorted.size());
    sorted.resize(labels.size(), -1);
    CHECK(groups.order == sorted);

    std::vector<std::int32_t> first, first_tile;
    std::vector<std::pair<int, int>> expected, tiles;
    std::int32_t begin = 0;
    for (std::int32_t y = 0; y < shape.classes; ++y) {
        first.push_back(begin);
        first_tile.push_back(static_cast<std::int32_t>(expected.size()));
        const auto samples = std::count(labels.begin(), labels.end(), y);
        for (std::int64_t row = 0; row < samples * shape.positions; row += kTileRows)
            expected.emplace_back(y, row / kTileRows);
        begin += static_cast<std::int32_t>(samples);
    }
    first.push_back(placed);
    first_tile.push_back(static_cast<std::int32_t>(expected.size()));
    CHECK(groups.first == first);
    CHECK(groups.first_tile == first_tile);
    REQUIRE(static_cast<std::int64_t>(expected.size()) <= most_tiles(shape));
    expected.resize(static_cast<std::size_t>(most_tiles(shape)), {-1, 0});
    for (const int2& tile : groups.tile) tiles.emplace_back(tile.x, tile.y);
    CHECK(tiles == expected);
}

}  // namespace

TEST_CASE("grouping: the order of std::stable_sort, and every tile once") {
    if (gpu::device_count() == 0) return;
    // Sizes around a warp's samples and those that it reads at once, and more classes than samples.
    for (const std::int64_t samples : {0, 1, 31, 33, 128, 257, 1000})
        for (const std::int64_t classes : {1, 2, 43, 300})
            for (const std::int64_t positions : {1, 100}) {
                CAPTURE(samples);
                CAPTURE(classes);
                CAPTURE(positions);
                const PolarizerShape shape{
                    .n = samples, .positions = positions, .classes = classes};
                const auto labels = random_labels(samples, classes);
                check_grouping(labels, shape, grouped(&labels, shape));
            }
}

TEST_CASE("grouping: one class for all, with and without labels") {
    if (gpu::device_count() == 0) return;
    const PolarizerShape shape{.n = 70, .positions = 5, .classes = 3};
    check_grouping(std::vector<std::int32_t>(70, 0), shape, grouped(nullptr, shape));
    const std::vector<std::int32_t> last(70, 2);
    check_grouping(last, shape, grouped(&last, shape));
}

TEST_CASE("grouping: several steps per warp, several classes per thread") {
    if (gpu::device_count() == 0) return;
    // With 2,500 classes there is memory for the counters of nine warps.
    for (const auto& [samples, classes] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {4133, 200}, {131, 1000}, {301, 2500}}) {
        CAPTURE(samples);
        CAPTURE(classes);
        const PolarizerShape shape{.n = samples, .positions = 16, .classes = classes};
        const auto labels = random_labels(samples, classes);
        check_grouping(labels, shape, grouped(&labels, shape));
    }
}

TEST_CASE("grouping: labels outside of the classes") {
    if (gpu::device_count() == 0) return;
    const PolarizerShape shape{.n = 200, .positions = 4, .classes = 10};
    auto labels = random_labels(200, 10);
    for (std::size_t n = 0; n < labels.size(); n += 3) labels[n] = n % 2 ? -1 : 10;
    labels[40] = std::numeric_limits<std::int32_t>::max();
    labels[41] = std::numeric_limits<std::int32_t>::min();
    check_grouping(labels, shape, grouped(&labels, shape));
    const std::vector<std::int32_t> none(200, -1);
    check_grouping(none, shape, grouped(&none, shape));
}

TEST_CASE("grouping: a graph is replayed with other labels") {
    if (gpu::device_count() == 0) return;
    const PolarizerShape shape{.n = 500, .positions = 3, .classes = 7};
    const Device<std::int32_t> labels(shape.n), words(group_words(shape));
    const auto graph =
        gpu::Graph::capture([&] { cuda::group_samples(shape, labels.data(), words.data()); });
    CHECK(graph.nodes() == 1);
    for (const std::int64_t present : {7, 2}) {
        const auto values = random_labels(shape.n, present);
        gpu::copy_to_device(labels.data(), values.data(), values.size() * sizeof(values[0]));
        graph.launch();
        gpu::synchronize();
        check_grouping(values, shape, {shape, words.host()});
    }
}
