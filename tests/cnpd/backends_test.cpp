// The same training on every device of the build: kernels that each agree with their reference must
// also add up to the same losses.
#include <vector>

#include <doctest/doctest.h>

#include "cnpd/ops/adversarial.h"
#include "cnpd/polarizers/r_cnpd.h"
#include "datasets/batches.h"
#include "datasets/synthetic/synthetic.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "models/classifier.h"
#include "tests/support/compare.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;
using polarizers::BatchNormMode;

namespace {

std::vector<Device> other_devices() {
    std::vector<Device> devices;
    for (const Device& device : available_devices())
        if (device.backend != Backend::cpu) devices.push_back(device);
    return devices;
}

const datasets::Images& images() {
    static const datasets::Images images =
        datasets::synthetic::generate({.train = 40, .test = 1}).train;
    return images;
}

datasets::BatchSource source_on(Device device) {
    return {images(), {0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}, device};
}

std::unique_ptr<models::Classifier> model_on(Device device, DType activations = DType::float32) {
    Generator generator(5);
    return models::make_model({.width = 2, .activations = activations}, generator, device);
}

const std::vector<std::int32_t>& batch(int step) {
    static const std::vector<std::int32_t> halves[] = {{0, 1, 2, 3, 4, 5, 6, 7},
                                                       {8, 9, 10, 11, 12, 13, 14, 15}};
    return halves[step % 2];
}

// Augmented batches, Nesterov SGD.
std::vector<double> training_losses(Device device, DType activations = DType::float32) {
    const auto model = model_on(device, activations);
    const auto source = source_on(device);
    Sgd optimizer({{.parameters = model->parameters(), .weight_decay = 5e-4}},
                  {.momentum = 0.9, .nesterov = true});
    optimizer.set_learning_rate(0.002);
    std::vector<double> losses;
    for (int step = 0; step < 10; ++step) {
        const Tensor input = source.input(
            batch(step), datasets::Augmentation{.crop_padding = 4,
                                                .flip = true,
                                                .seed = 1,
                                                .epoch = static_cast<std::uint64_t>(step)});
        const Tensor loss =
            engine::ops::cross_entropy(model->forward(input), source.labels(batch(step)));
        losses.push_back(loss.item());
        backward(loss);
        optimizer.step();
        optimizer.zero_grad();
    }
    return losses;
}

// Outer steps of the defense on clean images and, as a fixed perturbation, other images.
std::vector<double> defense_losses(Device device, DType activations = DType::float32,
                                   BatchNormMode statistics = BatchNormMode::frozen) {
    const auto victim = model_on(device, activations);
    victim->freeze();
    const auto source = source_on(device);
    const std::string point = victim->insertion_point();
    const auto count = static_cast<std::int64_t>(batch(0).size());
    const Tensor labels = source.labels(batch(0));
    const auto cut_of = [&](int which) {
        const NoGrad no_grad;
        return victim->prefix(source.input(batch(which)), point);
    };
    const models::Cut clean = cut_of(0), pushed = cut_of(1);
    const Tensor predictions = engine::ops::argmax(victim->suffix(clean, point));
    const Tensor targets =
        Tensor::from(std::vector<std::int32_t>{3, -1, 1, 5, 5, -1, 0, 9}, {count}, device);
    const Tensor routes =
        Tensor::from(std::vector<std::int32_t>{3, 0, 1, 5, 5, 0, 0, 9}, {count}, device);

    polarizers::RCnpd polarizer(10, 16, device);
    Sgd optimizer(polarizer.parameter_groups(5e-4), {.momentum = 0.9});
    optimizer.set_learning_rate(0.05);
    std::vector<double> losses;
    for (int step = 0; step < 6; ++step) {
        polarizer.refresh();
        const auto through = [&](const models::Cut& cut, const Tensor& by) {
            const polarizers::BatchNormScope scope(polarizer, statistics);
            return victim->suffix({polarizer.apply(cut.z, by), cut.residual}, point);
        };
        const cnpd::ops::DefenseLoss loss = cnpd::ops::defense_loss(
            through(clean, predictions), through(pushed, routes),
            {.label = labels, .restored = predictions, .target = targets}, {});
        losses.push_back(loss.loss.item());
        backward(loss.loss);
        polarizer.prepare_gradients(1);
        optimizer.step();
        optimizer.zero_grad();
    }
    return losses;
}

}  // namespace

TEST_CASE("ten training steps on every device give the CPU's losses") {
    const auto expected = training_losses({});
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        check_close(training_losses(device), expected, 1e-4, 0, "losses");
    }
}

TEST_CASE("steps of the defense on every device give the CPU's losses") {
    const auto expected = defense_losses({});
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        check_close(defense_losses(device), expected, 1e-4, 0, "losses");
    }
}

// An activation, rounded to one part in 256 at most and by half of that on average, passes about 20
// layers: a logit of size 1 is off by sqrt(20) / 512, 1 %. What the steps do then differs as much.
constexpr double kBfloat16Loss = 0.03;

TEST_CASE("ten training steps in bfloat16 follow float32's losses") {
    const auto expected = training_losses({});
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        const auto losses = training_losses(device, DType::bfloat16);
        for (std::size_t i = 0; i < losses.size(); ++i) MESSAGE(losses[i], " ", expected[i]);
        check_close(losses, expected, kBfloat16Loss, 0, "losses");
        CHECK(losses != training_losses(device));
    }
}

TEST_CASE("steps of the defense in bfloat16 follow float32's losses") {
    for (const BatchNormMode statistics : {BatchNormMode::frozen, BatchNormMode::train}) {
        const auto expected = defense_losses({}, DType::float32, statistics);
        for (const Device& device : other_devices()) {
            CAPTURE(device.str());
            const auto losses = defense_losses(device, DType::bfloat16, statistics);
            for (std::size_t i = 0; i < losses.size(); ++i) MESSAGE(losses[i], " ", expected[i]);
            check_close(losses, expected, kBfloat16Loss, 0, "losses");
            CHECK(losses != defense_losses(device, DType::float32, statistics));
        }
    }
}

TEST_CASE("through a bfloat16 network an image gets a float32 gradient, much like float32's") {
    const auto gradient = [](Device device, DType activations) {
        const auto victim = model_on(device, activations);
        victim->freeze();
        const auto source = source_on(device);
        Tensor leaf = source.input(batch(0));
        leaf.set_requires_grad();
        const Tensor loss =
            engine::ops::cross_entropy(victim->forward(leaf), source.labels(batch(0)));
        const std::vector<Tensor> gradients = engine::gradients(loss, std::span(&leaf, 1));
        return gradients.front().to_host<float>();
    };
    const auto expected = gradient({}, DType::float32);
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        const double error = relative_l2_error(gradient(device, DType::bfloat16), expected);
        MESSAGE(error);
        CHECK(error < 0.1);
    }
}
