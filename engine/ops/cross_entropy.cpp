#include <utility>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cnpd::engine::ops {

Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options) {
    require_rank("cross_entropy", "logits", logits, 2);
    const std::int64_t rows = logits.shape()[0], classes = logits.shape()[1];
    require_shape("cross_entropy", "labels", labels, {rows});
    require_same_device("cross_entropy", logits, {&labels});
    const Device device = logits.device();
    const float smoothing = options.label_smoothing;

    Tensor losses = Tensor::empty({rows}, DType::float32, device);
    CNPD_RUN(device, softmax_cross_entropy_forward, logits.data<float>(),
             labels.data<std::int32_t>(), rows, classes, smoothing, losses.data<float>());
    Tensor loss = Tensor::empty({}, DType::float32, device);
    CNPD_RUN(device, sum_rows, losses.data<float>(), rows, 1, loss.data<float>());
    Tensor weight;  // of the mean; computed on the device, without waiting for it
    if (!options.sum) {
        weight = Tensor::empty({}, DType::float32, device);
        CNPD_RUN(device, mean_weight, labels.data<std::int32_t>(), rows, weight.data<float>());
        CNPD_RUN(device, scale_by, loss.data<float>(), 1, weight.data<float>(), loss.data<float>());
    }
    if (!should_record({&logits})) return loss;

    record("cross_entropy", {&logits}, loss,
           [=, logits = logits.detach()](const Tensor& dloss, GradientSink& sink) {
               Tensor of_row = dloss;
               if (weight.defined()) {
                   of_row = Tensor::empty({}, DType::float32, device);
                   CNPD_RUN(device, scale_by, dloss.data<float>(), 1, weight.data<float>(),
                            of_row.data<float>());
               }
               Tensor dlogits = empty_like(logits);
               CNPD_RUN(device, softmax_cross_entropy_backward, logits.data<float>(),
                        labels.data<std::int32_t>(), rows, classes, smoothing,
                        std::as_const(of_row).data<float>(), dlogits.data<float>());
               sink.give(0, dlogits);
           });
    return loss;
}

Tensor softmax(const Tensor& logits) {
    require_rank("softmax", "logits", logits, 2);
    Tensor probabilities = empty_like(logits);
    CNPD_RUN(logits.device(), softmax, logits.data<float>(), logits.shape()[0], logits.shape()[1],
             probabilities.data<float>());
    return probabilities;
}

Tensor argmax(const Tensor& logits) {
    require_rank("argmax", "logits", logits, 2);
    Tensor predictions = Tensor::empty({logits.shape()[0]}, DType::int32, logits.device());
    CNPD_RUN(logits.device(), argmax, logits.data<float>(), logits.shape()[0], logits.shape()[1],
             predictions.data<std::int32_t>());
    return predictions;
}

std::int64_t count_equal(const Tensor& a, const Tensor& b) {
    require_shape("count_equal", "b", b, a.shape());
    require_same_device("count_equal", a, {&b});
    Tensor result = Tensor::empty({}, DType::int64, a.device());
    CNPD_RUN(a.device(), count_equal, a.data<std::int32_t>(), b.data<std::int32_t>(), a.elements(),
             result.data<std::int64_t>());
    return result.to_host<std::int64_t>().front();
}

void count_matches(const Tensor& logits, const Tensor& expected, Tensor& counts) {
    require_rank("count_matches", "logits", logits, 2);
    require_rank("count_matches", "counts", counts, 1);
    const std::int64_t rows = logits.shape()[0], sets = counts.shape()[0];
    require_shape("count_matches", "expected", expected, {sets, rows});
    require_same_device("count_matches", logits, {&expected, &counts});
    CNPD_RUN(logits.device(), count_matches, logits.data<float>(), rows, logits.shape()[1],
             expected.data<std::int32_t>(), sets, counts.data<std::int64_t>());
}

}  // namespace cnpd::engine::ops
