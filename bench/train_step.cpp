// Times a training step of PreAct-ResNet-18: forward, cross-entropy, backward and SGD with Nesterov
// momentum on a batch that is already normalised. bench/compare.py compares it with PyTorch.

#include <algorithm>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "bench/interactive.h"
#include "bench/network.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "engine/passive_waiting.h"
#include "engine/random.h"
#include "engine/step_graph.h"
#include "models/classifier.h"

using namespace cnpd;

namespace {

// The convolutions of a step: every layer's forward pass and its gradients, except the gradient
// with respect to the images.
class ConvolutionsAlone {
  public:
    ConvolutionsAlone(std::int64_t width, std::int64_t batch)
        : layers_(bench::preact_resnet18(width, batch)) {
        std::int64_t x = 0, y = 0, filter = 0;
        for (const auto& [name, count, s] : layers_) {
            x = std::max(x, s.n * s.h * s.w * s.c);
            y = std::max(y, s.n * s.out_h() * s.out_w() * s.k);
            filter = std::max(filter, s.k * s.r * s.s * s.c);
        }
        for (auto* each : {&x_, &dx_}) each->assign(x, 0.5f);
        for (auto* each : {&y_, &dy_}) each->assign(y, 0.5f);
        for (auto* each : {&filter_, &dfilter_}) each->assign(filter, 0.01f);
    }

    void run() {
        namespace k = kernels::cpu;
        for (const auto& [name, count, shape] : layers_)
            for (int i = 0; i < count; ++i) {
                k::convolution_forward(shape, x_.data(), filter_.data(), {}, y_.data());
                k::convolution_wgrad(shape, x_.data(), dy_.data(), dfilter_.data());
                if (name != "stem")
                    k::convolution_dgrad(shape, dy_.data(), filter_.data(), dx_.data());
            }
    }

  private:
    std::vector<bench::Convolution> layers_;
    std::vector<float> x_, dx_, y_, dy_, filter_, dfilter_;
};

// The two alternate; prints their medians and the share.
template <class Step>
int print_share(const bench::Mode& mode, const Step& step, ConvolutionsAlone& convolutions) {
    const auto timed = [&](const auto& work) {
        std::string none;
        return bench::timed(
            mode, [&] { return work(), std::string(); }, none);
    };
    std::vector<double> whole, alone;
    for (int i = -mode.warm_up; i < mode.repeats; ++i) {
        const double one = timed(step), other = timed([&] { convolutions.run(); });
        if (i < 0) continue;
        whole.push_back(one);
        alone.push_back(other);
    }
    std::sort(whole.begin(), whole.end());
    std::sort(alone.begin(), alone.end());
    const double step_seconds = whole[whole.size() / 2],
                 convolution_seconds = alone[alone.size() / 2];
    fmt::print("{{\"seconds\": {}, \"convolution_seconds\": {}, \"share\": {:.3f}}}\n",
               step_seconds, convolution_seconds, convolution_seconds / step_seconds);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    engine::wait_passively(argv);
    std::int64_t width = 64, batch = 128;
    bool forward_only = false, share = false, as_written = false;
    bench::Mode mode;
    CLI::App app("Times a training step of PreAct-ResNet-18.");
    app.add_option("--width", width)->capture_default_str();
    app.add_option("--batch", batch)->capture_default_str();
    mode.add_to(app);
    app.add_flag("--forward", forward_only, "Only the forward pass, in evaluation mode");
    app.add_flag(
        "--share", share,
        "Also times the convolutions alone, alternating, and prints their share (CPU only)");
    app.add_flag("--as-written", as_written,
                 "On a GPU: launch kernel by kernel instead of replaying a graph");
    CLI11_PARSE(app, argc, argv);

    engine::Generator generator(0);
    const auto model =
        models::make_model({.width = width, .activations = mode.prepare()}, generator, mode.device);
    const engine::Tensor images =
        engine::normal_tensor(generator, {batch, 32, 32, 3}, 1, mode.device);
    std::vector<std::int32_t> classes(batch);
    for (std::int32_t& y : classes) y = static_cast<std::int32_t>(generator.below(10));
    const engine::Tensor labels = engine::Tensor::from(classes, {batch}, mode.device);
    engine::Sgd optimizer({{.parameters = model->parameters(), .weight_decay = 5e-4}},
                          {.momentum = 0.9, .nesterov = true});
    optimizer.set_learning_rate(0.01);

    if (forward_only) {
        model->eval();
        return bench::run(mode, [&] {
            const engine::NoGrad no_grad;
            model->forward(images);
            return std::string();
        });
    }
    engine::StepGraph graph([&](std::span<const engine::Tensor> inputs) {
        optimizer.zero_grad();
        const engine::Tensor loss =
            engine::ops::cross_entropy(model->forward(inputs[0]), inputs[1]);
        engine::backward(loss);
        optimizer.step();
        return loss.detach();
    });
    if (as_written) graph.run_as_written();
    const engine::Tensor inputs[] = {images, labels};
    const auto step = [&] { graph.run(inputs); };
    if (share) {
        if (mode.device.backend != engine::Backend::cpu)
            return std::cerr << "--share needs --device cpu\n", 2;
        ConvolutionsAlone convolutions(width, batch);
        return print_share(mode, step, convolutions);
    }
    return bench::run(mode, [&] {
        step();
        return std::string();
    });
}
