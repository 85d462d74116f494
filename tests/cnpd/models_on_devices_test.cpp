// Every model on every device of the build, small enough for the emulator.
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "engine/step_graph.h"
#include "models/classifier.h"
#include "tests/support/compare.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

struct Case {
    models::ModelOptions options;
    std::int64_t images, side;
};

const Case kCases[] = {
    {{.name = "preact-resnet18", .width = 2}, 4, 16},
    {{.name = "preact-resnet34", .width = 2}, 4, 16},
    {{.name = "resnet18", .width = 2}, 4, 16},
    {{.name = "resnet34", .width = 2}, 4, 16},
    {{.name = "vgg16-bn", .width = 1, .head = "torchvision"}, 4, 32},
    {{.name = "vgg19-bn", .width = 2, .head = "cifar"}, 4, 32},
};

std::vector<Device> other_devices() {
    std::vector<Device> devices;
    for (const Device& device : available_devices())
        if (device.backend != Backend::cpu) devices.push_back(device);
    return devices;
}

// The same for every device.
std::vector<float> pixels_of(const Case& c) {
    Generator generator(8);
    std::vector<float> pixels(c.images * c.side * c.side * 3);
    for (float& pixel : pixels) pixel = generator.normal();
    return pixels;
}

// Result of four training steps, and the frozen model's output for an image.
struct Trained {
    std::vector<double> losses;
    std::vector<std::vector<float>> weights;
    std::vector<float> logits, input_gradient;
    std::int64_t replays = 0;
};

Trained train(const Case& c, Device device, bool as_written) {
    Generator generator(5);
    const auto model = models::make_model(c.options, generator, device);
    Sgd optimizer({{.parameters = model->parameters(), .weight_decay = 5e-4}}, {.momentum = 0.9});
    optimizer.set_learning_rate(0.002);
    StepGraph graph([&](std::span<const Tensor> inputs) {
        optimizer.zero_grad();
        const Tensor loss = ops::cross_entropy(model->forward(inputs[0]), inputs[1]);
        backward(loss);
        optimizer.step();
        return loss.detach();
    });
    if (as_written) graph.run_as_written();

    Tensor input = Tensor::from(pixels_of(c), {c.images, c.side, c.side, 3}, device);
    const Tensor labels = Tensor::from(std::vector<std::int32_t>{3, 0, 9, 3}, {c.images}, device);
    Trained trained;
    for (int step = 0; step < 4; ++step) {
        const Tensor inputs[] = {input, labels};
        trained.losses.push_back(graph.run(inputs).item());
    }
    CHECK(graph.obstacle().empty());
    trained.replays = graph.replays();
    for (const nn::NamedTensor& each : model->state())
        if (each.tensor.dtype() == DType::float32)
            trained.weights.push_back(each.tensor.to_host<float>());

    model->freeze();
    input.set_requires_grad();
    const Tensor logits = model->forward(input);
    trained.logits = logits.to_host<float>();
    const Tensor loss = ops::cross_entropy(logits, labels);
    trained.input_gradient = gradients(loss, std::span(&input, 1)).front().to_host<float>();
    return trained;
}

}  // namespace

TEST_CASE("every model on every device trains as on the CPU, with and without graphs") {
    for (const Case& c : kCases) {
        CAPTURE(c.options.name);
        const auto devices = other_devices();
        if (devices.empty()) continue;
        const Trained expected = train(c, {}, true);
        for (const Device& device : devices) {
            CAPTURE(device.str());
            const Trained written = train(c, device, true), replayed = train(c, device, false);
            CHECK(written.replays == 0);
            CHECK(replayed.replays == 3);
            CHECK(replayed.losses == written.losses);
            CHECK(replayed.weights == written.weights);
            CHECK(replayed.logits == written.logits);
            check_close(written.losses, expected.losses, 1e-4, 0, "losses");
            CHECK(relative_l2_error(written.logits, expected.logits) < 1e-3);
            CHECK(relative_l2_error(written.input_gradient, expected.input_gradient) < 1e-2);
        }
    }
}
