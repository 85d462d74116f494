// A stable counting sort by one block, so that sums over a class always run in the same order.
// Every warp handles a contiguous share of the samples and has a row of counters in shared memory.
// One match instruction finds which of 32 samples have the same class, and the first of them
// increments the counter for all, so that the result does not depend on timing. There are two
// passes over the shares: the first counts, the second writes, after the counts have become
// offsets.
//
// 200 classes, 16,384 samples, 32 warps: 16 steps per pass. 64 KB of labels are read twice and 64
// KB of offsets written, and 18 KB of tiles for 16 rows per sample: 0.1 us of memory. The limit is
// the instruction rate of one multiprocessor, about 40 instructions per step and warp, 8 warps per
// scheduler: 2 x 5,000 cycles, and 3,000 for sums over 32 x 200 counters and for the tiles.
// Predicted: 8 us and a launch. The previous version, a pass over all samples for every class, had
// 200 x 64 steps of two barriers (about 1 ms). More blocks would halve the passes and add two
// launches.
#include "kernels/polarizer/grouping.h"

#include <algorithm>

#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kMostThreads = 1024;
constexpr int kNoClass = -1;
constexpr int kAhead = 4;  // labels of a thread that are read at once

// First and end of a warp's share of the samples, in whole groups of 32.
struct Share {
    std::int64_t begin, end;
};
__device__ Share share_of_warp(std::int64_t samples) {
    const std::int64_t warps = blockDim.x / 32, groups = (samples + 31) / 32;
    const std::int64_t length = (groups + warps - 1) / warps * 32;
    const std::int64_t begin = threadIdx.x / 32 * length;
    return {begin, begin + length < samples ? begin + length : samples};
}

// Calls visit(n, place) for each sample of the share that has a class: `place` is the value of the
// class's counter, which is then incremented.
template <typename Visit>
__device__ void count_share(const std::int32_t* labels, const PolarizerShape& s, int* counter,
                            const Visit& visit) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const Share share = share_of_warp(s.n);
    for (std::int64_t begin = share.begin; begin < share.end; begin += 32 * kAhead) {
        int label[kAhead];
        for (int k = 0; k < kAhead; ++k) {
            const std::int64_t n = begin + 32 * k + lane;
            label[k] = n >= share.end ? kNoClass : labels ? labels[n] : 0;
            if (label[k] < 0 || label[k] >= s.classes) label[k] = kNoClass;
        }
        for (int k = 0; k < kAhead; ++k) {
            const unsigned alike = __match_any_sync(kAllLanes, label[k]);
            const int first = __ffs(static_cast<int>(alike)) - 1;
            int place = 0;
            if (lane == first && label[k] != kNoClass) {
                place = counter[label[k]];
                counter[label[k]] = place + __popc(alike);
            }
            place = __shfl_sync(kAllLanes, place, first) + __popc(alike & ((1u << lane) - 1));
            if (label[k] != kNoClass) visit(begin + 32 * k + lane, place);
            __syncwarp();  // another lane may use the counter in the next step
        }
    }
}

// Samples and tiles of classes.
struct Counts {
    int samples, tiles;
    __device__ Counts operator+(const Counts& other) const {
        return {samples + other.samples, tiles + other.tiles};
    }
};

// Sums over the threads before this one, and over the block. All threads take part.
struct Scan {
    Counts before, total;
};
__device__ Scan scan(Counts mine) {
    __shared__ int samples_of[kMostThreads / 32], tiles_of[kMostThreads / 32];
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    Counts sum = mine;
    for (int distance = 1; distance < 32; distance *= 2) {
        const Counts below{__shfl_up_sync(kAllLanes, sum.samples, distance),
                           __shfl_up_sync(kAllLanes, sum.tiles, distance)};
        if (lane >= distance) sum = sum + below;
    }
    if (lane == 31) {
        samples_of[warp] = sum.samples;
        tiles_of[warp] = sum.tiles;
    }
    __syncthreads();
    Scan result{{sum.samples - mine.samples, sum.tiles - mine.tiles}, {0, 0}};
    for (int w = 0; w < static_cast<int>(blockDim.x / 32); ++w) {
        const Counts of_warp{samples_of[w], tiles_of[w]};
        if (w < warp) result.before = result.before + of_warp;
        result.total = result.total + of_warp;
    }
    __syncthreads();  // samples_of and tiles_of may be written again
    return result;
}

// The tiles of the classes that a warp's lanes hold: one class after the other, by all lanes.
__device__ void write_tiles(int label, Counts first, int tiles, int2* tile) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    for (int source = 0; source < 32; ++source) {
        const int begin = __shfl_sync(kAllLanes, first.tiles, source);
        const int count = __shfl_sync(kAllLanes, tiles, source);
        for (int i = lane; i < count; i += 32)
            tile[begin + i] = make_int2(label - lane + source, i);
    }
}

// counter [warps,classes]: turns the number of samples of a class in a warp's share into the offset
// of the first of them. Writes all other parts of the groups. Returns how many samples have a
// class.
__device__ int place_classes(const PolarizerShape& s, int* counter, const Groups& groups) {
    const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
    const auto classes = static_cast<int>(s.classes);
    Counts first{0, 0};
    for (int label0 = 0; label0 < classes; label0 += threads) {
        const int label = label0 + thread;
        Counts mine{0, 0};
        if (label < classes) {
            for (int at = label; at < threads / 32 * classes; at += classes)
                mine.samples += counter[at];
            const std::int64_t rows = mine.samples * s.positions;
            mine.tiles = static_cast<int>((rows + kTileRows - 1) / kTileRows);
        }
        const Scan sums = scan(mine);
        const Counts here = first + sums.before;
        if (label < classes) {
            groups.first[label] = here.samples;
            groups.first_tile[label] = here.tiles;
            int place = here.samples;
            for (int at = label; at < threads / 32 * classes; at += classes) {
                const int count = counter[at];
                counter[at] = place;
                place += count;
            }
        }
        write_tiles(label, here, mine.tiles, groups.tile);
        first = first + sums.total;
    }
    if (thread == 0) {
        groups.first[classes] = first.samples;
        groups.first_tile[classes] = first.tiles;
    }
    for (std::int64_t tile = first.tiles + thread; tile < most_tiles(s); tile += threads)
        groups.tile[tile] = make_int2(kNoClass, 0);
    return first.samples;
}

__global__ void __launch_bounds__(kMostThreads)
    sort_by_label(const std::int32_t* labels, PolarizerShape s, Groups groups) {
    CNPD_DYNAMIC_SHARED(int, counter);  // [warps,classes]
    const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
    int* const of_warp = counter + thread / 32 * s.classes;
    for (std::int64_t y = thread % 32; y < s.classes; y += 32) of_warp[y] = 0;
    __syncwarp();
    count_share(labels, s, of_warp, [](std::int64_t, int) {});
    __syncthreads();
    const int placed = place_classes(s, counter, groups);
    __syncthreads();
    count_share(labels, s, of_warp, [&](std::int64_t n, int place) {
        groups.order[place] = static_cast<std::int32_t>(n);
    });
    for (std::int64_t at = placed + thread; at < s.n; at += threads) groups.order[at] = kNoClass;
}

}  // namespace

void group_samples(const PolarizerShape& shape, const std::int32_t* labels, std::int32_t* words) {
    // As many warps as there are samples and memory for counters: with 2,000 classes or more not
    // all fit.
    constexpr std::int64_t kSharedBytes = 96 << 10, kMostWarps = kMostThreads / 32;
    const std::int64_t row_bytes = shape.classes * static_cast<std::int64_t>(sizeof(int));
    const std::int64_t fitting = kSharedBytes / std::max<std::int64_t>(row_bytes, 1);
    const std::int64_t warps = std::clamp<std::int64_t>(
        std::min<std::int64_t>(fitting, ceil_div(shape.n, 32)), 1, kMostWarps);
    launch({.name = "group_samples",
            .grid = 1,
            .block = static_cast<unsigned>(32 * warps),
            .dynamic_shared = static_cast<std::size_t>(warps * row_bytes)},
           sort_by_label, labels, shape, groups_in(shape, words));
}

}  // namespace cnpd::kernels::cuda
