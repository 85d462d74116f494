// PreAct-ResNet-18 compared with PyTorch's numbers, which are computed in double
// (tests/fixtures/README.md).
//
// PyTorch's own float32 run has a relative L2 error of 1e-6 in the logits, 2e-6 in the input
// gradient and 7e-6 in the worst parameter gradient; Winograd's convolutions have about ten times
// the rounding error.
#include "models/preact_resnet.h"

#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "engine/checkpoint.h"
#include "engine/files.h"
#include "engine/optimizer.h"
#include "kernels/common/error.h"
#include "models/classifier.h"
#include "tests/support/files.h"
#include "tests/support/fixtures.h"
#include "tests/support/models.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::models;
using namespace cnpd::tests;

namespace {

// With the fixture's weights, in training mode.
std::unique_ptr<Classifier> fixture_model() {
    auto model = fresh_model({.width = 8});
    auto state = model->state();
    load_tensors(fixture_path("preact_resnet18"), state);
    return model;
}

const Fixture& passes() {
    static const Fixture fixture("preact_resnet18_passes");
    return fixture;
}

Tensor tensor_named(const Classifier& model, const std::string& name) {
    for (const auto& named : model.state())
        if (named.name == name) return named.tensor;
    FAIL("no tensor " << name);
    return {};
}

// The images as the network's input, normalised with CIFAR-10's mean and deviation.
Tensor normalised_rows(const Tensor& images, const std::vector<std::int32_t>& rows) {
    constexpr float kMean[] = {.4914f, .4822f, .4465f}, kStd[] = {.247f, .243f, .261f};
    const std::int64_t size = images.elements() / images.shape()[0];
    std::vector<float> values;
    const std::vector<std::uint8_t> pixels = images.to_host<std::uint8_t>();
    for (const std::int32_t row : rows)
        for (std::int64_t i = 0; i < size; ++i)
            values.push_back((static_cast<float>(pixels[row * size + i]) / 255 - kMean[i % 3]) /
                             kStd[i % 3]);
    std::vector<std::int64_t> extents = images.shape().extents();
    extents[0] = static_cast<std::int64_t>(rows.size());
    return Tensor::from(values, Shape(extents));
}

// The losses of `steps` steps of the fixture's training run.
std::vector<double> train(Classifier& model, const Fixture& run, int steps) {
    const Tensor images = run.tensor<std::uint8_t>("images");
    const std::vector<std::int32_t> labels = run.values<std::int32_t>("labels"),
                                    batches = run.values<std::int32_t>("batches");
    const std::size_t size = batches.size() / 10;
    Sgd optimizer({{.parameters = model.parameters(), .weight_decay = 5e-4}},
                  {.momentum = 0.9, .nesterov = true});
    optimizer.set_learning_rate(0.1);
    model.train();
    std::vector<double> losses;
    for (int step = 0; step < steps; ++step) {
        const std::vector<std::int32_t> rows(batches.begin() + step * size,
                                             batches.begin() + (step + 1) * size);
        std::vector<std::int32_t> of_rows;
        for (const std::int32_t row : rows) of_rows.push_back(labels[row]);
        optimizer.zero_grad();
        const Tensor loss =
            ops::cross_entropy(model.forward(normalised_rows(images, rows)),
                               Tensor::from(of_rows, {static_cast<std::int64_t>(size)}));
        backward(loss);
        optimizer.step();
        losses.push_back(loss.item());
    }
    return losses;
}

}  // namespace

TEST_CASE("names, shapes and types of the state are those of PyTorch's state dict") {
    const TemporaryDirectory directory;
    const auto model = fresh_model({.width = 8});
    const auto file = SafetensorsFile::read(fixture_path("preact_resnet18"));
    CHECK(model->state().size() == file.entries().size());
    for (const auto& named : model->state()) {
        CAPTURE(named.name);
        std::vector<std::int64_t> extents = named.tensor.shape().extents();
        if (extents.size() == 4) extents = {extents[0], extents[3], extents[1], extents[2]};
        CHECK_NOTHROW(file.at(named.name, named.tensor.dtype(), Shape(extents)));
        const bool buffer = named.name.find("running_") != std::string::npos ||
                            named.name.ends_with("num_batches_tracked");
        CHECK(named.trainable == !buffer);
    }
    // 11.2 million at the usual width, as published.
    CHECK(fresh_model({})->parameter_count() == 11'171'146);
}

TEST_CASE("loading and saving a state dict gives the same file") {
    const TemporaryDirectory directory;
    const auto model = fresh_model({.width = 8});
    auto state = model->state();
    const Metadata metadata = load_tensors(fixture_path("preact_resnet18"), state);
    save_tensors(directory / "again", state, metadata);
    CHECK(read_file(directory / "again", 1 << 24) ==
          read_file(fixture_path("preact_resnet18"), 1 << 24));
}

TEST_CASE("evaluation mode: logits, loss and input gradient") {
    const auto model = fixture_model();
    model->eval();
    const Fixture f = passes().in("eval");
    const Tensor input = passes().leaf("input");
    const Tensor logits = model->forward(input);
    check_l2(logits, f.tensor("logits"), kLogits, "logits");
    const Tensor loss = ops::cross_entropy(logits, passes().integers("labels"));
    check_l2(loss, f.tensor("loss"), kLogits, "loss");
    backward(loss);
    check_l2(input.grad(), f.tensor("dinput"), kGradient, "dinput");
}

TEST_CASE("training mode: logits, loss, every gradient and the running statistics") {
    const auto model = fixture_model();
    const Fixture f = passes().in("train");
    const Tensor input = passes().leaf("input");
    const Tensor logits = model->forward(input);
    check_l2(logits, f.tensor("logits"), kLogits, "logits");
    const Tensor loss = ops::cross_entropy(logits, passes().integers("labels"));
    check_l2(loss, f.tensor("loss"), kLogits, "loss");
    int buffers = 0, parameters = 0;
    for (const auto& named : model->state()) {
        if (named.trainable) continue;
        ++buffers;
        if (named.tensor.dtype() == DType::int64)
            CHECK(named.tensor.to_host<std::int64_t>().front() ==
                  f.in("after").values<std::int32_t>(named.name).front());
        else
            check_l2(named.tensor, f.in("after").tensor(named.name), kLogits, named.name);
    }
    backward(loss);
    check_l2(input.grad(), f.tensor("dinput"), kGradient, "dinput");
    for (const auto& named : model->state()) {
        if (!named.trainable) continue;
        ++parameters;
        check_l2(named.tensor.grad(), f.in("grad").tensor(named.name), kGradient, named.name);
    }
    CHECK(buffers == 16 * 3);
    CHECK(parameters == 1 + 16 + 16 * 2 + 3 + 2);
}

TEST_CASE("a frozen, folded model computes the same") {
    const auto model = fixture_model();
    model->freeze();
    CHECK(!model->training());
    const Fixture f = passes().in("eval");
    const Tensor input = passes().leaf("input");
    const Tensor logits = model->forward(input);
    check_l2(logits, f.tensor("logits"), kLogits, "logits");
    backward(ops::cross_entropy(logits, passes().integers("labels")));
    check_l2(input.grad(), f.tensor("dinput"), kGradient, "dinput");
    for (const auto& named : model->state()) {
        CAPTURE(named.name);
        CHECK(!named.tensor.requires_grad());
        CHECK(!named.tensor.grad().defined());
    }
    // If all inputs are constant the output is not on the tape.
    CHECK(!model->forward(passes().tensor("input")).requires_grad());

    // Unfrozen, it is the trainable model again, without folded filters.
    model->unfreeze();
    CHECK(model->training());
    Tensor middle = tensor_named(*model, "layer3.0.bn2.bias");
    middle.copy_from(Tensor::full(middle.shape(), 3));
    model->eval();
    CHECK(relative_l2_error(host(model->forward(passes().tensor("input"))), f.values("logits")) >
          0.01);
    backward(sum(model->forward(passes().tensor("input"))));
    CHECK(middle.grad().defined());
}

TEST_CASE("the frozen victim, cut at the default insertion point") {
    const Fixture f("frozen_victim");
    const auto model = fixture_model();
    model->freeze();
    CHECK(model->insertion_point() == "layer4.1.conv1");
    const Tensor input = passes().leaf("input");
    const Cut cut = model->prefix(input, model->insertion_point());
    check_l2(cut.z, f.tensor("z"), kLogits, "z");
    check_l2(cut.residual, f.tensor("residual"), kLogits, "residual");
    const Tensor logits = model->suffix(cut, model->insertion_point());
    check_l2(logits, f.tensor("logits"), kLogits, "logits");
    const Tensor loss = ops::cross_entropy(logits, f.integers("targets"));
    check_l2(loss, f.tensor("loss"), kLogits, "loss");
    const std::vector<Tensor> gradient = gradients(loss, std::span(&input, 1));
    check_l2(gradient.front(), f.tensor("dinput"), kGradient, "dinput");
}

TEST_CASE("prefix and suffix at every insertion point compose to the forward pass") {
    for (const bool frozen : {false, true}) {
        CAPTURE(frozen);
        const auto model = fixture_model();
        if (frozen)
            model->freeze();
        else
            model->eval();
        const Tensor input = passes().tensor("input");
        const Tensor logits = model->forward(input);
        const auto points = model->insertion_points();
        CHECK(points == std::vector<std::string>{"layer1.0.conv1", "layer1.1.conv1",
                                                 "layer2.0.conv1", "layer2.1.conv1",
                                                 "layer3.0.conv1", "layer3.1.conv1",
                                                 "layer4.0.conv1", "layer4.1.conv1"});
        std::vector<std::int64_t> channels;
        for (const std::string& point : points) {
            CAPTURE(point);
            const Cut cut = model->prefix(input, point);
            channels.push_back(cut.z.shape()[3]);
            CHECK(identical(model->suffix(cut, point), logits));
            // The residual does not pass through z: without z the logits differ, and are finite.
            const Tensor other = model->suffix({ops::scale(cut.z, 0), cut.residual}, point);
            CHECK(!identical(other, logits));
        }
        CHECK(channels == std::vector<std::int64_t>{8, 8, 8, 16, 16, 32, 32, 64});
    }
}

// With direct convolutions all ten losses agree to 2e-5 and the weights to 1e-4. Winograd's
// rounding makes one ReLU active after the sixth step, and at this learning rate a step multiplies
// the difference by ten. The order of sums, and with it the instruction set, determines which ReLU
// it is: weights then differ by up to 0.006 (measured with AVX2) or 0.021 (AVX-512).
TEST_CASE("ten steps of SGD match PyTorch's in double") {
    const Fixture run("steady_training_run");
    const auto model = fixture_model();
    const std::vector<double> losses = train(*model, run, 10);
    const std::vector<float> expected = run.in("float64").values("losses");
    for (std::size_t step = 0; step < losses.size(); ++step) {
        CAPTURE(step);
        CHECK(std::fabs(losses[step] / expected[step] - 1) <= (step < 6 ? 1e-5 : 1e-2));
    }
    const Fixture after = run.in("float64").in("after");
    for (const char* name : {"conv1.weight", "layer1.0.bn1.weight", "layer2.0.conv1.weight",
                             "layer2.0.shortcut.0.weight", "layer3.1.bn2.running_mean",
                             "layer4.1.bn1.running_var", "linear.weight", "linear.bias"})
        check_l2(tensor_named(*model, name), after.tensor(name), 5e-2, name);
}

TEST_CASE("the first steps on images of the usual size match PyTorch's") {
    const Fixture run("training_run");
    const auto model = fixture_model();
    const std::vector<double> losses = train(*model, run, 3);
    const std::vector<float> expected = run.in("float64").values("losses");
    // Rounding makes a ReLU active at some point, and a step multiplies the difference by ten.
    CHECK(std::fabs(losses[0] / expected[0] - 1) <= 1e-5);
    for (const int step : {1, 2}) CHECK(std::fabs(losses[step] / expected[step] - 1) <= 1e-2);
}

TEST_CASE("other image sizes, channels and numbers of classes") {
    struct Case {
        std::int64_t n, height, width, channels, classes;
    };
    for (const Case& c : {Case{1, 64, 64, 3, 200}, Case{2, 28, 28, 1, 10}, Case{3, 33, 19, 3, 2},
                          Case{2, 8, 8, 4, 43}}) {
        CAPTURE(c.height);
        const auto model = fresh_model({.width = 3, .classes = c.classes, .channels = c.channels});
        CHECK(model->classes() == c.classes);
        const Tensor input = random_leaf({c.n, c.height, c.width, c.channels});
        model->train();
        const Tensor logits = model->forward(input);
        CHECK(logits.shape() == Shape{c.n, c.classes});
        backward(sum(logits));
        CHECK(input.grad().shape() == input.shape());
        model->freeze();
        for (const float value : host(model->forward(input.detach()))) CHECK(std::isfinite(value));
    }
}

TEST_CASE("the same seed gives the same model") {
    const auto a = fresh_model({.width = 4}), b = fresh_model({.width = 4});
    Generator other(2);
    const auto c = make_model({.width = 4}, other, {});
    for (const char* name : {"conv1.weight", "layer4.1.conv2.weight", "linear.bias"}) {
        CHECK(identical(tensor_named(*a, name), tensor_named(*b, name)));
        CHECK(!identical(tensor_named(*a, name), tensor_named(*c, name)));
    }
}

TEST_CASE("initial weights have He's and PyTorch's distributions") {
    const auto model = fresh_model({.width = 16});
    // 147456 numbers of deviation sqrt(2 / (128 * 9)); five standard errors.
    const Tensor filter = tensor_named(*model, "layer4.1.conv1.weight");
    const double count = static_cast<double>(filter.elements());
    const double deviation = std::sqrt(ops::sum_of_squares(filter) / count);
    CHECK(deviation ==
          doctest::Approx(std::sqrt(2 / (128.0 * 9))).epsilon(5 / std::sqrt(2 * count)));
    const float bound = 1 / std::sqrt(128.0f);
    for (const char* name : {"linear.weight", "linear.bias"})
        for (const float value : host(tensor_named(*model, name))) CHECK(std::fabs(value) <= bound);
    for (const float value : host(tensor_named(*model, "layer2.0.bn2.running_var")))
        CHECK(value == 1);
}

TEST_CASE("the registry and the insertion points refuse unknown names and invalid sizes") {
    const auto model = fresh_model({.width = 2});
    const Tensor input = random_tensor({1, 8, 8, 3});
    for (const std::string point : {"", "layer4.1", "layer5.0.conv1", "layer4.2.conv1", "conv1"}) {
        CAPTURE(point);
        CHECK_THROWS_AS(model->prefix(input, point), InputError);
        CHECK_THROWS_AS(model->suffix(model->prefix(input, "layer4.1.conv1"), point), InputError);
    }
    CHECK(message_of([&] { model->prefix(input, "conv1"); }).find("layer4.1.conv1") !=
          std::string::npos);
    CHECK_THROWS_AS(fresh_model({.name = "vgg16"}), InputError);
    CHECK(message_of([] { fresh_model({.name = "vgg16"}); }).find("preact-resnet18") !=
          std::string::npos);
    for (const std::int64_t width : {-1, 0, 1025})
        CHECK_THROWS_AS(fresh_model({.width = width}), InputError);
    for (const std::int64_t classes : {-1, 0, 1, 100'001})
        CHECK_THROWS_AS(fresh_model({.width = 2, .classes = classes}), InputError);
    for (const std::int64_t channels : {0, 17})
        CHECK_THROWS_AS(fresh_model({.width = 2, .channels = channels}), InputError);
    CHECK_THROWS_AS(model->forward(random_tensor({1, 8, 8, 1})), ShapeError);
    CHECK_THROWS_AS(model->forward(random_tensor({8, 8, 3})), ShapeError);
    CHECK(!registry().empty());
}
