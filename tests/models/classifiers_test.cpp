// ResNets, the deeper PreAct-ResNet and VGGs compared with PyTorch's numbers, which are computed in
// double (tests/fixtures/README.md).
#include "models/classifier.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/checkpoint.h"
#include "engine/files.h"
#include "kernels/common/error.h"
#include "tests/support/files.h"
#include "tests/support/fixtures.h"
#include "tests/support/models.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::models;
using namespace cnpd::tests;

namespace {

struct Case {
    std::string fixture;
    ModelOptions options;
    // At width 64, with the CIFAR head if there is a choice.
    std::int64_t parameters;
    std::string first_point, default_point;
    std::size_t points;
};

const Case kCases[] = {
    {"resnet18",
     {.name = "resnet18", .width = 2},
     11'173'962,
     "layer1.0.conv1",
     "layer4.1.conv1",
     8},
    {"resnet34",
     {.name = "resnet34", .width = 2},
     21'282'122,
     "layer1.0.conv1",
     "layer4.2.conv1",
     16},
    {"preact_resnet34",
     {.name = "preact-resnet34", .width = 1},
     21'279'306,
     "layer1.0.conv1",
     "layer4.2.conv1",
     16},
    {"vgg16_bn",
     {.name = "vgg16-bn", .width = 2, .head = "cifar"},
     14'728'266,
     "features.3",
     "features.40",
     12},
    {"vgg19_bn", {.name = "vgg19-bn", .width = 1}, 20'040'522, "features.3", "features.49", 15},
};

// With the fixture's weights, in training mode; dropout uses the fixture's masks.
std::unique_ptr<Classifier> fixture_model(const Case& c) {
    auto model = fresh_model(c.options);
    auto state = model->state();
    load_tensors(fixture_path(c.fixture), state);
    const std::vector<std::int64_t> draws[] = {{5, 3}, {11, std::int64_t{1} << 33}};
    std::size_t layer = 0;
    for (auto& named : model->training_state())
        named.tensor.copy_from(Tensor::from(draws[layer++], {2}));
    return model;
}

Fixture passes(const Case& c) {
    return Fixture(c.fixture + "_passes");
}

std::map<std::string, Tensor> by_name(const Classifier& model) {
    std::map<std::string, Tensor> tensors;
    for (const auto& named : model.state()) tensors.emplace(named.name, named.tensor);
    return tensors;
}

// The bias of a convolution before a batch norm, which removes any constant in training.
bool is_idle_bias(const std::string& name, const std::map<std::string, Tensor>& tensors) {
    return name.starts_with("features.") && name.ends_with(".bias") &&
           tensors.at(name.substr(0, name.size() - 4) + "weight").shape().rank() == 4;
}

double norm(const Tensor& tensor) {
    return std::sqrt(ops::sum_of_squares(tensor));
}

}  // namespace

TEST_CASE("every model: names, shapes and types are those of PyTorch's state dict") {
    for (const Case& c : kCases) {
        CAPTURE(c.fixture);
        const TemporaryDirectory directory;
        const auto model = fresh_model(c.options);
        auto state = model->state();
        CHECK(state.size() == Fixture(c.fixture).file().entries().size());
        const Metadata metadata = load_tensors(fixture_path(c.fixture), state);
        save_tensors(directory / "again", state, metadata);
        CHECK(read_file(directory / "again", 1 << 24) ==
              read_file(fixture_path(c.fixture), 1 << 24));
        ModelOptions usual{.name = c.options.name};
        if (!head_of(usual.name, "").empty()) usual.head = "cifar";
        CHECK(fresh_model(usual)->parameter_count() == c.parameters);
    }
}

TEST_CASE("every model in evaluation mode: logits, loss, gradients of input and vectors") {
    for (const Case& c : kCases) {
        CAPTURE(c.fixture);
        const auto model = fixture_model(c);
        model->eval();
        const Fixture given = passes(c), f = given.in("eval");
        const Tensor input = given.leaf("input");
        const Tensor logits = model->forward(input);
        check_l2(logits, f.tensor("logits"), kLogits, "logits");
        const Tensor loss = ops::cross_entropy(logits, given.integers("labels"));
        check_l2(loss, f.tensor("loss"), kLogits, "loss");
        backward(loss);
        check_l2(input.grad(), f.tensor("dinput"), kGradient, "dinput");
        for (const auto& named : model->state())
            if (f.in("grad").has(named.name))
                check_l2(named.tensor.grad(), f.in("grad").tensor(named.name), kGradient,
                         named.name);
    }
}

TEST_CASE("every model in training mode: logits, loss, every gradient, running statistics") {
    for (const Case& c : kCases) {
        CAPTURE(c.fixture);
        const auto model = fixture_model(c);
        const Fixture given = passes(c), f = given.in("train");
        const Tensor input = given.leaf("input");
        const Tensor logits = model->forward(input);
        check_l2(logits, f.tensor("logits"), kLogits, "logits");
        const Tensor loss = ops::cross_entropy(logits, given.integers("labels"));
        check_l2(loss, f.tensor("loss"), kLogits, "loss");
        const auto tensors = by_name(*model);
        for (const auto& [name, tensor] : tensors) {
            if (!f.in("after").has(name)) continue;
            if (tensor.dtype() == DType::int64)
                CHECK(tensor.to_host<std::int64_t>().front() ==
                      f.in("after").values<std::int32_t>(name).front());
            else
                check_l2(tensor, f.in("after").tensor(name), kLogits, name);
        }
        backward(loss);
        check_l2(input.grad(), f.tensor("dinput"), kGradient, "dinput");
        for (const auto& named : model->state()) {
            if (!named.trainable) continue;
            Tensor expected = f.in("grad").tensor(named.name);
            if (expected.shape() != named.tensor.shape()) {
                // The first layer after VGG's features: [out,C*H*W] in the file.
                const Shape& s = named.tensor.shape();
                expected = Tensor::from(channels_last(host(expected), {s[0], s[3], s[1], s[2]}), s);
            }
            if (is_idle_bias(named.name, tensors)) {
                CHECK(norm(expected) < 1e-12);
                CHECK(norm(named.tensor.grad()) <= kGradient * norm(input.grad()));
                continue;
            }
            check_l2(named.tensor.grad(), expected, kGradient, named.name);
        }
    }
}

TEST_CASE("every model, frozen and folded, computes the same, and can be unfrozen") {
    for (const Case& c : kCases) {
        CAPTURE(c.fixture);
        const auto model = fixture_model(c);
        model->freeze();
        CHECK(!model->training());
        const Fixture given = passes(c), f = given.in("eval");
        const Tensor input = given.leaf("input");
        const Tensor logits = model->forward(input);
        check_l2(logits, f.tensor("logits"), kLogits, "logits");
        backward(ops::cross_entropy(logits, given.integers("labels")));
        check_l2(input.grad(), f.tensor("dinput"), kGradient, "dinput");
        for (const auto& named : model->state()) CHECK(!named.tensor.grad().defined());
        // If all inputs are constant the output is not on the tape.
        CHECK(!model->forward(given.tensor("input")).requires_grad());

        model->unfreeze();
        CHECK(model->training());
        model->eval();
        // Nothing is folded any more: changing any weight changes the logits.
        for (auto& named : model->state()) {
            if (!named.trainable) continue;
            CAPTURE(named.name);
            const Tensor before = named.tensor.clone();
            named.tensor.copy_from(ops::scale(before, 1.5f));
            const Tensor changed = model->forward(given.tensor("input"));
            CHECK(!identical(changed, logits));
            named.tensor.copy_from(before);
        }
    }
}

TEST_CASE("every model: prefix and suffix at every insertion point compose to the forward pass") {
    for (const Case& c : kCases)
        for (const bool frozen : {false, true}) {
            CAPTURE(c.fixture);
            CAPTURE(frozen);
            const auto model = fixture_model(c);
            if (frozen)
                model->freeze();
            else
                model->eval();
            const Tensor input = passes(c).tensor("input");
            const Tensor logits = model->forward(input);
            const auto points = model->insertion_points();
            CHECK(points.size() == c.points);
            CHECK(points.front() == c.first_point);
            CHECK(points.back() == c.default_point);
            CHECK(model->insertion_point() == c.default_point);
            const auto tensors = by_name(*model);
            for (const std::string& point : points) {
                CAPTURE(point);
                const Cut cut = model->prefix(input, point);
                // z is the input of the layer that the point is named after.
                CHECK(cut.z.shape()[3] == tensors.at(point + ".weight").shape()[3]);
                CHECK(cut.residual.defined() == point.starts_with("layer"));
                CHECK(identical(model->suffix(cut, point), logits));
                CHECK(
                    !identical(model->suffix({ops::scale(cut.z, 0), cut.residual}, point), logits));
            }
            for (const char* point : {"", "conv1", "features.0", "features.1", "layer9.0.conv1"})
                CHECK_THROWS_AS(model->prefix(input, point), InputError);
        }
}

TEST_CASE("every model takes images of other sizes, channels and numbers of classes") {
    struct Image {
        std::int64_t n, height, width, channels, classes;
    };
    std::vector<ModelOptions> models;
    for (const ModelInfo& info : registry()) {
        models.push_back({.name = std::string(info.name), .width = 2});
        for (const std::string_view head : info.heads)
            models.push_back(
                {.name = std::string(info.name), .width = 2, .head = std::string(head)});
    }
    CHECK(models.size() == 10);
    for (ModelOptions options : models)
        for (const Image& image : {Image{2, 64, 64, 3, 200}, Image{3, 35, 70, 1, 43}}) {
            CAPTURE(options.name);
            CAPTURE(options.head);
            options.classes = image.classes;
            options.channels = image.channels;
            const auto model = fresh_model(options);
            CHECK(model->classes() == image.classes);
            const Tensor input = random_leaf({image.n, image.height, image.width, image.channels});
            const Tensor logits = model->forward(input);
            CHECK(logits.shape() == Shape{image.n, image.classes});
            backward(sum(logits));
            CHECK(input.grad().shape() == input.shape());
            model->freeze();
            for (const float value : host(model->forward(input.detach())))
                CHECK(std::isfinite(value));
        }
}

TEST_CASE("heads: models with a choice, and refused names") {
    CHECK(head_of("vgg19-bn", "") == "torchvision");
    CHECK(head_of("vgg16-bn", "cifar") == "cifar");
    CHECK(head_of("resnet18", "").empty());
    CHECK(message_of([] { head_of("vgg16-bn", "linear"); }) ==
          "unknown head 'linear' of vgg16-bn; known: torchvision, cifar");
    CHECK(message_of([] { head_of("resnet18", "cifar"); }) ==
          "head 'cifar' is not possible for resnet18; --head is for vgg16-bn and vgg19-bn");
    CHECK_THROWS_AS(head_of("vgg16", ""), InputError);
    CHECK_THROWS_AS(fresh_model({.name = "preact-resnet18", .width = 2, .head = "cifar"}),
                    InputError);
    const auto count = [](const char* head) {
        return fresh_model({.name = "vgg16-bn", .width = 4, .head = head})->parameter_count();
    };
    // 49 * 32 features, twice 256 units, 10 classes; or 32 features and 10 classes.
    CHECK(count("torchvision") - count("cifar") ==
          (49 * 32 + 1) * 256 + 257 * 256 + 257 * 10 - 33 * 10);
    CHECK(count("") == count("torchvision"));
}

TEST_CASE("a VGG refuses images that are too small for its poolings") {
    const auto model = fresh_model({.name = "vgg16-bn", .width = 1, .head = "cifar"});
    CHECK(message_of([&] {
              model->forward(random_tensor({1, 31, 40, 3}));
          }) == "a VGG needs images of at least 32 x 32 pixels, not 40 x 31");
    CHECK_THROWS_AS(model->forward(random_tensor({1, 32, 32, 1})), ShapeError);
    CHECK_THROWS_AS(model->forward(random_tensor({32, 32, 3})), ShapeError);
}

TEST_CASE("dropout of VGG's classifier: new masks in every step, none in evaluation") {
    const auto model = fresh_model({.name = "vgg16-bn", .width = 1});
    const auto draws = model->training_state();
    REQUIRE(draws.size() == 2);
    CHECK(draws[0].name == "classifier.2.draw");
    CHECK(draws[1].name == "classifier.5.draw");
    const auto step = [&] { return draws[1].tensor.to_host<std::int64_t>()[1]; };
    const Tensor input = random_tensor({2, 32, 32, 3});
    const Tensor first = model->forward(input), second = model->forward(input);
    CHECK(!identical(first, second));
    CHECK(step() == 2);
    // With its state restored, it draws the same masks.
    for (auto named : draws) {
        auto values = named.tensor.to_host<std::int64_t>();
        values[1] = 0;
        named.tensor.copy_from(Tensor::from(values, {2}));
    }
    CHECK(identical(model->forward(input), first));
    model->eval();
    CHECK(identical(model->forward(input), model->forward(input)));
    CHECK(step() == 1);
}
