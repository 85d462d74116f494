// Times a training step of PreAct-ResNet-18: forward, cross-entropy, backward and SGD with Nesterov
// momentum on a batch that is already normalised. bench/compare.py sets it against PyTorch.
#include <omp.h>
#include <CLI/CLI.hpp>

#include "bench/interactive.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "engine/passive_waiting.h"
#include "engine/random.h"
#include "models/classifier.h"

using namespace cnpd;

int main(int argc, char** argv) {
    engine::wait_passively(argv);
    std::int64_t width = 64, batch = 128;
    int threads = omp_get_max_threads();
    bool forward_only = false;
    bench::Mode mode;
    CLI::App app("Times a training step of PreAct-ResNet-18 .");
    app.add_option("--width", width)->capture_default_str();
    app.add_option("--batch", batch)->capture_default_str();
    app.add_option("--threads", threads)->capture_default_str();
    mode.add_to(app);
    app.add_flag("--forward", forward_only, "The evaluation-mode forward pass alone");
    CLI11_PARSE(app, argc, argv);
    omp_set_num_threads(threads);

    engine::Generator generator(0);
    const auto model = models::make_model({.width = width}, generator, mode.device);
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
    return bench::run(mode, [&] {
        optimizer.zero_grad();
        engine::backward(engine::ops::cross_entropy(model->forward(images), labels));
        optimizer.step();
        return std::string();
    });
}
