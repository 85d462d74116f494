#include "kernels/polarizer/grouping.h"

#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

__device__ int label_of(const std::int32_t* labels, std::int64_t n) {
    return labels ? labels[n] : 0;
}

// One block: counts, their running sum, and then each class's samples in their order. A stable
// counting sort, so that sums over a class always run in the same order.
__global__ void __launch_bounds__(kThreads)
    sort_by_label(const std::int32_t* labels, GroupShape s, Groups groups) {
    CNPD_DYNAMIC_SHARED(int, count);  // [classes]
    __shared__ int of_warp[kWarps];
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    for (std::int64_t y = thread; y < s.classes; y += kThreads) count[y] = 0;
    __syncthreads();
    for (std::int64_t n = thread; n < s.samples; n += kThreads)
        atomicAdd(&count[label_of(labels, n)], 1);
    __syncthreads();
    if (thread == 0) {
        int samples = 0, tiles = 0;
        for (std::int64_t y = 0; y < s.classes; ++y) {
            groups.first[y] = samples;
            const auto rows = static_cast<std::int64_t>(count[y]) * s.rows_of_sample;
            const int tiles_here = static_cast<int>((rows + s.rows_of_tile - 1) / s.rows_of_tile);
            for (int tile = 0; tile < tiles_here; ++tile)
                groups.tile[tiles + tile] = make_int2(static_cast<int>(y), tile);
            samples += count[y];
            tiles += tiles_here;
        }
        groups.first[s.classes] = samples;
        for (std::int64_t tile = tiles; tile < s.most_tiles(); ++tile)
            groups.tile[tile] = make_int2(-1, 0);
    }
    // Class by class, the samples that have it move to the front: place = samples of the class seen
    // before, by ballots.
    for (std::int64_t y = 0; y < s.classes; ++y) {
        int seen = 0;
        __syncthreads();
        const int first = groups.first[y];
        for (std::int64_t begin = 0; begin < s.samples; begin += kThreads) {
            const std::int64_t n = begin + thread;
            const bool mine = n < s.samples && label_of(labels, n) == y;
            const unsigned votes = __ballot_sync(kAllLanes, mine);
            if (lane == 0) of_warp[warp] = __popc(votes);
            __syncthreads();
            int place = seen + __popc(votes & ((1u << lane) - 1));
            for (int w = 0; w < kWarps; ++w) {
                if (w < warp) place += of_warp[w];
                seen += of_warp[w];
            }
            if (mine) groups.order[first + place] = static_cast<std::int32_t>(n);
            __syncthreads();
        }
    }
}

}  // namespace

void group_by_label(const std::int32_t* labels, const GroupShape& shape, const Groups& groups) {
    launch({.name = "group_by_label",
            .grid = 1,
            .block = kThreads,
            .dynamic_shared = static_cast<std::size_t>(shape.classes) * sizeof(int)},
           sort_by_label, labels, shape, groups);
}

}  // namespace cnpd::kernels::cuda
