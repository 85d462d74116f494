// Shared by the polarizer's grouped matrix products: the rows of a class as operands of a tile, and
// the grouping itself. Device code.
#pragma once

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/polarizer/grouping.h"
#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels::cuda {

// The rows of one class among [N,P,C].
struct ClassRows {
    const std::int32_t* order;  // the class's samples
    std::int64_t rows, positions;

    __device__ std::int64_t sample(std::int64_t row) const { return order[row / positions]; }
    // Offset of the row, in rows of [N P, C].
    __device__ std::int64_t place(std::int64_t row) const {
        return sample(row) * positions + row % positions;
    }
};
__device__ inline ClassRows rows_of(const Groups& groups, int label, std::int64_t positions) {
    const int first = groups.first[label];
    return {groups.order + first, (groups.first[label + 1] - first) * positions, positions};
}

// The rows that blocks blockIdx.x of a grouped product compute: those of a class from row0 on. The
// label of a block without work is negative.
struct BlockRows {
    int label;
    ClassRows rows;
    std::int64_t row0;
};
__device__ inline BlockRows rows_of_block(const Groups& groups, std::int64_t positions,
                                          std::int64_t rows_of_tile) {
    const int2 tile = groups.tile[blockIdx.x];
    if (tile.x < 0) return {tile.x, {}, 0};
    return {tile.x, rows_of(groups, tile.x, positions), tile.y * rows_of_tile};
}

// Row i of the class's rows; the channel is k.
template <typename T>
struct RowLoader {
    static constexpr bool along_k = true;
    struct Line {
        std::int64_t place;  // negative: no such row
    };
    ClassRows rows;
    const T* data;
    std::int64_t channels;

    __device__ Line line(std::int64_t i) const { return {i < rows.rows ? rows.place(i) : -1}; }
    __device__ float at(const Line& line, std::int64_t k) const {
        return line.place < 0 ? 0.0f : data[line.place * channels + k];
    }
};

// The same data transposed: line i is a channel, k runs over the class's rows.
template <typename T>
struct ChannelLoader {
    static constexpr bool along_k = false;
    struct Line {
        std::int64_t channel;
    };
    ClassRows rows;
    const T* data;
    std::int64_t channels;

    __device__ Line line(std::int64_t i) const { return {i}; }
    __device__ float at(const Line& line, std::int64_t k) const {
        return line.channel < channels ? data[rows.place(k) * channels + line.channel] : 0.0f;
    }
};

// The grouping of a batch, in scratch memory.
class Grouping {
  public:
    Grouping(const PolarizerShape& s, const std::int32_t* labels, std::int64_t rows_of_tile)
        : shape_{.samples = s.n,
                 .classes = s.classes,
                 .rows_of_sample = s.positions,
                 .rows_of_tile = rows_of_tile},
          order_(sizeof(std::int32_t) * static_cast<std::size_t>(s.n)),
          first_(sizeof(std::int32_t) * static_cast<std::size_t>(s.classes + 1)),
          first_tile_(sizeof(std::int32_t) * static_cast<std::size_t>(s.classes)),
          tile_(sizeof(int2) * static_cast<std::size_t>(shape_.most_tiles())) {
        group_by_label(labels, shape_, groups());
    }
    Groups groups() const {
        return {order_.as<std::int32_t>(), first_.as<std::int32_t>(), tile_.as<int2>(),
                first_tile_.as<std::int32_t>()};
    }
    unsigned tiles() const { return static_cast<unsigned>(shape_.most_tiles()); }

  private:
    GroupShape shape_;
    DeviceWorkspace order_, first_, first_tile_, tile_;
};

}  // namespace cnpd::kernels::cuda
