// The Winograd schemes for 3x3 filters at stride 2, private to winograd*.cpp.
//
// Stride 2 with padding 1 splits the input, in each dimension, into the inputs of the outer taps
// and those of the middle tap:
//     y_i = (g_0 x_{2i-1} + g_2 x_{2i+1}) + g_1 x_{2i}
//         =      F(4, 2) over odd x       + a plain product with even x.
// F(4, 2) takes 5 multiplications for four outputs, the plain products 4: 9 instead of 12, and 81
// instead of 144 in two dimensions. Its four finite points are +-a and +-b with a = 1/2, b = 3/2;
// without the point 0, all terms come in pairs:
//
//     A^T = | 1   1   1   1  0 |      B^T = | -a b2  -b2   a  1  0 |
//           | a  -a   b  -b  0 |            |  a b2  -b2  -a  1  0 |
//           | a2  a2  b2  b2 0 |            | -b a2  -a2   b  1  0 |
//           | a3 -a3  b3 -b3 1 |            |  b a2  -a2  -b  1  0 |
//                                           | a2b2 0 -a2-b2   0  1 |
//     G = | 1  a | / (2a (a2-b2))
//         | 1 -a | / -(2a (a2-b2))
//         | 1  b | / (2b (b2-a2))
//         | 1 -b | / -(2b (b2-a2))
//         | 0  1 |
#pragma once

#include "kernels/convolution/winograd_transforms.h"

namespace cnpd::kernels::winograd {

// F(4, 2), and the filter transforms that the two schemes below share.
struct TwoTaps {
    static constexpr float kA = 0.5f, kA2 = kA * kA, kA3 = kA2 * kA;
    static constexpr float kB = 1.5f, kB2 = kB * kB, kB3 = kB2 * kB;

    // B^T, five to five.
    static void input(Vector d0, Vector d1, Vector d2, Vector d3, Vector d4, Vector* out) {
        const Vector odd_a = d3 - kB2 * d1, even_a = kA * d2 - (kA * kB2) * d0;
        const Vector odd_b = d3 - kA2 * d1, even_b = kB * d2 - (kB * kA2) * d0;
        out[0] = odd_a + even_a;
        out[1] = odd_a - even_a;
        out[2] = odd_b + even_b;
        out[3] = odd_b - even_b;
        out[4] = (d4 - (kA2 + kB2) * d2) + (kA2 * kB2) * d0;
    }

    // A^T, five to four, to every `step`th element of `out`.
    static void output(const Vector* in, Vector* out, int step) {
        const Vector sum_a = in[0] + in[1], difference_a = in[0] - in[1];
        const Vector sum_b = in[2] + in[3], difference_b = in[2] - in[3];
        out[0] = sum_a + sum_b;
        out[step] = kA * difference_a + kB * difference_b;
        out[2 * step] = kA2 * sum_a + kB2 * sum_b;
        out[3 * step] = kA3 * difference_a + (kB3 * difference_b + in[4]);
    }

    static constexpr float kGA = 1 / (2 * kA * (kA2 - kB2));
    static constexpr float kGB = 1 / (2 * kB * (kB2 - kA2));

    // G on the outer taps, then the middle tap.
    static void filter(const Vector* in, Vector* out) {
        const Vector g0 = in[0], g1 = in[1], g2 = in[2];
        out[0] = kGA * g0 + (kGA * kA) * g2;
        out[1] = (kGA * kA) * g2 - kGA * g0;
        out[2] = kGB * g0 + (kGB * kB) * g2;
        out[3] = (kGB * kB) * g2 - kGB * g0;
        out[4] = g2;
        out[5] = g1;
    }
    static void filter_adjoint(const Vector* in, Vector* out) {
        out[0] = kGA * (in[0] - in[1]) + kGB * (in[2] - in[3]);
        out[1] = in[5];
        out[2] = (kGA * kA) * (in[0] + in[1]) + ((kGB * kB) * (in[2] + in[3]) + in[4]);
    }
};

struct Stride2 : TwoTaps {
    static constexpr int kWindow = 9, kStep = 8, kTransformed = 9, kDistinct = 6, kOutput = 4;

    // The window begins with an element of the outer taps.
    static void input(const Vector* in, Vector* out) {
        TwoTaps::input(in[0], in[2], in[4], in[6], in[8], out);
        for (int i = 0; i < 4; ++i) out[5 + i] = in[2 * i + 1];
    }
    static void output(const Vector* in, Vector* out) {
        TwoTaps::output(in, out, 1);
        for (int i = 0; i < 4; ++i) out[i] += in[5 + i];
    }
    static void output_adjoint(const Vector* in, Vector* out) {
        const Vector y0 = in[0], y1 = in[1], y2 = in[2], y3 = in[3];
        const Vector even_a = y0 + kA2 * y2, odd_a = kA * y1 + kA3 * y3;
        const Vector even_b = y0 + kB2 * y2, odd_b = kB * y1 + kB3 * y3;
        out[0] = even_a + odd_a;
        out[1] = even_a - odd_a;
        out[2] = even_b + odd_b;
        out[3] = even_b - odd_b;
        out[4] = y3;
        for (int i = 0; i < 4; ++i) out[5 + i] = in[i];
    }
};

// dgrad: with the taps rotated, dx_{2i} = g_1 dy_i and dx_{2i+1} = g_0 dy_i + g_2 dy_{i+1}.
struct Stride2Dgrad : TwoTaps {
    static constexpr int kWindow = 5, kStep = 4, kTransformed = 9, kDistinct = 6, kOutput = 8;

    static void input(const Vector* in, Vector* out) {
        TwoTaps::input(in[0], in[1], in[2], in[3], in[4], out);
        for (int i = 0; i < 4; ++i) out[5 + i] = in[i];
    }
    static void output(const Vector* in, Vector* out) {
        for (int i = 0; i < 4; ++i) out[2 * i] = in[5 + i];
        TwoTaps::output(in, out + 1, 2);
    }
};

}  // namespace cnpd::kernels::winograd
