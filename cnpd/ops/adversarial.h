// The operations of the bi-level problem: the steps of the inner maximisation and the loss of the
// outer minimisation. Formulas are in kernels/pgd, kernels/attack_loss and kernels/defense_loss.
#pragma once

#include <span>
#include <vector>

#include "cnpd/settings/names.h"
#include "engine/tensor.h"
#include "kernels/attack_loss/attack_loss.h"
#include "kernels/defense_loss/defense_loss.h"
#include "kernels/pgd/pgd.h"

namespace cnpd::ops {

using engine::Tensor;
using kernels::AttackDirection;
using kernels::DefenseLossWeights;
using kernels::PgdGradient;
using kernels::PgdNorm;

struct PgdOptions {
    PgdGradient gradient = PgdGradient::normalised;
    PgdNorm norm = PgdNorm::l2;
    float step = 1.0f;    // eta, in pixels of [0,1]
    float radius = 3.0f;  // rho, of the ball around the image
};

// Normalisation of pixels in [0,1] to a network's input: (pixel - mean) inverse_std.
struct Normalisation {
    Tensor mean, inverse_std;  // [C]
};

// State of the attack on a batch, on the device.
struct Attack {
    Tensor predicted;  // int32 [N], of the clean images
    Tensor target;     // int32 [N]; -1 (masked) if the image is already classified as its target
    Tensor route;      // int32 [N]: class of the polarizer for the example; 0 if masked
    Tensor state;      // int32 [4], a kernels::AttackState
    AttackDirection direction = AttackDirection::towards;

    // True if enough examples fool the model. Always false on devices other than the CPU, where
    // reading the state would wait for all launched kernels; remaining steps do nothing there.
    bool seen_stopped() const;
};

// Starts an attack towards the classes push_to [N] or away from them; `logits` [N,classes] are
// those of the clean images.
Attack start_attack(const Tensor& logits, const Tensor& push_to,
                    AttackDirection direction = AttackDirection::towards);

// For the logits of one or two models for the adversarial images, returns each model's gradient of
// the sum of cross-entropies against push_to. Counts the examples that fool the model and stops the
// attack if their share is above stop_share. Not recorded.
std::vector<Tensor> attack_gradients(std::span<const Tensor> logits, const Tensor& push_to,
                                     double stop_share, Attack& attack);

// For untarget: makes the classes that the examples have reached, according to these logits, their
// targets.
void aim_at_reached(const Tensor& logits, Attack& attack);

// int32 [N]: the class with the largest of logits [N,classes] except labels [N].
Tensor strongest_other(const Tensor& logits, const Tensor& labels);

// sums (float64 [2]) += { share of the examples with a target that fool the model, number of
// gradients }
void account(const Attack& attack, Tensor sums);

// One PGD step that descends the loss: updates `adversarial` [N,H,W,C] in [0,1], within the ball
// around the clean `images`, from `input_gradient`, the loss's gradient with respect to the
// normalised input. Returns the normalised input of the next forward pass, in the gradient's type
// (float32 or bfloat16). Changes nothing once `attack` has stopped; null: it never stops. Not
// recorded.
Tensor pgd_step(const PgdOptions& options, const Normalisation& normalisation, const Tensor& images,
                const Tensor& input_gradient, Tensor& adversarial, const Attack* attack = nullptr);

struct DefenseLossLabels {
    Tensor label, restored, target;  // int32 [N]; a negative target masks its adversarial example
};
struct DefenseLoss {
    Tensor loss;   // scalar, on the tape
    Tensor terms;  // [4]: clean, undo, strongest, target; means, unweighted
};

// The four terms over logits [N,classes] of the purified model on clean and on adversarial images.
DefenseLoss defense_loss(const Tensor& clean, const Tensor& adversarial,
                         const DefenseLossLabels& labels, const DefenseLossWeights& weights);

}  // namespace cnpd::ops

template <>
struct cnpd::settings::Names<cnpd::ops::PgdGradient> {
    using Value = ops::PgdGradient;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::sign, "sign"}, {Value::raw, "raw"}, {Value::normalised, "normalised"}};
};

template <>
struct cnpd::settings::Names<cnpd::ops::PgdNorm> {
    using Value = ops::PgdNorm;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::l2, "l2"}, {Value::linf, "linf"}, {Value::l1, "l1"}};
};
