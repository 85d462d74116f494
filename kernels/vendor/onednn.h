// oneDNN, Intel's library of CPU primitives, behind plain functions. onednn.cpp is the only file
// that includes its headers; it compiles against the 2.x and the 3.x API.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/convolution/convolution.h"

namespace cnpd::kernels::onednn {

// c [m,n] = alpha op(a) op(b) + beta c, row-major; lda, ldb and ldc are the distances between rows
// in memory. Runs on the calling thread alone: kernels cut products by sizes and share the pieces
// (kernels/common/parallel.h), so that the bits do not depend on the number of threads.
struct SgemmArguments {
    bool transpose_a = false, transpose_b = false;
    std::int64_t m = 0, n = 0, k = 0;
    float alpha = 1;
    const float* a = nullptr;
    std::int64_t lda = 0;
    const float* b = nullptr;
    std::int64_t ldb = 0;
    float beta = 0;
    float* c = nullptr;
    std::int64_t ldc = 0;
};
void sgemm(const SgemmArguments& arguments);

// The three passes of convolution.h, with its layouts, on all threads; the same bits for any
// number.
void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue<float>& epilogue, float* y);
void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx);
void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter);

// The part of convolution_wgrad() for one piece: on the calling thread alone, with this much
// memory.
std::int64_t wgrad_scratch_bytes(const ConvolutionShape& shape);
void wgrad_on_one_thread(const ConvolutionShape& shape, const float* x, const float* dy,
                         float* dfilter, void* scratch);

// Version of the loaded library: "2.6.3".
std::string version();
// The instruction set that it generates code for, for example "avx2".
std::string isa();

}  // namespace cnpd::kernels::onednn
