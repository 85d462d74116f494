// The operations of the engine. Each validates its arguments, runs the backend's kernel and records
// itself on the tape if a gradient may be needed. One file each in engine/ops/.
//
// Activations are [N,H,W,C] and filters [K,R,S,C], all on one device. On a GPU activations may be
// bfloat16; results and gradients then are as well. Parameters, statistics and logits are always
// float32. Every function throws ShapeError for arguments that do not match and DeviceError if a
// backend lacks the kernel.
#pragma once

#include <cstdint>

#include "engine/tensor.h"

namespace cnpd::engine::ops {

struct ConvolutionOptions {
    std::int64_t stride = 1, padding = 0;
    Tensor bias{};      // [K], optional
    Tensor residual{};  // [N,OH,OW,K], optional: added to the result
    bool relu = false;  // after bias and residual
};
// x [N,H,W,C], filter [K,R,S,C] -> [N,OH,OW,K]. A float32 filter is rounded to x's type.
Tensor convolution(const Tensor& x, const Tensor& filter, const ConvolutionOptions& options = {});

// x [N,in], weight [out,in], bias [out] (may be undefined) -> x weight^T + bias, [N,out]
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

struct BatchNorm {
    Tensor gamma, beta;                     // [C]
    Tensor running_mean, running_variance;  // [C]; training updates them in place
    Tensor batches{};  // int64 []; counts the training batches unless undefined
    bool training = false;
    float momentum = 0.1f;  // of the running statistics, which record the unbiased variance
    float eps = 1e-5f;
    bool relu = false;  // fused after the batch norm
};
// x [...,C] -> the same shape. Training normalises with batch statistics, evaluation with running
// statistics.
Tensor batch_norm(const Tensor& x, const BatchNorm& parameters);

// 1 / sqrt(variance + eps) of variances [C]; not recorded.
Tensor inverse_std(const Tensor& variance, float eps);

// relu?(x * scale + shift) with constants [C] that need no gradient.
Tensor channel_affine(const Tensor& x, const Tensor& scale, const Tensor& shift, bool relu = false);

Tensor relu(const Tensor& x);
// x + y, of the same shape
Tensor add(const Tensor& x, const Tensor& y);
// x y, element by element, of the same shape
Tensor multiply(const Tensor& x, const Tensor& y);
// alpha x
Tensor scale(const Tensor& x, float alpha);
// x as float32 or bfloat16; x itself if it has that type. The gradient has x's type.
Tensor cast(const Tensor& x, DType dtype);
// The same elements in another shape.
Tensor reshape(const Tensor& x, const Shape& shape);

struct PoolingOptions {
    std::int64_t window = 2, stride = 2, padding = 0;
};
Tensor average_pool(const Tensor& x, const PoolingOptions& options);
Tensor max_pool(const Tensor& x, const PoolingOptions& options);
// [N,H,W,C] -> float32 [N,C]
Tensor global_average_pool(const Tensor& x);
// [N,H,W,C] -> [N,height,width,C], from windows of about equal size: PyTorch's AdaptiveAvgPool2d.
Tensor adaptive_average_pool(const Tensor& x, std::int64_t height, std::int64_t width);

// The mean over the image of convolution(x, filter, {.padding, .bias}) without the convolution.
// Both are linear, so the filter applied once to the mean of all its windows gives the mean of its
// outputs. x [N,H,W,C], filter [K,R,S,C], bias [K] (may be undefined) -> float32 [N,K]
Tensor convolution_mean(const Tensor& x, const Tensor& filter, std::int64_t padding,
                        const Tensor& bias = {});

// Sets elements to 0 with this probability and scales the others by 1 / (1 - probability). `draw`,
// int64 {seed, step}, determines which elements; its step is incremented. There is no evaluation
// mode: do not call it then.
Tensor dropout(const Tensor& x, float probability, Tensor& draw);

// The mean (or sum) over rows of -log softmax(logits)[label]; a scalar, shape []. Rows with a
// negative label are masked: they add 0 and do not count in the mean.
struct CrossEntropyOptions {
    float label_smoothing = 0;
    bool sum = false;
};
Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options = {});
// [rows,classes], not recorded
Tensor softmax(const Tensor& logits);
// int32 [rows], not recorded
Tensor argmax(const Tensor& logits);
// The number of equal elements of two int32 tensors.
std::int64_t count_equal(const Tensor& a, const Tensor& b);
// counts (int64 [sets]) += the number of rows of logits whose argmax equals expected (int32
// [sets,rows]); negative classes match nothing. Nothing is copied to the host.
void count_matches(const Tensor& logits, const Tensor& expected, Tensor& counts);

// Concatenates a [...,A] and b [...,B] -> [...,A+B]
Tensor concatenate(const Tensor& a, const Tensor& b);
// table [rows,...], indices int32 [count] -> [count,...]. Also gathers rows of any float tensor.
Tensor embedding(const Tensor& table, const Tensor& indices);

// sums (float64) += x of the same shape; not recorded. Adds up an epoch's losses without waiting
// for any of them.
void accumulate(const Tensor& x, Tensor& sums);
// The sum of squares of all elements, in double; not recorded.
double sum_of_squares(const Tensor& x);

}  // namespace cnpd::engine::ops
