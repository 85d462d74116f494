// The grouping of a batch by label, against the standard library's stable sort.
#include "kernels/polarizer/grouping.h"

#include <algorithm>
#include <numeric>

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
    std::vector<std::int32_t> order, first;
    std::vector<int2> tile;
};

HostGroups grouped(const std::vector<std::int32_t>* labels, const cuda::GroupShape& shape) {
    const Device<std::int32_t> device_labels(labels ? *labels : std::vector<std::int32_t>{});
    const Device<std::int32_t> order(shape.samples), first(shape.classes + 1);
    const Device<int2> tile(shape.most_tiles());
    cuda::group_by_label(labels ? device_labels.data() : nullptr, shape,
                         {order.data(), first.data(), tile.data()});
    gpu::synchronize();
    return {order.host(), first.host(), tile.host()};
}

void check_grouping(const std::vector<std::int32_t>& labels, const cuda::GroupShape& shape,
                    const HostGroups& groups) {
    std::vector<std::int32_t> sorted(labels.size());
    std::iota(sorted.begin(), sorted.end(), 0);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](auto a, auto b) { return labels[a] < labels[b]; });
    CHECK(groups.order == sorted);

    std::int64_t tiles = 0;
    for (std::int32_t y = 0; y < shape.classes; ++y) {
        const auto before =
            std::count_if(labels.begin(), labels.end(), [y](auto label) { return label < y; });
        CHECK(groups.first[y] == before);
        const auto rows = std::count(labels.begin(), labels.end(), y) * shape.rows_of_sample;
        for (std::int64_t row = 0; row < rows; row += shape.rows_of_tile, ++tiles) {
            REQUIRE(tiles < shape.most_tiles());
            CHECK(groups.tile[tiles].x == y);
            CHECK(groups.tile[tiles].y == row / shape.rows_of_tile);
        }
    }
    CHECK(groups.first[shape.classes] == shape.samples);
    for (; tiles < shape.most_tiles(); ++tiles) CHECK(groups.tile[tiles].x == -1);
}

}  // namespace

TEST_CASE("grouping: the order of std::stable_sort, and every tile once") {
    if (gpu::device_count() == 0) return;
    // Around a block's 256 threads, and more classes than samples.
    for (const std::int64_t samples : {0, 1, 31, 255, 256, 257, 1000})
        for (const std::int64_t classes : {1, 2, 43, 300})
            for (const std::int64_t rows_of_sample : {1, 16, 100}) {
                CAPTURE(samples);
                CAPTURE(classes);
                CAPTURE(rows_of_sample);
                const cuda::GroupShape shape{.samples = samples,
                                             .classes = classes,
                                             .rows_of_sample = rows_of_sample,
                                             .rows_of_tile = 64};
                const auto labels = random_labels(samples, classes);
                check_grouping(labels, shape, grouped(&labels, shape));
            }
}

TEST_CASE("grouping: one class for all, given or not") {
    if (gpu::device_count() == 0) return;
    const cuda::GroupShape shape{
        .samples = 70, .classes = 3, .rows_of_sample = 5, .rows_of_tile = 64};
    check_grouping(std::vector<std::int32_t>(70, 0), shape, grouped(nullptr, shape));
    const std::vector<std::int32_t> last(70, 2);
    check_grouping(last, shape, grouped(&last, shape));
}
