// The two operations of the bi-level problem: a step of the inner maximisation and the loss of the
// outer minimisation. Formulas are in kernels/pgd and kernels/defense_loss.
#pragma once

#include "engine/tensor.h"
#include "kernels/defense_loss/defense_loss.h"
#include "kernels/pgd/pgd.h"

namespace cnpd::ops {

using engine::Tensor;
using kernels::DefenseLossWeights;
using kernels::PgdGradient;
using kernels::PgdNorm;

struct PgdOptions {
    PgdGradient gradient = PgdGradient::normalised;
    PgdNorm norm = PgdNorm::l2;
    float step = 1.0f;    // eta, in pixels of [0,1]
    float radius = 3.0f;  // rho, of the ball around the image
};

// How a network's input is made of pixels in [0,1]: (pixel - mean) inverse_std.
struct Normalisation {
    Tensor mean, inverse_std;  // [C]
};

// One step that descends the loss: `adversarial` [N,H,W,C] in [0,1] is overwritten, around the
// clean `images`, from `input_gradient`, the loss's gradient with respect to the normalised input.
// Returns the normalised input of the next forward pass. Not recorded.
Tensor pgd_step(const PgdOptions& options, const Normalisation& normalisation, const Tensor& images,
                const Tensor& input_gradient, Tensor& adversarial);

struct DefenseLossLabels {
    Tensor label, restored, target;  // int32 [N]; a negative target masks its adversarial example
};
struct DefenseLoss {
    Tensor loss;   // scalar, on the tape
    Tensor terms;  // [4]: clean, undo, strongest, target; means, before their weights
};

// The four terms over logits [N,classes] of the purified model on clean and on adversarial images.
DefenseLoss defense_loss(const Tensor& clean, const Tensor& adversarial,
                         const DefenseLossLabels& labels, const DefenseLossWeights& weights);

}  // namespace cnpd::ops
