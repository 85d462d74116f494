// The loss of the outer minimisation of the polarizers, with its gradient with respect to both sets
// of logits, in one pass:
//
//     L =  w.clean      mean_n      CE(clean[n], label_n)                 keep clean accuracy
//        + w.undo       mean_masked CE(adversarial[n], restored_n)        undo the push
//        + w.strongest  mean_masked -log(1.0001 - p[n, s_n])              s: strongest wrong class
//        + w.target     mean_masked -log(1.0001 - p[n, target_n])
//
// p = softmax(adversarial). Samples with target_n < 0 are masked out of the adversarial terms,
// whose means run over the other samples; if all samples are masked these terms are 0. s_n is the
// class with the largest adversarial logit except label_n, the first of equals. It is treated as a
// constant by the gradient. It may be the target, which then counts twice. There are at least 2
// classes. Source: NPD, arXiv 2306.16697, eq. 5-8.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct DefenseLossWeights {
    float clean = 1, undo = 0.2f, strongest = 0.2f, target = 0.2f;

    CNPD_HOST_DEVICE float sum(const float* terms) const {
        return clean * terms[0] + undo * terms[1] + strongest * terms[2] + target * terms[3];
    }
};

struct DefenseLossLabels {
    const std::int32_t* label;     // [N] ground truth
    const std::int32_t* restored;  // [N] the class that the example should be classified as again
    const std::int32_t* target;    // [N] the class it was pushed to; negative: masked, and
                                   // restored is not read
};

// Writes loss [1], terms [4] (the four means, without their weights), dclean and dadversarial
// [N,classes].
CNPD_KERNEL(void defense_loss(std::int64_t n, std::int64_t classes, const float* clean,
                              const float* adversarial, const DefenseLossLabels& labels,
                              const DefenseLossWeights& weights, float* loss, float* terms,
                              float* dclean, float* dadversarial))

}  // namespace cnpd::kernels
