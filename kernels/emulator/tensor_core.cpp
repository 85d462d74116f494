#include "kernels/emulator/tensor_core.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/emulator/warp.h"

namespace cnpd::kernels {
namespace {

using emulator::kWarp;
using Lanes = std::span<void* const, kWarp>;

// --- ldmatrix ------------------------------------------------------------------------------------

struct MatrixLane {
    std::uint16_t row[8];
    std::uint32_t* matrix;
};

template <bool Transposed>
void distribute(Lanes of_lane) {
    for (int l = 0; l < kWarp; ++l)
        for (int i = 0; i < 4; ++i) {
            const auto element = [&](int row, int column) {
                return static_cast<const MatrixLane*>(of_lane[8 * i + row])->row[column];
            };
            const int g = l / 4, q = l % 4;
            const std::uint32_t low = Transposed ? element(2 * q, g) : element(g, 2 * q),
                                high = Transposed ? element(2 * q + 1, g) : element(g, 2 * q + 1);
            static_cast<MatrixLane*>(of_lane[l])->matrix[i] = low | high << 16;
        }
}

template <bool Transposed>
void load(std::uint32_t* matrix, const void* row, const void* code) {
    MatrixLane mine{{}, matrix};
    emulator::check_vector(row, sizeof mine.row, false, code);
    std::memcpy(mine.row, row, sizeof mine.row);
    emulator::warp_collective(~0u, distribute<Transposed>, &mine);
}

// --- mma.sync ------------------------------------------------------------------------------------

struct Operands {
    float* sum;
    const std::uint32_t *a, *b;
};

float bf16(std::uint32_t pair, int which) {
    return std::bit_cast<float>(which ? pair & 0xFFFF0000u : pair << 16);
}
float tf32(std::uint32_t value) {
    return std::bit_cast<float>(value & 0xFFFFE000u);
}

// From the lanes' registers to matrices: a [16,K], b [8,K], its columns.
template <int K>
void gather(Lanes of_lane, float (&a)[16][K], float (&b)[8][K]) {
    for (int l = 0; l < kWarp; ++l) {
        const auto* lane = static_cast<const Operands*>(of_lane[l]);
        const int g = l / 4, q = l % 4;
        for (int i = 0; i < 4; ++i) {
            const int row = g + i % 2 * 8;
            if constexpr (K == 16)
                for (int e = 0; e < 2; ++e) a[row][2 * q + e + i / 2 * 8] = bf16(lane->a[i], e);
            else
                a[row][q + i / 2 * 4] = tf32(lane->a[i]);
        }
        for (int i = 0; i < 2; ++i)
            if constexpr (K == 16)
                for (int e = 0; e < 2; ++e) b[g][2 * q + e + i * 8] = bf16(lane->b[i], e);
            else
                b[g][q + i * 4] = tf32(lane->b[i]);
    }
}

template <int K>
void multiply(Lanes of_lane) {
    float a[16][K], b[8][K];
    gather(of_lane, a, b);
    for (int l = 0; l < kWarp; ++l) {
        float* const sum = static_cast<Operands*>(of_lane[l])->sum;
        for (int i = 0; i < 4; ++i) {
            const float *row = a[l / 4 + i / 2 * 8], *column = b[2 * (l % 4) + i % 2];
            for (int k = 0; k < K; ++k) sum[i] += row[k] * column[k];
        }
    }
}

}  // namespace

void load_matrices(std::uint32_t (&matrix)[4], const void* row) {
    load<false>(matrix, row, __builtin_return_address(0));
}
void load_matrices_transposed(std::uint32_t (&matrix)[4], const void* row) {
    load<true>(matrix, row, __builtin_return_address(0));
}
void multiply_add_bf16(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    Operands mine{sum, a, b};
    emulator::warp_collective(~0u, multiply<16>, &mine);
}
void multiply_add_tf32(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    Operands mine{sum, a, b};
    emulator::warp_collective(~0u, multiply<8>, &mine);
}

std::uint32_t to_tf32(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (!std::isfinite(value)) return bits;
    return (bits + 0x1000) & 0xFFFFE000u;  // half of the last remaining bit
}

}  // namespace cnpd::kernels
