// Moves the operands of a block's 128 x 128 tile (block_tile.h) from memory through registers to
// shared memory: while one piece is multiplied, the next is loaded. Addresses are computed once, or
// advanced without divisions. For .cu files.
#pragma once

#include <initializer_list>

#include "kernels/common/cuda.h"
#include "kernels/common/vector_access.h"
#include "kernels/polarizer/class_tiles.h"

namespace cnpd::kernels::cuda {

// A source supplies the elements of an operand:
//     using Element = ...;
//     template <int Width> Raw<Width> load(std::int64_t at) const;        elements at ... of memory
//     template <int Width> Pack<Element, Width> value(raw, channel, line) const;
//     Source of_class(int label, int channels) const;                     for rows of one class
// `value` is called when the elements are stored to shared memory.

template <typename T>
struct Plain {
    using Element = T;
    template <int Width>
    using Raw = Pack<T, Width>;
    const T* data;

    template <int Width>
    __device__ Raw<Width> load(std::int64_t at) const {
        return kernels::load<Width>(data + at);
    }
    template <int Width>
    __device__ const Raw<Width>& value(const Raw<Width>& raw, int, int) const {
        return raw;
    }
    __device__ const Plain& of_class(int, int) const { return *this; }
};

inline constexpr int kTileThreads = 256, kTileLines = 128;

// 128 lines whose neighbours in k are neighbours in memory, such as the rows of features and the
// rows of a map; k is the channel.
template <typename Source, int Width, int Depth>
class LineOperand {
  public:
    // row(line) is the index of a line among the source's rows of `channels` elements; negative: no
    // such line, it counts as zeros.
    template <typename Row>
    __device__ LineOperand(const Source& source, int channels, const Row& row)
        : source_(source), channels_(channels) {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) row_[p] = row(line_of(p));
    }
    __device__ void load(int step) {
        k0_ = step * Depth;
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
            if (has(p))
                raw_[p] =
                    source_.template load<Width>(std::int64_t{row_[p]} * channels_ + k0_ + k());
        }
    }
    // What the last load() has loaded.
    template <typename Tile>
    __device__ void put(typename Tile::Operand& operand) const {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
            Pack<typename Source::Element, Width> pack{};
            if (has(p)) pack = source_.template value<Width>(raw_[p], k0_ + k(), line_of(p));
            Tile::put_along_k(operand, line_of(p), k(), pack);
        }
    }

  private:
    static constexpr int kAcross = Depth / Width;  // threads that share a line
    static constexpr int kPieces = kTileLines * kAcross / kTileThreads;

    __device__ static int k() {
        return static_cast<int>(threadIdx.x) % kAcross * Width;
    }
    __device__ static int line_of(int piece) {
        return static_cast<int>(threadIdx.x) / kAcross + piece * (kTileThreads / kAcross);
    }

    __device__ bool has(int piece) const {
        return row_[piece] >= 0 && k0_ + k() < channels_;
    }

    Source source_;
    int channels_, k0_ = 0;
    int row_[kPieces];
    typename Source::template Raw<Width> raw_[kPieces];
};

// 128 channels of consecutive rows of a class: k runs over the rows, neighbours in memory are
// neighbouring lines. For sums over rows.
template <typename Source, int Width, int Depth>
class RowOperand {
  public:
    __device__ RowOperand(const Source& source, int channels, int column0)
        : source_(source), channels_(channels), channel_(column0 + line()) {}

    // From here on load() starts at rows.first.
    __device__ void begin(const TileRows& rows) {
        rows_ = rows;
        row_ = rows.first + down();
        slot_ = row_ / rows.positions;
        position_ = row_ % rows.positions;
        step_slots_ = kDown / rows.positions;
        step_positions_ = kDown % rows.positions;
    }
    // The next Depth rows.
    __device__ void load(int) {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
            has_[p] = row_ < rows_.end && channel_ < channels_;
            if (has_[p]) raw_[p] = source_.template load<Width>(place() * channels_ + channel_);
            advance();
        }
    }
    template <typename Tile>
    __device__ void put(typename Tile::Operand& operand) {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
            Pack<typename Source::Element, Width> pack{};
            if (has_[p]) pack = source_.template value<Width>(raw_[p], channel_, line());
            Tile::put_along_lines(operand, line(), down() + p * kDown, pack);
#pragma unroll
            for (int e = 0; e < Width; ++e) sums_[e] += static_cast<float>(pack.of[e]);
        }
    }

    // This thread's sums of the channels channel() ... over all rows that it has put; kDown threads
    // share the channels.
    static constexpr int kWidth = Width, kDown = kTileThreads * Width / kTileLines;
    __device__ const float (&sums() const)[Width] {
        return sums_;
    }
    __device__ void clear_sums() {
#pragma unroll
        for (int e = 0; e < Width; ++e) sums_[e] = 0;
    }
    __device__ static int line() {
        return static_cast<int>(threadIdx.x) % (kTileLines / Width) * Width;
    }
    __device__ static int down() {
        return static_cast<int>(threadIdx.x) / (kTileLines / Width);
    }

  private:
    static constexpr int kPieces = Depth / kDown;

    __device__ std::int64_t place() const {
        return rows_.order ? std::int64_t{rows_.order[slot_]} * rows_.positions + position_ : row_;
    }
    __device__ void advance() {
        row_ += kDown;
        slot_ += step_slots_;
        position_ += step_positions_;
        if (position_ < rows_.positions) return;
        position_ -= rows_.positions;
        ++slot_;
    }

    Source source_;
    int channels_, channel_;
    TileRows rows_{};
    int row_ = 0, slot_ = 0, position_ = 0, step_slots_ = 0, step_positions_ = 0;
    bool has_[kPieces];
    typename Source::template Raw<Width> raw_[kPieces];
    float sums_[Width] = {};
};

// The 128 rows of a tile, from row `rows.first` on.
template <int Width, int Depth, typename Source>
__device__ LineOperand<Source, Width, Depth> rows_operand(const Source& source,
                                                          const TileRows& rows, int channels) {
    return {source, channels, [&](int line) { return rows.place_of_line(line); }};
}
// 128 rows of the class's map, from output channel column0 on.
template <int Width, int Depth, typename T>
__device__ LineOperand<Plain<T>, Width, Depth> map_operand(const T* maps, int label, int column0,
                                                           int channels) {
    return {Plain<T>{maps + std::int64_t{label} * channels * channels}, channels, [&](int line) {
                const int c = column0 + line;
                return c < channels ? c : -1;
            }};
}

// Whether rows of so many elements begin at multiples of 16 bytes in each of these matrices.
template <typename T>
bool rows_are_aligned(std::int64_t channels, std::initializer_list<const T*> matrices) {
    std::uintptr_t bits = static_cast<std::uintptr_t>(channels) * sizeof(T);
    for (const T* matrix : matrices) bits |= reinterpret_cast<std::uintptr_t>(matrix);
    return bits % kBytesOfAccess == 0;
}

}  // namespace cnpd::kernels::cuda
