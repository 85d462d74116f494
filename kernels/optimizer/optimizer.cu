// One pass over every buffer of a step, limited by device memory: SGD 12 bytes per element, 20 with
// momentum, Adam 28. A network has dozens of small parameters, so they share launches: the kernel's
// arguments contain a table of parameters, and each block looks up the parameter that it updates.
#include "kernels/optimizer/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/cuda.h"
#include "kernels/common/device_workspace.h"
#include "kernels/common/vector_access.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kPart = 8192;  // elements per block

// As many as fit the 4096 bytes of a kernel's arguments.
constexpr int kMostBuffers = 32;
template <typename Buffer>
struct Table {
    Buffer of[kMostBuffers];
    unsigned first_block[kMostBuffers + 1];  // of each buffer
    int count;
};

template <typename Buffer>
__device__ bool rests(const Buffer& buffer) {
    return buffer.active && *buffer.active == 0;
}

__device__ bool is_aligned(const void* address) {
    return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

struct SgdStep {
    using Buffer = SgdBuffer;
    SgdSettings settings;

    // Values shared by all elements of a buffer.
    struct Common {
        float learning_rate;
    };
    __device__ Common common(const Buffer& b) const { return {*b.learning_rate}; }
    __device__ static bool aligned(const Buffer& b) {
        return is_aligned(b.gradient) && is_aligned(b.parameter) && is_aligned(b.velocity);
    }

    // All threads take the same branches; their cost is negligible compared with the memory
    // traffic.
    template <int Width>
    __device__ void at(const Buffer& b, const Common& common, std::int64_t i) const {
        auto p = load<Width>(b.parameter + i);
        auto step = load<Width>(b.gradient + i);
        for (int k = 0; k < Width; ++k) step.of[k] += b.weight_decay * p.of[k];
        if (settings.momentum != 0) {
            auto v = load<Width>(b.velocity + i);
            for (int k = 0; k < Width; ++k) v.of[k] = settings.momentum * v.of[k] + step.of[k];
            store(b.velocity + i, v);
            for (int k = 0; k < Width; ++k)
                step.of[k] = settings.nesterov ? step.of[k] + settings.momentum * v.of[k] : v.of[k];
        }
        for (int k = 0; k < Width; ++k) p.of[k] -= common.learning_rate * step.of[k];
        store(b.parameter + i, p);
    }
};

struct AdamStep {
    using Buffer = AdamBuffer;
    AdamSettings settings;

    struct Common {
        float beta1, share1, beta2, share2;  // share: 1 - beta
        float step_size, inverse_correction2;
    };
    // In double, by every thread: two powers per several dozen elements.
    __device__ Common common(const Buffer& b) const {
        const auto t = static_cast<double>(*b.updates);
        return {.beta1 = static_cast<float>(settings.beta1),
                .share1 = static_cast<float>(1 - settings.beta1),
                .beta2 = static_cast<float>(settings.beta2),
                .share2 = static_cast<float>(1 - settings.beta2),
                .step_size = static_cast<float>(*b.learning_rate / (1 - pow(settings.beta1, t))),
                .inverse_correction2 = static_cast<float>(1 / sqrt(1 - pow(settings.beta2, t)))};
    }
    __device__ static bool aligned(const Buffer& b) {
        return is_aligned(b.gradient) && is_aligned(b.parameter) && is_aligned(b.first_moment) &&
               is_aligned(b.second_moment);
    }

    template <int Width>
    __device__ void at(const Buffer& b, const Common& c, std::int64_t i) const {
        auto p = load<Width>(b.parameter + i), m = load<Width>(b.first_moment + i),
             v = load<Width>(b.second_moment + i);
        const auto gradients = load<Width>(b.gradient + i);
        for (int k = 0; k < Width; ++k) {
            const float g = gradients.of[k] + b.weight_decay * p.of[k];
            m.of[k] = c.beta1 * m.of[k] + c.share1 * g;
            v.of[k] = c.beta2 * v.of[k] + c.share2 * g * g;
            p.of[k] -=
                c.step_size * m.of[k] / (sqrtf(v.of[k]) * c.inverse_correction2 + settings.eps);
        }
        store(b.parameter + i, p);
        store(b.first_moment + i, m);
        store(b.second_moment + i, v);
    }
};

template <typename Step>
__global__ void __launch_bounds__(kThreads)
    update(const Table<typename Step::Buffer> table, Step step) {
    int which = 0;
    while (blockIdx.x >= table.first_block[which + 1]) ++which;
    const auto& buffer = table.of[which];
    if (rests(buffer)) return;
    const auto common = step.common(buffer);
    const std::int64_t begin = (blockIdx.x - table.first_block[which]) * kPart;
    const std::int64_t end = begin + kPart < buffer.count ? begin + kPart : buffer.count;
    std::int64_t done = begin;
    if (Step::aligned(buffer)) {
        done = begin + (end - begin) / 4 * 4;
        for (std::int64_t i = begin + 4 * threadIdx.x; i < done; i += 4 * kThreads)
            step.template at<4>(buffer, common, i);
    }
    for (std::int64_t i = done + threadIdx.x; i < end; i += kThreads)
        step.template at<1>(buffer, common, i);
}

__global__ void count_updates(const Table<AdamBuffer> table) {
    const int which = static_cast<int>(threadIdx.x);
    if (which < table.count && !rests(table.of[which])) ++*table.of[which].updates;
}

// Calls launch(table, blocks) for as many buffers at a time as fit.
template <typename Buffer, typename Launch>
void for_tables(const Buffer* buffers, std::int64_t count, const Launch& launch_table) {
    for (std::int64_t first = 0; first < count; first += kMostBuffers) {
        Table<Buffer> table{};
        unsigned blocks = 0;
        for (std::int64_t i = first; i < count && table.count < kMostBuffers; ++i) {
            table.of[table.count] = buffers[i];
            blocks += ceil_div(buffers[i].count, kPart);
            table.first_block[++table.count] = blocks;
        }
        launch_table(table, blocks);
    }
}

// Rows of gradients are cut into slices, a block for each: first to compute the norm, then to
// scale.
constexpr int kMostRowBuffers = 8;
struct RowBuffers {
    RowsBuffer of[kMostRowBuffers];
    int count;
};

template <typename Visit>
__device__ void for_slice(const RowBuffers& buffers, const Visit& visit) {
    for (int which = 0; which < buffers.count; ++which) {
        const RowsBuffer& buffer = buffers.of[which];
        float* const row = buffer.gradient + blockIdx.y * buffer.values;
        for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
             i < buffer.values; i += static_cast<std::int64_t>(gridDim.x) * kThreads)
            visit(row[i]);
    }
}

// squares [rows,slices]
__global__ void __launch_bounds__(kThreads)
    slice_squares(const __grid_constant__ RowBuffers buffers, double* squares) {
    double sum = 0;
    for_slice(buffers, [&](float& g) { sum += double{g} * g; });
    sum = block_sum<kThreads>(sum);
    if (threadIdx.x == 0) squares[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    scale_slices(const __grid_constant__ RowBuffers buffers, RowClipping clipping,
                 const double* squares, float* factors) {
    double sum = 0;  // of all slices, by every thread in the same order
    for (unsigned slice = 0; slice < gridDim.x; ++slice)
        sum += squares[blockIdx.y * gridDim.x + slice];
    const double norm = clipping.factor * sqrt(sum);
    double factor = norm > 0 ? clipping.factor : 0;
    if (clipping.norm > 0 && norm > clipping.norm) factor *= clipping.norm / norm;
    if (!isfinite(norm)) factor = NAN;
    const auto rounded = static_cast<float>(factor);
    if (blockIdx.x == 0 && threadIdx.x == 0) factors[blockIdx.y] = rounded;
    for_slice(buffers, [&](float& g) { g *= rounded; });
}

}  // namespace

void sgd_step(const SgdSettings& settings, const SgdBuffer* buffers, std::int64_t count) {
    for_tables(buffers, count, [&](const Table<SgdBuffer>& table, unsigned blocks) {
        if (blocks == 0) return;
        launch({.name = "sgd_step", .grid = blocks, .block = kThreads}, update<SgdStep>, table,
               SgdStep{settings});
    });
}

void adam_step(const AdamSettings& settings, const AdamBuffer* buffers, std::int64_t count) {
    for_tables(buffers, count, [&](const Table<AdamBuffer>& table, unsigned blocks) {
        launch({.name = "adam_step", .grid = 1, .block = kMostBuffers}, count_updates, table);
        if (blocks == 0) return;
        launch({.name = "adam_step", .grid = blocks, .block = kThreads}, update<AdamStep>, table,
               AdamStep{settings});
    });
}

void clip_rows(const RowClipping& clipping, const RowsBuffer* buffers, std::int64_t count,
               float* factors) {
    if (clipping.rows == 0) return;
    RowBuffers all{};
    std::int64_t values = 1;
    for (std::int64_t i = 0; i < count && i < kMostRowBuffers; ++i) {
        all.of[all.count++] = buffers[i];
        values = std::max(values, buffers[i].values);
    }
    constexpr std::int64_t kMostSlices = 32;
    const unsigned slices = std::min<unsigned>(ceil_div(values, 4 * kThreads), kMostSlices);
    const LaunchShape shape = {.name = "clip_rows",
                               .grid = {slices, static_cast<unsigned>(clipping.rows)},
                               .block = kThreads};
    const DeviceWorkspace squares(static_cast<std::size_t>(clipping.rows) * slices *
                                  sizeof(double));
    launch(shape, slice_squares, all, squares.as<double>());
    launch(shape, scale_slices, all, clipping, squares.as<double>(), factors);
}

}  // namespace cnpd::kernels::cuda
