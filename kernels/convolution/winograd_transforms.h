// The three linear transforms of the Winograd convolution F(4x4, 3x3), private to winograd*.cpp.
//
// In one dimension, four outputs of a filter with three taps,
//     y_i = g_0 d_i + g_1 d_{i+1} + g_2 d_{i+2},   i = 0..3,
// read six inputs and take 12 multiplications. As the (transposed) product of two polynomials, the
// result is determined by its values at 4 + 3 - 1 = 6 points, and each value takes ONE
// multiplication:
//     y = A^T [ (G g) * (B^T d) ]      (* element by element: 6 multiplications)
// In two dimensions each matrix is applied to the columns and then to the rows: 36 multiplications
// instead of 144 for a tile of 4x4 outputs, four times fewer.
//
// The points are 0, +-a, +-b and infinity. With the textbook's a = 1, b = 2 (Lavin & Gray, "Fast
// algorithms for convolutional neural networks", 2016) the intermediate numbers differ widely in
// size, and cancellation loses a digit. a = 3/4, b = 3/2 halves the error at the same cost, and all
// its constants in A and B are exact in binary:
//
//     A^T = | 1   1    1    1    1   0 |       B^T = | a2b2    0   -a2-b2    0     1   0 |
//           | 0   a   -a    b   -b   0 |             |  0   -a b2   -b2      a     1   0 |
//           | 0   a2   a2   b2   b2  0 |             |  0    a b2   -b2     -a     1   0 |
//           | 0   a3  -a3   b3  -b3  1 |             |  0   -b a2   -a2      b     1   0 |
//                                                    |  0    b a2   -a2     -b     1   0 |
//     G: rows (1, p, p^2) / prod (p - q) over          |  0   a2b2     0   -a2-b2    0   1 |
//        the other finite points q; (0, 0, 1)
//
// A scheme is a struct of these 1-d transforms and their sizes, so that the drivers serve several
// schemes (winograd_strided_transforms.h has those for stride 2). All transforms work on
// simd::Vector, one channel in each element: channels are contiguous in NHWC, so no shuffle is
// needed.
#pragma once

#include <algorithm>

#include "kernels/common/simd.h"

namespace cnpd::kernels::winograd {

using simd::Vector;

// F(4, 3): stride 1.
struct Stride1 {
    static constexpr int kWindow = 6;       // inputs that a tile reads, in each dimension
    static constexpr int kStep = 4;         // from one tile's window to the next
    static constexpr int kTransformed = 6;  // multiplications
    static constexpr int kDistinct = 6;     // different transformed filter values among them
    static constexpr int kOutput = 4;       // outputs

    static constexpr float kA = 0.75f, kA2 = kA * kA, kA3 = kA2 * kA;
    static constexpr float kB = 1.5f, kB2 = kB * kB, kB3 = kB2 * kB;

    // The plus and minus point of a pair share their even and their odd part, hence the sums and
    // differences below: 12 operations for B^T, 10 for A^T, 8 each for their adjoints and G.

    // out = B^T in, six to six.
    static void input(const Vector* in, Vector* out) {
        const Vector d0 = in[0], d1 = in[1], d2 = in[2], d3 = in[3], d4 = in[4], d5 = in[5];
        const Vector even_a = d4 - kB2 * d2, odd_a = kA * d3 - (kA * kB2) * d1;
        const Vector even_b = d4 - kA2 * d2, odd_b = kB * d3 - (kB * kA2) * d1;
        out[0] = (d4 - (kA2 + kB2) * d2) + (kA2 * kB2) * d0;
        out[1] = even_a + odd_a;
        out[2] = even_a - odd_a;
        out[3] = even_b + odd_b;
        out[4] = even_b - odd_b;
        out[5] = (d5 - (kA2 + kB2) * d3) + (kA2 * kB2) * d1;
    }

    // out = A^T in, six to four.
    static void output(const Vector* in, Vector* out) {
        const Vector m0 = in[0], m1 = in[1], m2 = in[2], m3 = in[3], m4 = in[4], m5 = in[5];
        const Vector sum_a = m1 + m2, difference_a = m1 - m2;
        const Vector sum_b = m3 + m4, difference_b = m3 - m4;
        out[0] = m0 + sum_a + sum_b;
        out[1] = kA * difference_a + kB * difference_b;
        out[2] = kA2 * sum_a + kB2 * sum_b;
        out[3] = kA3 * difference_a + (kB3 * difference_b + m5);
    }

    // out = A in, four to six: the backward pass of A^T.
    static void output_adjoint(const Vector* in, Vector* out) {
        const Vector y0 = in[0], y1 = in[1], y2 = in[2], y3 = in[3];
        const Vector even_a = y0 + kA2 * y2, odd_a = kA * y1 + kA3 * y3;
        const Vector even_b = y0 + kB2 * y2, odd_b = kB * y1 + kB3 * y3;
        out[0] = y0;
        out[1] = even_a + odd_a;
        out[2] = even_a - odd_a;
        out[3] = even_b + odd_b;
        out[4] = even_b - odd_b;
        out[5] = y3;
    }

    // 1 / prod (p - q) at 0, +-a and +-b.
    static constexpr float kG0 = 1 / (kA2 * kB2);
    static constexpr float kGA = 1 / (2 * kA2 * (kA2 - kB2));
    static constexpr float kGB = 1 / (2 * kB2 * (kB2 - kA2));

    // out = G in, three to six.
    static void filter(const Vector* in, Vector* out) {
        const Vector g0 = in[0], g1 = in[1], g2 = in[2];
        const Vector even_a = kGA * g0 + (kGA * kA2) * g2, odd_a = (kGA * kA) * g1;
        const Vector even_b = kGB * g0 + (kGB * kB2) * g2, odd_b = (kGB * kB) * g1;
        out[0] = kG0 * g0;
        out[1] = even_a + odd_a;
        out[2] = even_a - odd_a;
        out[3] = even_b + odd_b;
        out[4] = even_b - odd_b;
        out[5] = g2;
    }

    // out = G^T in, six to three.
    static void filter_adjoint(const Vector* in, Vector* out) {
        const Vector u0 = in[0], u1 = in[1], u2 = in[2], u3 = in[3], u4 = in[4], u5 = in[5];
        const Vector sum_a = u1 + u2, sum_b = u3 + u4;
        out[0] = kG0 * u0 + kGA * sum_a + kGB * sum_b;
        out[1] = (kGA * kA) * (u1 - u2) + (kGB * kB) * (u3 - u4);
        out[2] = (kGA * kA2) * sum_a + ((kGB * kB2) * sum_b + u5);
    }
};

// F(2, 3): stride 1, for few tiles. Twice the multiplications of F(4, 3) for an output, but 16
// transformed filter values instead of 36 to read. The points are 0, +-1 and infinity.
struct Stride1Small {
    static constexpr int kWindow = 4, kStep = 2, kTransformed = 4, kDistinct = 4, kOutput = 2;

    static void input(const Vector* in, Vector* out) {
        const Vector d0 = in[0], d1 = in[1], d2 = in[2], d3 = in[3];
        out[0] = d0 - d2;
        out[1] = d1 + d2;
        out[2] = d2 - d1;
        out[3] = d3 - d1;
    }
    static void output(const Vector* in, Vector* out) {
        const Vector m0 = in[0], m1 = in[1], m2 = in[2], m3 = in[3];
        out[0] = m0 + m1 + m2;
        out[1] = m1 - m2 + m3;
    }
    static void filter(const Vector* in, Vector* out) {
        const Vector even = 0.5f * (in[0] + in[2]), odd = 0.5f * in[1];
        out[0] = in[0];
        out[1] = even + odd;
        out[2] = even - odd;
        out[3] = in[2];
    }
};

// Both dimensions: `transform` is applied to the In columns of load(row * In + column), then to the
// Out rows of the result; store(row * Out + column, value) receives the output.
template <int In, int Out, auto transform, class Load, class Store>
inline void both_dimensions(const Load& load, const Store& store) {
    Vector middle[Out * In], in[In], out[Out];
    const auto transform_column = [&](int column) {
        for (int row = 0; row < In; ++row) in[row] = load(row * In + column);
        transform(in, out);
        for (int row = 0; row < Out; ++row) middle[row * In + column] = out[row];
    };
    const auto transform_row = [&](int row) {
        transform(middle + row * In, out);
        for (int column = 0; column < Out; ++column) store(row * Out + column, out[column]);
    };
    // Small transforms are unrolled, and the middle stays in registers.
    if constexpr (In <= 6 && Out <= 6) {
#pragma GCC unroll 6
        for (int column = 0; column < In; ++column) transform_column(column);
#pragma GCC unroll 6
        for (int row = 0; row < Out; ++row) transform_row(row);
    } else {
        for (int column = 0; column < In; ++column) transform_column(column);
        for (int row = 0; row < Out; ++row) transform_row(row);
    }
}

// Multiplications per tile and pair of channels, in both dimensions.
template <class Scheme>
inline constexpr int kPositions = Scheme::kTransformed* Scheme::kTransformed;

// Different values of the transformed filter.
template <class Scheme>
inline constexpr int kSlots = Scheme::kDistinct* Scheme::kDistinct;

// The transformed filter value for position p: in each dimension the last one serves all later
// positions.
template <class Scheme>
inline int slot(int p) {
    const int row = std::min(p / Scheme::kTransformed, Scheme::kDistinct - 1);
    const int column = std::min(p % Scheme::kTransformed, Scheme::kDistinct - 1);
    return row * Scheme::kDistinct + column;
}

}  // namespace cnpd::kernels::winograd
