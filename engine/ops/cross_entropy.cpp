#include <algorithm>

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

    float weight = 1;
    if (!options.sum) {
        const std::vector<std::int32_t> host = labels.to_host<std::int32_t>();
        const auto counted = std::count_if(host.begin(), host.end(), [](auto y) { return y >= 0; });
        weight = 1.0f / static_cast<float>(std::max<std::int64_t>(counted, 1));
    }
    Tensor losses = Tensor::empty({rows}, DType::float32, device);
    CNPD_RUN(device, softmax_cross_entropy_forward, logits.data<float>(),
             labels.data<std::int32_t>(), rows, classes, smoothing, losses.data<float>());
    Tensor loss = Tensor::empty({}, DType::float32, device);
    CNPD_RUN(device, sum_rows, losses.data<float>(), rows, 1, loss.data<float>());
    CNPD_RUN(device, scale, loss.data<float>(), 1, weight, loss.data<float>());
    if (!should_record({&logits})) return loss;

    record("cross_entropy", {&logits}, loss,
           [=, logits = logits.detach()](const Tensor& dloss, GradientSink& sink) {
               Tensor dlogits = empty_like(logits);
               CNPD_RUN(device, softmax_cross_entropy_backward, logits.data<float>(),
                        labels.data<std::int32_t>(), rows, classes, smoothing,
                        weight * dloss.item(), dlogits.data<float>());
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

}  // namespace cnpd::engine::ops
